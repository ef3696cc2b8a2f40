//! What went wrong on the wire, as one of the glossary's errors and in words that a person can act on.
//!
//! The client nests errors of five crates and prints URLs; neither leaves this module.

use std::{error::Error, io, time::Duration};

use rustls::CertificateError;
use url::Url;

use super::{check::Refused, progress::Phase};
use crate::model::TransportError;

/// Whom an exchange was with: never more of the URL than this.
pub(super) struct Peer {
    name: String,
    https: bool,
}

impl Peer {
    pub(super) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().map_or(String::new(), |port| format!(":{port}"));
        Self { name: format!("{host}{port}"), https: url.scheme() == "https" }
    }
}

/// An exchange that came to no end.
pub(super) enum Failure {
    /// The guard refused every address of the name.
    Blocked(Refused),
    Wire(TransportError, String),
}

/// Reads the client's error.
pub(super) fn failure(error: &reqwest::Error, peer: &Peer) -> Failure {
    let chain = chain(error);
    if let Some(refused) = chain.iter().find_map(|error| error.downcast_ref::<Refused>()) {
        return Failure::Blocked(refused.clone());
    }
    let name = &peer.name;
    let (kind, words) = if error.is_dns() {
        (TransportError::Dns, format!("{name} does not resolve: {}", last(&chain)))
    } else if let Some(tls) = chain.iter().find_map(|error| error.downcast_ref::<rustls::Error>()) {
        (TransportError::Tls, tls_words(tls, name))
    } else if error.is_connect() {
        connect_words(&chain, peer)
    } else {
        broken_words(error, &chain, name)
    };
    Failure::Wire(kind, words)
}

/// Says that the deadline passed, and what was missing.
pub(super) fn timed_out(phase: Phase, deadline: Duration, read: usize, peer: &Peer) -> Failure {
    let name = &peer.name;
    let missing = match phase {
        Phase::Resolve => format!("while resolving {name}"),
        Phase::Connect if peer.https => format!("while connecting to {name} (TCP or TLS)"),
        Phase::Connect => format!("while connecting to {name}"),
        Phase::Headers => format!("while waiting for the response's headers from {name}"),
        Phase::Body => format!("while reading the response's body from {name} ({read} bytes so far)"),
    };
    Failure::Wire(TransportError::Timeout, format!("no complete response within {deadline:?}: time was up {missing}"))
}

fn tls_words(error: &rustls::Error, name: &str) -> String {
    let why = match error {
        rustls::Error::InvalidMessage(_) => "the other end does not speak TLS on this port".to_owned(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is signed by nobody that this machine trusts (are its CA certificates installed?)"
                .to_owned()
        }
        other => other.to_string(),
    };
    format!("TLS with {name} failed: {why}")
}

fn connect_words(chain: &[&(dyn Error + 'static)], peer: &Peer) -> (TransportError, String) {
    use io::ErrorKind as Kind;
    let name = &peer.name;
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

fn broken_words(error: &reqwest::Error, chain: &[&(dyn Error + 'static)], name: &str) -> (TransportError, String) {
    let hyper = chain.iter().find_map(|error| error.downcast_ref::<hyper::Error>());
    let io = chain.iter().find_map(|error| error.downcast_ref::<io::Error>());
    // A chunked or a counted body that ends too early is a parser's error to hyper, but to us the connection broke.
    let early = io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
    let closed = hyper.is_some_and(|hyper| hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled());
    if hyper.is_some_and(hyper::Error::is_parse) && !early {
        (TransportError::Protocol, format!("{name} did not answer with HTTP: {}", last(chain)))
    } else if early || closed || io.is_some() {
        let what =
            if error.is_decode() || error.is_body() { "in the middle of the response" } else { "before it answered" };
        (TransportError::Reset, format!("{name} closed the connection {what}"))
    } else {
        (TransportError::Protocol, format!("the exchange with {name} failed: {}", last(chain)))
    }
}

fn last(chain: &[&(dyn Error + 'static)]) -> String {
    chain.last().map(ToString::to_string).unwrap_or_default()
}

/// The error and what caused it, down to the root. `io::Error::source` skips what it wraps, so that is taken out first.
fn chain(error: &reqwest::Error) -> Vec<&(dyn Error + 'static)> {
    let mut all: Vec<&(dyn Error + 'static)> = Vec::new();
    let mut current = error.source();
    while let Some(error) = current {
        all.push(error);
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        current = wrapped.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    all
}
