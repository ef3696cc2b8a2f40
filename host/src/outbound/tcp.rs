//! From addresses to a TCP connection with one of them. Must not resolve: the guard has passed each of these.

use std::{io, net::SocketAddr, pin::pin, time::Duration};

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

/// Tries the addresses in their order; those of the other family at the same time, if the first ones take long.
pub(super) async fn connect(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == v6);
    let (mut first, second) = (pin!(in_turn(&preferred)), pin!(in_turn(&others)));
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
async fn in_turn(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut failed = None;
    for address in addresses {
        match one(*address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| io::ErrorKind::NotConnected.into()))
}

async fn one(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Err(error) = set_up(&socket) {
        tracing::warn!(%error, "cannot set up a socket: its connection may outlive its other end");
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
            assert_eq!(connect(addresses).await.unwrap().peer_addr().unwrap(), good);
        }
        let refused = connect(vec![closed("127.0.0.2"), closed("127.0.0.3")]).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(connect(vec![]).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    }
}
