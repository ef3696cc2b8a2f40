//! What went wrong on the wire, as one of the glossary's errors and in words that a person can act on.
//!
//! The client nests errors of six crates, which do not leave this module.

use std::{error::Error, io, time::Duration};

use http::Request;
use rustls::{CertificateError, PeerIncompatible, pki_types::InvalidDnsNameError};
use url::Url;

use super::{
    check::Refused,
    connection,
    progress::Phase,
    proxy::Fault,
    resolve::{Failed, Unresolved},
};
use crate::model::{Proxy, TransportError};

/// Whom an exchange was with: never more of the URL than this.
pub(super) struct Peer {
    name: String,
    https: bool,
    /// Through whom.
    proxy: Option<String>,
}

impl Peer {
    pub(super) fn of(url: &Url, proxy: Option<&Proxy>) -> Self {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().map_or(String::new(), |port| format!(":{port}"));
        Self { name: format!("{host}{port}"), https: url.scheme() == "https", proxy: proxy.map(Proxy::to_string) }
    }
}

/// How an exchange broke off.
pub(super) enum Broken {
    /// The URL is none that HTTP can carry.
    Url,
    /// There is no connection.
    Connect(Failed),
    /// The connection ended before anything of the request was written to it.
    Unsent(Box<Request<connection::Body>>, hyper::Error),
    /// Before the answer.
    Request(hyper::Error),
    /// In its body.
    Body(hyper::Error),
    /// Interim answers (1xx) without end.
    Interim,
    /// 101: the other end speaks something else from now on, which nobody had asked for.
    Switched,
}

/// An exchange that came to no end.
pub(super) enum Failure {
    /// The guard refused every address of the name.
    Blocked(Refused),
    Wire(TransportError, String),
}

/// Names what broke.
pub(super) fn failure(broken: &Broken, peer: &Peer) -> Failure {
    let name = &peer.name;
    let protocol = |words: String| Failure::Wire(TransportError::Protocol, words);
    match broken {
        Broken::Url => Failure::Blocked(Refused::settings("HTTP can't carry the URL")),
        Broken::Interim => protocol(format!("{name} sent interim answers (1xx) without end")),
        Broken::Switched => protocol(format!("{name} switched to another protocol (101) without being asked to")),
        Broken::Body(error) => wire(broken_words(&chain(error), name, "in the middle of the response")),
        Broken::Request(error) | Broken::Unsent(_, error) => {
            wire(broken_words(&chain(error), name, "before it answered"))
        }
        Broken::Connect(error) => {
            let chain = chain(&**error);
            match chain.iter().find_map(|error| error.downcast_ref::<Refused>()) {
                Some(refused) => Failure::Blocked(refused.clone()),
                None => wire(connect_words(&chain, peer)),
            }
        }
    }
}

fn wire((kind, words): (TransportError, String)) -> Failure {
    Failure::Wire(kind, words)
}

/// Says that the deadline passed, and what was missing.
pub(super) fn timed_out(phase: Phase, deadline: Duration, read: usize, peer: &Peer) -> Failure {
    let name = &peer.name;
    let proxy = peer.proxy.as_deref().unwrap_or_default();
    let kind = if phase == Phase::Proxy { TransportError::Proxy } else { TransportError::Timeout };
    let missing = match phase {
        Phase::Proxy => format!("while waiting for the proxy {proxy} to connect to {name}"),
        Phase::Resolve => format!("while resolving {name}"),
        Phase::Connect if peer.https => format!("while connecting to {name} (TCP or TLS)"),
        Phase::Connect => format!("while connecting to {name}"),
        Phase::Headers => format!("while waiting for the response's headers from {name}"),
        Phase::Body => format!("while reading the response's body from {name} ({read} bytes so far)"),
    };
    Failure::Wire(kind, format!("no complete response within {deadline:?}: time was up {missing}"))
}

type Chain<'a> = [&'a (dyn Error + 'static)];

fn connect_words(chain: &Chain<'_>, peer: &Peer) -> (TransportError, String) {
    use io::ErrorKind as Kind;
    let name = &peer.name;
    if let Some(fault) = find::<Fault>(chain) {
        let proxy = peer.proxy.as_deref().unwrap_or_default();
        return (TransportError::Proxy, format!("the proxy {proxy} {fault}"));
    }
    let nameless = |error: &&(dyn Error + 'static)| error.is::<Unresolved>() || error.is::<InvalidDnsNameError>();
    if chain.iter().any(nameless) {
        return (TransportError::Dns, format!("{name} does not resolve: {}", last(chain)));
    }
    if let Some(tls) = find::<rustls::Error>(chain) {
        return (TransportError::Tls, tls_words(tls, name));
    }
    let io = chain.iter().filter_map(|error| error.downcast_ref::<io::Error>()).next_back();
    let connect = |words: String| (TransportError::Connect, words);
    match io.map(io::Error::kind) {
        Some(Kind::ConnectionRefused) => connect(format!("connection refused by {name}")),
        Some(Kind::TimedOut) => connect(format!("{name} did not answer the attempt to connect")),
        Some(Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NotConnected) => {
            connect(format!("no way to {name}: {}", last(chain)))
        }
        // The connection was there, and ended before TLS was.
        Some(Kind::UnexpectedEof | Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe)
            if peer.https =>
        {
            (
                TransportError::Tls,
                format!("TLS with {name} failed: the other end closed the connection in the handshake"),
            )
        }
        _ => connect(format!("no connection to {name}: {}", last(chain))),
    }
}

fn tls_words(error: &rustls::Error, name: &str) -> String {
    let why = match error {
        rustls::Error::InvalidMessage(_) => "the other end does not speak TLS on this port".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody that this machine trusts (are its CA certificates installed?)"
                .to_owned()
        }
        rustls::Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the other end speaks neither TLS 1.2 nor 1.3".to_owned()
        }
        other => other.to_string(),
    };
    format!("TLS with {name} failed: {why}")
}

/// Of a connection that was there.
fn broken_words(chain: &Chain<'_>, name: &str, when: &str) -> (TransportError, String) {
    use io::ErrorKind as Kind;
    if let Some(h2) = find::<h2::Error>(chain).filter(|h2| !h2.is_io()) {
        return http2_words(h2, name, when);
    }
    if let Some(tls) = find::<rustls::Error>(chain) {
        return (TransportError::Tls, tls_words(tls, name));
    }
    let reset = (TransportError::Reset, format!("{name} closed the connection {when}"));
    let protocol = |why: String| (TransportError::Protocol, format!("{name} did not answer with proper HTTP: {why}"));
    match find::<io::Error>(chain).map(io::Error::kind) {
        // What hyper says of a body that is framed wrongly.
        Some(Kind::InvalidInput | Kind::InvalidData) => return protocol(last(chain)),
        Some(Kind::TimedOut) => {
            return (TransportError::Timeout, format!("{name} acknowledged nothing any more {when}"));
        }
        Some(_) => return reset,
        None => {}
    }
    // The innermost: a request that was never sent says by it why the connection ended.
    match chain.iter().rev().find_map(|error| error.downcast_ref::<hyper::Error>()) {
        Some(hyper) if hyper.is_timeout() => {
            (TransportError::Timeout, format!("{name} gave no sign of life any more {when}"))
        }
        Some(hyper) if hyper.is_incomplete_message() => reset,
        Some(hyper) if hyper.is_closed() || hyper.is_canceled() => {
            (TransportError::Reset, format!("the connection with {name} ended before the request was sent"))
        }
        Some(hyper) if hyper.is_parse_too_large() => protocol("its headers are too long or too many".to_owned()),
        _ => protocol(last(chain)),
    }
}

/// Over HTTP/2 one exchange can be broken off without the connection, and both ends can say why.
fn http2_words(error: &h2::Error, name: &str, when: &str) -> (TransportError, String) {
    let why = error.reason().map_or_else(|| error.to_string(), |reason| format!("{reason:?}, {reason}"));
    if !error.is_remote() {
        (TransportError::Protocol, format!("{name} did not answer with proper HTTP/2: {why}"))
    } else if error.is_go_away() {
        (TransportError::Reset, format!("{name} closed the HTTP/2 connection {when}: {why}"))
    } else {
        (TransportError::Reset, format!("{name} reset the HTTP/2 stream {when}: {why}"))
    }
}

fn find<'a, E: Error + 'static>(chain: &Chain<'a>) -> Option<&'a E> {
    chain.iter().find_map(|error| error.downcast_ref::<E>())
}

fn last(chain: &Chain<'_>) -> String {
    chain.last().map(ToString::to_string).unwrap_or_default()
}

/// The error and what caused it, down to the root. `io::Error::source` skips what it wraps, so that is taken out first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut all = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        all.push(error);
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        current = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    all
}
