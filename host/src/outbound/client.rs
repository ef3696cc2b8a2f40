//! One pooled HTTP client, and one exchange with it: one request, one response, one deadline over all of it.
//!
//! Must not follow a redirect, retry, keep a cookie, unpack a body or take a proxy from the environment.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{HeaderMap, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use rustls::ClientConfig;
use tokio::sync::Notify;

use super::{
    check::{Options, Refused},
    connect::{self, Pool},
    failure::{Broken, Failure, Peer, failure, timed_out},
    prepare::Prepared,
    progress::Progress,
    redact,
    secrets::Secrets,
};
use crate::model::{Response, Timing, TransportError};

/// Interim answers (1xx) to one request. Whoever sends more keeps this host busy until the deadline, and says nothing.
const INTERIM: usize = 20;

/// A handle to the one client; cheap to clone. What is allowed is fixed: make a new one when the config changes.
#[derive(Debug, Clone)]
pub struct Client {
    pool: Pool,
    options: Arc<Options>,
}

/// The client can't be made: there is no TLS version or cipher to offer.
#[derive(Debug, thiserror::Error)]
#[error("TLS can't be set up")]
pub struct BuildError(#[from] rustls::Error);

/// What came of a request. Secrets are redacted.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// What came back; with an `error` beside it, as far as it came.
    pub response: Option<Response>,
    /// What went wrong on the wire: when it is there, the exchange failed, whatever the response says.
    pub error: Option<(TransportError, String)>,
    /// The name resolved to addresses that are not sent to; nothing was.
    pub blocked: Option<Refused>,
    /// How long it took.
    pub timing: Timing,
}

impl Client {
    /// Makes the client. Reads the machine's CA certificates; without any it warns, and https will fail.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        Ok(Self::with(options, connect::tls()?))
    }

    fn with(options: Options, tls: ClientConfig) -> Self {
        let options = Arc::new(options);
        Self { pool: connect::pool(Arc::clone(&options), tls), options }
    }

    /// What this client allows: for [`super::Destination`].
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends the request and reads the response, in `deadline` altogether. All that can go wrong is data.
    pub async fn send(&self, prepared: Prepared, deadline: Duration, secrets: &Secrets) -> Sent {
        let peer = Peer::of(&prepared.url);
        let progress = Progress::new(deadline);
        let mut answer = Answer { needed: redact::needed(secrets), ..Answer::default() };
        let exchange = self.exchange(prepared, &progress, &mut answer);
        let ended = tokio::time::timeout(deadline, Arc::clone(&progress).watch(exchange)).await;
        let failed = match ended {
            Ok(Ok(())) => None,
            Ok(Err(broken)) => Some(failure(&broken, &peer)),
            Err(_) => {
                answer.give_up_connection();
                Some(timed_out(progress.phase(), deadline, answer.body.len(), &peer))
            }
        };
        let (error, blocked) = match failed {
            Some(Failure::Wire(kind, words)) => (Some((kind, secrets.redact(&words).into_owned())), None),
            Some(Failure::Blocked(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        let timing = Timing {
            connect_us: progress.connect_us(),
            first_byte_us: progress.first_byte_us(),
            total_us: progress.elapsed_us(),
        };
        answer.cut |= error.is_some();
        Sent { response: answer.response(secrets), error, blocked, timing }
    }

    /// Fills the answer as it comes, so that what was there is known when the deadline cuts this off.
    async fn exchange(&self, prepared: Prepared, progress: &Progress, answer: &mut Answer) -> Result<(), Broken> {
        let mut request = http::Request::new(Full::new(prepared.body));
        *request.method_mut() = prepared.method;
        *request.uri_mut() = Uri::try_from(prepared.url.as_str()).map_err(|_| Broken::Url)?;
        *request.headers_mut() = prepared.headers;
        answer.connection = Some(capture_connection(&mut request));
        let interim = Arc::new(Interim::default());
        let counted = Arc::clone(&interim);
        hyper::ext::on_informational(&mut request, move |_| counted.count());
        let response = tokio::select! {
            response = self.pool.request(request) => response.map_err(Broken::Request)?,
            () = interim.too_many.notified() => return Err(Broken::Interim),
        };
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
            let room = answer.needed - answer.body.len();
            answer.body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
            if chunk.len() > room {
                // Dropped with its body unread, an HTTP/1 connection is closed and an HTTP/2 stream is reset.
                answer.cut = true;
                break;
            }
        }
        Ok(())
    }
}

/// Counts the interim answers to a request.
#[derive(Default)]
struct Interim {
    count: AtomicUsize,
    too_many: Notify,
}

impl Interim {
    fn count(&self) {
        if self.count.fetch_add(1, Ordering::Relaxed) == INTERIM {
            self.too_many.notify_one();
        }
    }
}

/// What has come back so far.
#[derive(Default)]
struct Answer {
    head: Option<(StatusCode, HeaderMap)>,
    body: Vec<u8>,
    /// How much of the body is read at most.
    needed: usize,
    /// There was or would have been more.
    cut: bool,
    /// What it came over.
    connection: Option<CaptureConnection>,
}

impl Answer {
    /// Lets no other request use the connection: over HTTP/2 they would wait for the same end that did not answer.
    fn give_up_connection(&self) {
        if let Some(connection) = &self.connection
            && let Some(connected) = connection.connection_metadata().as_ref()
        {
            connected.poison();
        }
    }

    fn response(self, secrets: &Secrets) -> Option<Response> {
        let (status, headers) = self.head?;
        Some(Response {
            status: status.as_u16(),
            headers: redact::headers(&headers, secrets),
            body: redact::excerpt(&self.body, self.cut, secrets),
        })
    }
}

#[cfg(test)]
mod tests;
