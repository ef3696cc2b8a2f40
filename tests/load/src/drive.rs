//! The load generator: so many connections, each of which posts an event, waits for the answer, and posts the next.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::wire::{self, Connection, DIGITS, MARK, Times};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to post to
    #[arg(long)]
    to: SocketAddr,
    /// The path
    #[arg(long, default_value = "/v1/events")]
    path: String,
    /// Connections, each with one event under way
    #[arg(long, default_value_t = 64)]
    connections: u64,
    /// For how long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Events a second; as many as are answered when there is none
    #[arg(long)]
    rate: Option<u64>,
    /// A file with what is posted: `SENTAT` becomes the time, `NUMBER` a number that no other event has
    #[arg(long)]
    body: std::path::PathBuf,
}

/// What came of it.
#[derive(Serialize)]
struct Told {
    accepted: u64,
    refused: u64,
    begun_ns: u64,
    ended_ns: u64,
    answered: Times,
}

struct Counted {
    accepted: u64,
    refused: u64,
    answered: Histogram<u64>,
}

pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = tokio::task::LocalSet::new().block_on(&runtime, drive(options))?;
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

async fn drive(options: &Options) -> Result<Told> {
    let template = std::fs::read_to_string(&options.body).context("no body")?;
    let counted = Rc::new(RefCell::new(Counted { accepted: 0, refused: 0, answered: wire::histogram()? }));
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(Connection::new(TcpStream::connect(options.to).await?)?);
    }
    let begun = wire::now();
    let until = begun + Duration::from_secs(options.seconds).as_nanos() as u64;
    let step = options.rate.map(|rate| 1_000_000_000 * options.connections / rate.max(1));
    let mut tasks = Vec::new();
    for (index, connection) in (0..).zip(connections) {
        let request = Request::new(&options.path, &template)?;
        let pace = step.map(|step| (begun + step * index / options.connections, step));
        tasks.push(tokio::task::spawn_local(post(connection, request, pace, until, counted.clone())));
    }
    for task in tasks {
        task.await??;
    }
    let counted = counted.borrow();
    let (accepted, refused) = (counted.accepted, counted.refused);
    Ok(Told { accepted, refused, begun_ns: begun, ended_ns: wire::now(), answered: wire::times(&counted.answered) })
}

/// `pace`: when the first one is due, and how long after it the next.
async fn post(
    mut connection: Connection,
    mut request: Request,
    mut pace: Option<(u64, u64)>,
    until: u64,
    counted: Rc<RefCell<Counted>>,
) -> Result<()> {
    loop {
        let mut now = wire::now();
        // The time at which it was due counts, not the one at which there was room for it.
        if let Some((due, step)) = &mut pace {
            if *due > now {
                tokio::time::sleep(Duration::from_nanos(*due - now)).await;
            }
            now = *due;
            *due += *step;
        }
        if now >= until {
            return Ok(());
        }
        connection.stream.write_all(request.at(now)).await?;
        let Some(answer) = connection.read().await? else { bail!("the connection was closed") };
        let is_accepted = answer.start.starts_with(b"HTTP/1.1 2");
        let mut counted = counted.borrow_mut();
        counted.answered.saturating_record(wire::now().saturating_sub(now));
        if is_accepted {
            counted.accepted += 1;
        } else {
            if counted.refused == 0 {
                eprintln!("drive: {}", String::from_utf8_lossy(answer.body));
            }
            counted.refused += 1;
        }
    }
}

/// A request whose bytes are made once; only numbers change.
struct Request {
    bytes: Vec<u8>,
    /// Where the digits stand.
    sent: Vec<usize>,
    number: Vec<usize>,
}

impl Request {
    fn new(path: &str, template: &str) -> Result<Self> {
        let zeros = "0".repeat(DIGITS);
        let mark = String::from_utf8_lossy(MARK);
        let body =
            template.trim().replace("SENTAT", &format!("{mark}{zeros}")).replace("NUMBER", &format!("number{zeros}"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: herald\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let bytes = (head + &body).into_bytes();
        let places = |mark: &[u8]| memchr::memmem::find_iter(&bytes, mark).map(|at| at + mark.len()).collect();
        let (sent, number): (Vec<_>, Vec<_>) = (places(MARK), places(b"number"));
        if sent.is_empty() || number.is_empty() {
            bail!("the body has no SENTAT or no NUMBER");
        }
        Ok(Self { bytes, sent, number })
    }

    fn at(&mut self, now: u64) -> &[u8] {
        thread_local!(static NUMBER: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        // Other runs have had other times.
        let base = NUMBER.get();
        let number = if base == 0 { wire::now() } else { base + 1 };
        NUMBER.set(number);
        for (places, value) in [(&self.sent, now), (&self.number, number)] {
            for at in places {
                if let Some(digits) = self.bytes.get_mut(*at..*at + DIGITS) {
                    digits.copy_from_slice(format!("{value:020}").as_bytes());
                }
            }
        }
        &self.bytes
    }
}
