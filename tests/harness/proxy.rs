//! A proxy on loopback: does as it is told, and keeps what it was asked for.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// What it does with who asks.
#[derive(Clone, Copy)]
pub enum Manner {
    /// Connects, as HTTP has it.
    Connects,
    /// Connects, as SOCKS 5 has it, for who knows the password `pass:word` of `user`.
    Socks,
    /// Says this and closes.
    Says(&'static str),
    /// Refuses as SOCKS 5 does, with this code.
    RefusesBySocks(u8),
    /// Takes the request and says nothing.
    IsSilent,
}

pub struct Proxy {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let noted = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let noted = noted.clone();
                // Who goes away in the middle is no fault of the test's.
                tokio::spawn(async move { serve(stream, manner, &noted).await.unwrap_or_default() });
            }
        });
        Self { address, asked }
    }

    /// What it was asked for: the heads of CONNECT, or the addresses by SOCKS.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, asked: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let target = match manner {
        Manner::Socks | Manner::RefusesBySocks(_) => socks(&mut stream).await?,
        _ => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            String::from_utf8(head).unwrap()
        }
    };
    asked.lock().unwrap().push(target.clone());
    let to = target.trim_start_matches("CONNECT ").split(' ').next().unwrap().to_owned();
    match manner {
        Manner::Connects => stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
        Manner::Socks => stream.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?,
        Manner::Says(answer) => return stream.write_all(answer.as_bytes()).await,
        Manner::RefusesBySocks(code) => return stream.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await,
        Manner::IsSilent => return std::future::pending().await,
    }
    let mut receiver = TcpStream::connect(to).await?;
    copy_bidirectional(&mut stream, &mut receiver).await.map(drop)
}

/// The address that is asked for, once the password is right (RFC 1928, RFC 1929); a name is no address.
async fn socks(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut offered = vec![0; 2];
    stream.read_exact(&mut offered).await?;
    let mut methods = vec![0; offered[1].into()];
    stream.read_exact(&mut methods).await?;
    stream.write_all(&[5, 2]).await?;
    let mut given = vec![0; b"\x01\x04user\x09pass:word".len()];
    stream.read_exact(&mut given).await?;
    let is_right = given == b"\x01\x04user\x09pass:word";
    stream.write_all(&[1, u8::from(!is_right)]).await?;
    let mut request = [0; 10];
    stream.read_exact(&mut request).await?;
    let [5, 1, 0, 1, a, b, c, d, high, low] = request else { return Ok(format!("no address: {request:?}")) };
    Ok(format!("{a}.{b}.{c}.{d}:{}", u16::from_be_bytes([high, low])))
}
