//! A port that nobody listens on.

use std::{fmt, net::SocketAddr};

use tokio::net::TcpSocket;

/// An address of loopback where connections are refused: its port is taken, so that nobody else comes to listen there.
pub struct Closed {
    pub address: SocketAddr,
    _socket: TcpSocket,
}

impl Closed {
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { address: socket.local_addr().unwrap(), _socket: socket }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}
