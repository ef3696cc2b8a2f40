//! A receiver that counts: how many came, when the last one did, and how long each was under way since it was posted.

use std::{cell::RefCell, net::SocketAddr, rc::Rc};

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use crate::wire::{self, Connection, MARK, Times};

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
}

/// What has come since it was last begun anew.
struct Seen {
    connections: u64,
    received: u64,
    last: u64,
    under_way: Histogram<u64>,
}

#[derive(Serialize)]
struct Told {
    /// Opened.
    connections: u64,
    received: u64,
    /// Of the clock that all processes share.
    last_ns: u64,
    under_way: Times,
}

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::bind(options.listen).await?;
        println!("{}", listener.local_addr()?);
        let seen = Rc::new(RefCell::new(Seen { connections: 0, received: 0, last: 0, under_way: wire::histogram()? }));
        loop {
            let (stream, _) = listener.accept().await?;
            let seen = seen.clone();
            seen.borrow_mut().connections += 1;
            tokio::task::spawn_local(async move {
                if let Err(error) = serve(stream, &seen).await {
                    eprintln!("sink: {error:#}");
                }
            });
        }
    })
}

async fn serve(stream: TcpStream, seen: &RefCell<Seen>) -> Result<()> {
    let mut connection = Connection::new(stream)?;
    while let Some(message) = connection.read().await? {
        let is_new = message.start.starts_with(b"DELETE ");
        if is_new || message.start.starts_with(b"GET ") {
            let told = tell(&seen.borrow())?;
            if is_new {
                seen.borrow_mut().begin_anew();
            }
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{told}", told.len());
            connection.stream.write_all(head.as_bytes()).await?;
            continue;
        }
        let now = wire::now();
        {
            let mut seen = seen.borrow_mut();
            seen.received += 1;
            seen.last = now;
            if let Some(at) = memchr::memmem::find(message.body, MARK.as_bytes()) {
                let sent = wire::number(message.body.get(at + MARK.len()..).unwrap_or_default());
                seen.under_way.saturating_record(now.saturating_sub(sent.unwrap_or(now)));
            }
        }
        connection.stream.write_all(TAKEN).await?;
    }
    Ok(())
}

fn tell(seen: &Seen) -> Result<String> {
    let told = Told {
        connections: seen.connections,
        received: seen.received,
        last_ns: seen.last,
        under_way: wire::times(&seen.under_way),
    };
    Ok(serde_json::to_string(&told)?)
}

impl Seen {
    fn begin_anew(&mut self) {
        (self.connections, self.received, self.last) = (0, 0, 0);
        self.under_way.reset();
    }
}
