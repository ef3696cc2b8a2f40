//! As much HTTP/1.1 as a generator and a sink need: a message with a length is read whole, its head looked at once.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What stands before the 20 digits of the time at which an event was posted.
pub const MARK: &[u8] = b"sentat";
/// Digits of a number in an event.
pub const DIGITS: usize = 20;

/// Nanoseconds of the clock that all processes of a machine share.
pub fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or_default()
}

/// A connection, with what was read and not yet looked at.
pub struct Connection {
    pub stream: TcpStream,
    buffer: Vec<u8>,
    /// Where the next message begins.
    from: usize,
}

/// A message, as far as anybody here looks at it.
pub struct Message<'a> {
    /// The first bytes of its first line.
    pub start: &'a [u8],
    pub body: &'a [u8],
}

impl Connection {
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(16 << 10), from: 0 })
    }

    /// The next message; none at the end of the connection.
    pub async fn read(&mut self) -> Result<Option<Message<'_>>> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let (head, length) = loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.get(..end + 4).unwrap_or_default();
                break (end + 4, length(head)?);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        let end = head + length;
        while self.buffer.len() < end {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the connection ended within a message");
            }
        }
        self.from = end;
        let part = |from: usize, to: usize| self.buffer.get(from..to).unwrap_or_default();
        Ok(Some(Message { start: part(0, head), body: part(head, end) }))
    }
}

fn length(head: &[u8]) -> Result<usize> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let start = memchr::memchr(b'\n', head).map_or(0, |end| end + 1);
    let rest = head.get(start..).unwrap_or_default();
    let (_, headers) = httparse::parse_headers(rest, &mut headers)?.unwrap_or_default_headers();
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = length else { return Ok(0) };
    std::str::from_utf8(length.value)?.parse().context("no content-length")
}

trait Parsed<'a, 'b> {
    fn unwrap_or_default_headers(self) -> (usize, &'b [httparse::Header<'a>]);
}

impl<'a, 'b> Parsed<'a, 'b> for httparse::Status<(usize, &'b [httparse::Header<'a>])> {
    fn unwrap_or_default_headers(self) -> (usize, &'b [httparse::Header<'a>]) {
        match self {
            httparse::Status::Complete(parsed) => parsed,
            httparse::Status::Partial => (0, &[]),
        }
    }
}

/// Times, as they are told.
#[derive(Serialize)]
pub struct Times {
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// Up to a minute, with three digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, u64::try_from(Duration::from_mins(1).as_nanos())?, 3)?)
}

#[allow(clippy::cast_precision_loss)]
pub fn times(histogram: &Histogram<u64>) -> Times {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Times { p50_us: at(0.5), p99_us: at(0.99), max_us: histogram.max() as f64 / 1000.0 }
}

/// The number that stands at the beginning of a text.
pub fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(..DIGITS)?).ok()?.parse().ok()
}
