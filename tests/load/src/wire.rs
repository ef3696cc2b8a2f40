//! As much HTTP/1.1 as a generator and a sink need: a message with a length is read whole, its head looked at once.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::time::ClockId;
use serde::Serialize;
use tokio::{io::AsyncReadExt, net::TcpStream};

/// What stands before the digits of the time at which an event was posted.
pub const MARK: &str = "sentat";
/// Digits of a number in an event.
pub const DIGITS: usize = 20;

/// Nanoseconds of the clock that all processes of a machine share.
pub fn now() -> u64 {
    clock(ClockId::Monotonic)
}

/// Nanoseconds that this process has used of the processors.
pub fn used() -> u64 {
    clock(ClockId::ProcessCPUTime)
}

fn clock(clock: ClockId) -> u64 {
    let time = rustix::time::clock_gettime(clock);
    u64::try_from(time.tv_sec).unwrap_or_default() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// A duration in nanoseconds.
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What is measured here is real time.
#[allow(clippy::disallowed_methods)]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
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
    let httparse::Status::Complete((_, headers)) = httparse::parse_headers(rest, &mut headers)? else {
        bail!("not all of a head")
    };
    let length = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let Some(length) = length else { return Ok(0) };
    std::str::from_utf8(length.value)?.parse().context("no content-length")
}

/// Times as they are told, in microseconds.
#[derive(Serialize)]
pub struct Times {
    #[serde(rename = "p50_us")]
    p50: f64,
    #[serde(rename = "p99_us")]
    p99: f64,
    #[serde(rename = "max_us")]
    max: f64,
}

/// Up to a minute, with three digits.
pub fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(100, nanos(Duration::from_mins(1)), 3)?)
}

#[allow(clippy::cast_precision_loss)]
pub fn times(histogram: &Histogram<u64>) -> Times {
    let at = |quantile| histogram.value_at_quantile(quantile) as f64 / 1000.0;
    Times { p50: at(0.5), p99: at(0.99), max: histogram.max() as f64 / 1000.0 }
}

/// The number that stands at the beginning of a text.
pub fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text.get(..DIGITS)?).ok()?.parse().ok()
}
