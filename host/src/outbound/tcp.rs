//! From addresses to a TCP connection with one of them. Must not resolve: the guard has passed each of these.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::future::select_ok;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How often TCP asks on a quiet connection, and how long what was sent may stay unacknowledged.
const ALIVE: Duration = Duration::from_secs(15);
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);
/// How long the addresses of the other family wait for those of the first one's (RFC 8305 calls them happy eyeballs).
const HEAD_START: Duration = Duration::from_millis(300);

/// The operator wants to be seen under an address from which no connection can be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoSource {
    /// What is connected to is of the other family.
    #[error("it has no {family} address, and connections are to come from {bind} (`bind`)")]
    Family {
        /// What there is none of.
        family: &'static str,
        /// Where connections are to come from.
        bind: IpAddr,
    },
    /// The machine has no such address, or none for us.
    #[error("connections are to come from {0} (`bind`), which this machine does not allow: {1}")]
    Address(IpAddr, io::Error),
}

/// Tries the addresses in their order; those of the other family at the same time, if the first ones take long. With a
/// source address the connection comes from there, and the addresses of the other family are of no use.
pub(super) async fn connect(mut addresses: Vec<SocketAddr>, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    if let Some(bind) = bind {
        addresses.retain(|address| address.is_ipv4() == bind.is_ipv4());
        if addresses.is_empty() {
            let family = if bind.is_ipv4() { "IPv4" } else { "IPv6" };
            return Err(io::Error::other(NoSource::Family { family, bind }));
        }
    }
    let v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == v6);
    let (mut first, second) = (pin!(in_turn(&preferred, bind)), pin!(in_turn(&others, bind)));
    if others.is_empty() {
        return first.await;
    }
    match timeout(HEAD_START, first.as_mut()).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(_)) => second.await,
        Err(_) => select_ok([first, second]).await.map(|(stream, _)| stream),
    }
}

/// Of several errors the first counts.
async fn in_turn(addresses: &[SocketAddr], bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in addresses {
        match one(*address, bind).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::NotConnected.into()))
}

async fn one(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Err(error) = set_up(&socket) {
        tracing::warn!(%error, "cannot set up a socket: its connection may outlive its other end");
    }
    if let Some(bind) = bind {
        let refused = |error| io::Error::other(NoSource::Address(bind, error));
        socket.bind(SocketAddr::new(bind, 0)).map_err(refused)?;
    }
    socket.connect(address).await
}

fn set_up(socket: &TcpSocket) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(ALIVE).with_interval(ALIVE).with_retries(3))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_does_not_connect() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let closed = |address: &str| SocketAddr::new(address.parse().unwrap(), good.port());
        for addresses in [vec![closed("127.0.0.2"), good], vec![closed("::1"), good], vec![good, closed("::1")]] {
            assert_eq!(connect(addresses, None).await.unwrap().peer_addr().unwrap(), good);
        }
        let refused = connect(vec![closed("127.0.0.2"), closed("127.0.0.3")], None).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(vec![], None).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }

    #[tokio::test]
    async fn a_connection_comes_from_the_address_that_it_is_to_come_from_or_not_at_all() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let from = |bind: &str, to: SocketAddr| connect(vec![to], Some(bind.parse().unwrap()));
        for _ in 0..3 {
            let stream = from("127.0.0.2", good).await.unwrap();
            assert_eq!(stream.local_addr().unwrap().ip().to_string(), "127.0.0.2");
        }
        let other = from("::1", good).await.unwrap_err().to_string();
        assert_eq!(other, "it has no IPv6 address, and connections are to come from ::1 (`bind`)");
        let nobodys = from("192.0.2.1", good).await.unwrap_err().to_string();
        assert!(
            nobodys.starts_with("connections are to come from 192.0.2.1 (`bind`), which this machine"),
            "{nobodys}"
        );
    }
}
