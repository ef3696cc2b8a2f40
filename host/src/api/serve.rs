//! The API's connections: accepted, each served in a task of its own over HTTP/1, ended with the host.
//!
//! `POST /v1/events` goes straight to its handler, everything else to the router.

use std::{
    convert::Infallible,
    future::{Future, pending},
    io::{self, ErrorKind},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Method, Request, Response, StatusCode, header},
    response::IntoResponse,
};
use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    body::Incoming,
    server::conn::http1::Builder,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
};

use super::{
    Face,
    crowd::{Crowd, Place},
    error::ApiError,
    events, router,
    slow::{Heard, Limits, too_slow},
    sources::Peer,
    tls::Tls,
};
use crate::clock;

/// How long an idle connection is kept at least where there are many. Where there are few it is ten times as long, and longer
/// than the clients that keep some keep theirs, so that it is not closed in the moment in which one of them uses it.
const IDLE: Duration = Duration::from_mins(1);
/// The most of a head, and so of what a connection that says nothing whole can hold in memory.
const HEAD: usize = 64 << 10;
/// How long nothing is accepted after the machine could not do it, out of file descriptors for example.
const BREATH: Duration = Duration::from_secs(1);

/// Where connections come from.
pub struct Listeners {
    /// By TCP, under TLS where there is a certificate.
    pub tcp: Option<TcpListener>,
    /// By a Unix socket, in clear: what is said there stays on the machine.
    pub unix: Option<UnixListener>,
}

/// How much at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Connections; beyond them the one makes room that has waited for the longest.
    pub connections: usize,
    /// Requests under way, whose connections can't make room: fewer, so that there is always one that can.
    pub requests: usize,
}

/// What every connection needs.
struct Served {
    face: Face,
    router: TowerToHyperService<Router>,
    http: Builder,
    limits: Limits,
    crowd: Crowd,
    /// A permit a request that is under way.
    room: Semaphore,
}

/// Serves until `stop` is over, then finishes what is under way; idle connections are closed at once.
pub async fn serve(listeners: Listeners, face: Face, room: Room, stop: impl Future<Output = ()>) {
    let limits = Limits { head: face.request_timeout(), idle: IDLE };
    let router = TowerToHyperService::new(router(face.clone()));
    let (crowd, room) = (Crowd::new(room.connections), Semaphore::new(room.requests));
    let served = Arc::new(Served { face, router, http: http(), limits, crowd, room });
    // Its receivers are the connections: they hear of the stop, and are gone when they have ended.
    let (stopping, stopped) = watch::channel(());
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            (socket, peer) = by_tcp(listeners.tcp.as_ref()) => Accepted::Tcp(socket, peer),
            socket = by_unix(listeners.unix.as_ref()) => Accepted::Unix(socket),
        };
        let place = tokio::select! {
            () = &mut stop => break,
            place = served.crowd.place() => place,
        };
        let (served, stopped) = (served.clone(), stopped.clone());
        match accepted {
            Accepted::Tcp(socket, peer) => {
                tokio::spawn(connection(socket, Peer(Some(peer.ip())), place, served, stopped));
            }
            Accepted::Unix(socket) => {
                tokio::spawn(talk(socket, Peer(None), place, served, stopped));
            }
        }
    }
    drop((listeners, stopped));
    let _ = stopping.send(());
    stopping.closed().await;
}

enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

/// hyper's own limit of 100 headers is kept, beyond which the answer is 431, as it is beyond [`HEAD`].
fn http() -> Builder {
    let mut http = Builder::new();
    // `slow` limits the head. An answer is small: copied together, it is one plain write.
    http.header_read_timeout(None).writev(false).max_buf_size(HEAD);
    http
}

/// The next connection, however long that takes and whatever goes wrong meanwhile.
async fn accept<T, F: Future<Output = io::Result<T>>>(next: impl Fn() -> F) -> T {
    loop {
        match next().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one_connection(error.kind()) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                clock::pause(BREATH).await;
            }
        }
    }
}

async fn by_tcp(listener: Option<&TcpListener>) -> (TcpStream, SocketAddr) {
    match listener {
        Some(listener) => accept(|| listener.accept()).await,
        None => pending().await,
    }
}

async fn by_unix(listener: Option<&UnixListener>) -> UnixStream {
    match listener {
        Some(listener) => accept(|| listener.accept()).await.0,
        None => pending().await,
    }
}

/// The client is gone already; the next one is not concerned.
fn is_of_one_connection(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset)
}

/// Serves a connection, behind a handshake where TLS is spoken, for which a client has as long as for a head.
async fn connection(socket: TcpStream, peer: Peer, place: Place, served: Arc<Served>, mut stop: watch::Receiver<()>) {
    // Several answers that are asked for at once must not wait for one another's acknowledgement. An error changes that.
    let _ = socket.set_nodelay(true);
    let Some(tls) = served.face.0.tls.load_full() else {
        return talk(socket, peer, place, served, stop).await;
    };
    let handshake = async {
        tokio::select! {
            shaken = tokio::time::timeout(served.limits.head, Tls::clone(&tls).accept(socket)) => Some(shaken),
            () = place.talk.ended() => None,
            _ = stop.changed() => None,
        }
    };
    // In boxes, so that a connection in clear does not carry about the room that this needs.
    match Box::pin(handshake).await {
        Some(Ok(Ok(stream))) => Box::pin(talk(stream, peer, place, served, stop)).await,
        Some(Ok(Err(error))) => tracing::debug!(%error, "a TLS handshake with the API has failed"),
        Some(Err(_)) => tracing::debug!("a TLS handshake with the API was not finished in time"),
        None => {}
    }
}

/// Serves a connection to its end: that of the client, of its patience with us, or of ours with it.
async fn talk<S>(socket: S, peer: Peer, place: Place, served: Arc<Served>, mut stop: watch::Receiver<()>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let talk = place.talk.clone();
    let (limits, io) = (served.limits, Heard::new(TokioIo::new(socket), talk.clone()));
    let asked = talk.clone();
    let answers = service_fn(|request| {
        let in_time = asked.asked();
        let (served, talk) = (served.clone(), asked.clone());
        async move {
            if !in_time {
                return Ok::<_, Infallible>(busy().map(Either::Right));
            }
            let mut answer = answer(&served, peer, request).await;
            // This connection may hear of the stop only after the answer is written, and its client is to know.
            if served.face.is_stopping() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            talk.answered(served.crowd.moment());
            Ok(answer)
        }
    });
    let mut connection = pin!(served.http.serve_connection(io, answers));
    let mut slow = pin!(too_slow(&talk, limits, || served.crowd.is_full_by_half()));
    let mut stopping = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!(%error, "a connection to the API has failed");
                }
                return;
            }
            why = slow.as_mut() => {
                tracing::debug!(why, "a connection to the API is closed");
                return;
            }
            _ = stop.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// What balancers and supervisors ask for.
const HEALTH: [&str; 2] = ["/healthz", "/readyz"];

fn busy() -> Response<Body> {
    let error = ApiError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "as many requests are under way as this host takes at a time",
        "nothing was done: send it again in a moment, or raise `server.max_requests`",
    );
    let mut answer = error.into_response();
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

async fn answer(served: &Served, peer: Peer, mut request: Request<Incoming>) -> Response<Either<Full<Bytes>, Body>> {
    // Given back with the answer; where there is none any more, whoever looks after the host is answered all the same.
    let room = served.room.try_acquire();
    if room.is_err() && !HEALTH.contains(&request.uri().path()) {
        return busy().map(Either::Right);
    }
    if request.method() == Method::POST && request.uri().path() == events::PATH {
        return match events::accept(&served.face, request).await {
            Ok(answer) => answer.map(Either::Left),
            Err(error) => error.into_response().map(Either::Right),
        };
    }
    request.extensions_mut().insert(peer);
    // In a box, so that an event does not carry about the room that this would need.
    let answer = Box::pin(served.router.call(request)).await;
    answer.unwrap_or_else(|never| match never {}).map(Either::Right)
}
