//! One connection, and one exchange over it. Over HTTP/1 an exchange has a connection for itself and drives it: there is
//! no task beside that of the exchange, which nothing has to wake. Over HTTP/2 all share one, and a task drives it.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use url::{Position, Url};

use super::{client::Answer, failure::Broken, progress::Progress};

/// Interim answers (1xx) to one request. Whoever sends more keeps this host busy until the deadline, and says nothing.
const INTERIM: usize = 20;

pub(super) type Body = Full<Bytes>;
pub(super) type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

pub(super) enum Connection {
    Own(Own),
    Shared(Shared),
}

/// An HTTP/1 connection. It does nothing unless it is driven.
pub(super) struct Own {
    /// Scheme, host and port.
    pub origin: Arc<str>,
    sender: http1::SendRequest<Body>,
    /// None when it has come to its end.
    driver: Option<Driver>,
}

/// A handle to an HTTP/2 connection.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Body>,
    given_up: Arc<AtomicBool>,
}

impl Own {
    pub(super) fn new(origin: Arc<str>, sender: http1::SendRequest<Body>, driver: Driver) -> Self {
        Self { origin, sender, driver: Some(driver) }
    }

    /// Whether a request may be sent: looks for what the other end did meanwhile.
    pub(super) fn is_open(&mut self) -> bool {
        // Who takes it drives it, and is woken then.
        drive(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Ends it as the protocols below would have it: TLS says so to the other end.
    pub(super) fn close(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        if let Some(driver) = driver {
            tokio::spawn(driver);
        }
    }

    /// One exchange; true when the connection may be used for another one.
    pub(super) async fn exchange(
        &mut self,
        mut request: Request<Body>,
        url: &Url,
        progress: &mut Progress,
        answer: &mut Answer,
    ) -> Result<bool, Broken> {
        let host = &url[Position::BeforeHost..Position::AfterPort];
        request.headers_mut().insert(header::HOST, HeaderValue::from_str(host).map_err(|_| Broken::Url)?);
        let path = &url[Position::BeforePath..Position::AfterQuery];
        *request.uri_mut() = Uri::try_from(path).map_err(|_| Broken::Url)?;
        let interim = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&interim);
        hyper::ext::on_informational(&mut request, move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let mut received = pin!(receive(self.sender.try_send_request(request), progress, answer));
        let read = poll_fn(|cx| {
            drive(&mut self.driver, cx);
            if interim.load(Ordering::Relaxed) > INTERIM {
                return Poll::Ready(Err(Broken::Interim));
            }
            received.as_mut().poll(cx)
        });
        let read = read.await?;
        Ok(read && self.driver.is_some() && self.sender.is_ready())
    }
}

/// How a connection ended is told to its exchange; when there is none, nobody asks.
fn drive(driver: &mut Option<Driver>, cx: &mut Context<'_>) {
    if driver.as_mut().is_some_and(|driver| driver.as_mut().poll(cx).is_ready()) {
        *driver = None;
    }
}

impl Shared {
    pub(super) fn new(sender: http2::SendRequest<Body>) -> Self {
        Self { sender, given_up: Arc::default() }
    }

    pub(super) fn is_open(&self) -> bool {
        self.sender.is_ready() && !self.given_up.load(Ordering::Relaxed)
    }

    /// Lets no other request use it: they would wait for the same end that did not answer.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) async fn exchange(
        &mut self,
        mut request: Request<Body>,
        url: &Url,
        progress: &mut Progress,
        answer: &mut Answer,
    ) -> Result<(), Broken> {
        request.headers_mut().remove(header::HOST);
        *request.uri_mut() = Uri::try_from(url.as_str()).map_err(|_| Broken::Url)?;
        answer.shared = Some(self.clone());
        receive(self.sender.try_send_request(request), progress, answer).await.map(drop)
    }
}

/// Fills the answer as it comes, so that what was there is known when the deadline cuts this off. True when it is whole.
async fn receive(
    response: impl Future<Output = Result<http::Response<Incoming>, TrySendError<Request<Body>>>>,
    progress: &mut Progress,
    answer: &mut Answer,
) -> Result<bool, Broken> {
    let response = response.await.map_err(|mut error| match error.take_message() {
        Some(request) => Broken::Unsent(Box::new(request), error.into_error()),
        None => Broken::Request(error.into_error()),
    })?;
    progress.answered();
    let (head, mut body) = response.into_parts();
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
    answer.head = Some((head.status, head.headers));
    if switched {
        return Err(Broken::Switched);
    }
    while let Some(frame) = body.frame().await {
        // What is no data is trailers, and nobody asks for them.
        let Ok(chunk) = frame.map_err(Broken::Body)?.into_data() else { continue };
        if !answer.keep(&chunk) {
            // Dropped with its body unread, an HTTP/1 connection is closed and an HTTP/2 stream is reset.
            return Ok(false);
        }
    }
    Ok(true)
}
