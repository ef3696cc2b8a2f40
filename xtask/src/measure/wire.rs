//! As much HTTP/1.1 as two programs of ours need to talk to each other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};

/// A connection that is kept.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// To the host.
    pub fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("can't connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// A request and its answer: the status and the body.
    pub fn request(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let Some((first, body)) = read_message(&mut self.stream)? else { bail!("the host closed the connection") };
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.with_context(|| format!("not an answer: {first}"))?, body))
    }
}

/// The first line and the body of a message with a length; none at the end of the connection.
pub fn read_message(stream: &mut BufReader<impl Read>) -> Result<Option<(String, String)>> {
    let mut first = String::new();
    if stream.read_line(&mut first)? == 0 {
        return Ok(None);
    }
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            bail!("the connection ended within the headers");
        }
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Some((first.trim_end().to_owned(), String::from_utf8(body)?)))
}
