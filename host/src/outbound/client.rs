//! A pooled HTTP client, one for each way to connect, and one exchange with it: one request, one response, one deadline over all of it.
//!
//! Must not follow a redirect, retry, keep a cookie, unpack a body or take a proxy from the environment.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use url::{Position, Url};

use super::{
    check::{Options, Refused},
    connect::Connector,
    connection::{Body, Connection, Shared},
    failure::{Broken, Failure, Peer, failure, timed_out},
    pool::Pool,
    prepare::Prepared,
    progress::Progress,
    redact,
    secrets::Secrets,
    tls::{self, Machine},
};
use crate::model::{Response, Timing, Transport, TransportError};

/// A handle to a client; cheap to clone. What is allowed, and how it connects, is fixed: another config needs another one.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    connector: Arc<Connector>,
    options: Arc<Options>,
    transport: Arc<Transport>,
    machine: Machine,
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
        Self::made(Arc::new(options), &Transport::default(), Machine::read())
    }

    /// The one to use for what is connected by `transport`: this one, if that is what it does. Kept connections are never
    /// those of another transport.
    pub fn through(&self, transport: &Transport) -> Result<Self, BuildError> {
        if *self.transport == *transport {
            return Ok(self.clone());
        }
        Self::made(Arc::clone(&self.options), transport, self.machine.clone())
    }

    fn made(options: Arc<Options>, transport: &Transport, machine: Machine) -> Result<Self, BuildError> {
        let (transport, tls) = (Arc::new(transport.clone()), tls::config(&machine, &transport.tls)?);
        let connector = Arc::new(Connector::new(Arc::clone(&options), tls, Arc::clone(&transport)));
        Ok(Self { pool: Arc::default(), connector, options, transport, machine })
    }

    /// How it connects.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }

    /// What this client allows: for [`super::Destination`].
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Sends the request and reads the response, in `deadline` altogether. All that can go wrong is data.
    pub async fn send(&self, prepared: Prepared, deadline: Duration, secrets: &Secrets) -> Sent {
        self.raw(prepared, deadline, redact::needed(secrets)).await.shown(secrets)
    }

    /// The same with what came back as it is: `needed` bytes of the body, at most.
    pub(super) async fn raw(&self, prepared: Prepared, deadline: Duration, needed: usize) -> Raw {
        let Prepared { method, url, headers, body, .. } = prepared;
        let mut request = Request::new(Body::new(body));
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let mut progress = Progress::new();
        let mut answer = Answer { needed, ..Answer::default() };
        let exchange = self.exchange(request, &url, &mut progress, &mut answer);
        let failed = match tokio::time::timeout(deadline, exchange).await {
            Ok(Ok(())) => None,
            Ok(Err(broken)) => Some(failure(&broken, &self.peer(&url))),
            Err(_) => {
                if let Some(shared) = &answer.shared {
                    shared.give_up();
                }
                Some(timed_out(progress.phase, deadline, answer.body.len(), &self.peer(&url)))
            }
        };
        Raw { answer, failed, timing: progress.timing() }
    }

    fn peer(&self, url: &Url) -> Peer {
        Peer::of(url, self.transport.proxy.as_ref())
    }

    /// A request of which nothing was written to a connection that was there already goes over another one: that is no
    /// repetition. Nothing else is sent again.
    async fn exchange(
        &self,
        mut request: Request<Body>,
        url: &Url,
        progress: &mut Progress,
        answer: &mut Answer,
    ) -> Result<(), Broken> {
        let origin = &url[..Position::BeforePath];
        loop {
            let kept = self.pool.take(origin);
            let mut reused = kept.is_some();
            let connection = match kept {
                Some(connection) => connection,
                None => self.connector.connect(url, progress).await?,
            };
            let ended = match connection {
                Connection::Own(mut own) => own.exchange(request, url, progress, answer).await.map(|again| {
                    if again {
                        self.pool.put(own);
                    }
                }),
                Connection::Shared(new) => {
                    let mut shared = new;
                    if !reused {
                        (shared, reused) = self.pool.share(origin, shared);
                    }
                    shared.exchange(request, url, progress, answer).await
                }
            };
            match ended {
                Err(Broken::Unsent(unsent, _)) if reused => request = *unsent,
                ended => return ended,
            }
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What came of a request, secrets and all: only for who reads an access token out of it.
pub(super) struct Raw {
    answer: Answer,
    failed: Option<Failure>,
    timing: Timing,
}

impl Raw {
    /// The status, when an answer has begun, broken off perhaps.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.answer.head.as_ref().map(|(status, _)| *status)
    }

    /// Whether something went wrong before the answer's end.
    pub(super) fn is_broken(&self) -> bool {
        self.failed.is_some()
    }

    /// The body, when that is all of it.
    pub(super) fn whole_body(&self) -> Option<&[u8]> {
        (!self.is_broken() && !self.answer.cut).then_some(&self.answer.body)
    }

    /// As it is kept and shown.
    pub(super) fn shown(self, secrets: &Secrets) -> Sent {
        let Self { mut answer, failed, timing } = self;
        let (error, blocked) = match failed {
            Some(Failure::Wire(kind, words)) => (Some((kind, secrets.redact(&words).into_owned())), None),
            Some(Failure::Blocked(refused)) => (None, Some(refused)),
            None => (None, None),
        };
        answer.cut |= error.is_some();
        Sent { response: answer.response(secrets), error, blocked, timing }
    }
}

/// What has come back so far.
#[derive(Default)]
pub(super) struct Answer {
    pub head: Option<(StatusCode, HeaderMap)>,
    /// The connection that it comes over, when others use it, too.
    pub shared: Option<Shared>,
    body: Vec<u8>,
    /// How much of the body is read at most.
    needed: usize,
    /// There was or would have been more.
    cut: bool,
}

impl Answer {
    /// Keeps what is needed of the next part of the body; false when that was not all of it.
    pub(super) fn keep(&mut self, chunk: &Bytes) -> bool {
        let room = self.needed - self.body.len();
        self.body.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
        self.cut = chunk.len() > room;
        !self.cut
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
