//! The load generator: so many connections, each of which posts an event, waits for the answer, and posts the next.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{
    request::Request,
    wire::{self, Connection, Times},
};

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
    /// A file with what is posted: `SENTAT` becomes the time, `NUMBER` a number that no other event has, `TURN` one of so
    /// many as there are turns
    #[arg(long)]
    body: PathBuf,
    /// How many turns there are
    #[arg(long, default_value_t = 1)]
    turns: u64,
}

/// What came of it.
#[derive(Serialize)]
struct Told {
    accepted: u64,
    refused: u64,
    begun_ns: u64,
    ended_ns: u64,
    /// Of the processors, by this program.
    used_ns: u64,
    answered: Times,
}

/// What all connections share.
struct Run {
    until: u64,
    turns: u64,
    number: Cell<u64>,
    accepted: Cell<u64>,
    refused: Cell<u64>,
    answered: RefCell<Histogram<u64>>,
}

/// When the next event of a connection is due, and how long after it the one after that.
struct Pace {
    due: u64,
    step: u64,
}

pub fn run(options: &Options) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let told = tokio::task::LocalSet::new().block_on(&runtime, drive(options))?;
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

async fn drive(options: &Options) -> Result<Told> {
    let template = std::fs::read_to_string(&options.body).context("no body")?;
    let mut connections = Vec::new();
    for _ in 0..options.connections {
        connections.push(Connection::new(TcpStream::connect(options.to).await?)?);
    }
    let begun = wire::now();
    let run = Rc::new(Run {
        until: begun + wire::nanos(Duration::from_secs(options.seconds)),
        turns: options.turns.max(1),
        // Other runs began at other times.
        number: Cell::new(begun),
        accepted: Cell::new(0),
        refused: Cell::new(0),
        answered: RefCell::new(wire::histogram()?),
    });
    let step = options.rate.map(|rate| 1_000_000_000 * options.connections / rate.max(1));
    let mut tasks = Vec::new();
    for (index, connection) in (0..).zip(connections) {
        let request = Request::new(&options.path, &template)?;
        let pace = step.map(|step| Pace { due: begun + step * index / options.connections, step });
        tasks.push(tokio::task::spawn_local(post(connection, request, pace, run.clone())));
    }
    for task in tasks {
        task.await??;
    }
    Ok(Told {
        accepted: run.accepted.get(),
        refused: run.refused.get(),
        begun_ns: begun,
        ended_ns: wire::now(),
        used_ns: wire::used(),
        answered: wire::times(&run.answered.borrow()),
    })
}

async fn post(mut connection: Connection, mut request: Request, mut pace: Option<Pace>, run: Rc<Run>) -> Result<()> {
    loop {
        let begun = begin(pace.as_mut()).await;
        if begun >= run.until {
            return Ok(());
        }
        let number = run.number.replace(run.number.get() + 1);
        connection.stream.write_all(request.with(begun, number, number % run.turns)?).await?;
        let Some(answer) = connection.read().await? else { bail!("the connection was closed") };
        run.answered.borrow_mut().saturating_record(wire::now().saturating_sub(begun));
        if answer.start.starts_with(b"HTTP/1.1 2") {
            run.accepted.set(run.accepted.get() + 1);
        } else if run.refused.replace(run.refused.get() + 1) == 0 {
            eprintln!("drive: {}", String::from_utf8_lossy(answer.body));
        }
    }
}

/// When the next event begins. Where it was due earlier, because the one before it was answered late, that time counts.
/// How late the timer is does not: it is not the doing of whom we measure.
async fn begin(pace: Option<&mut Pace>) -> u64 {
    let now = wire::now();
    let Some(pace) = pace else { return now };
    let due = pace.due;
    pace.due += pace.step;
    if due <= now {
        return due;
    }
    wire::pause(Duration::from_nanos(due - now)).await;
    wire::now()
}
