//! What contestants are measured with: the generator and the sink, and how a pass goes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::contestant::Running;
use super::figures::{Pass, Times};
use crate::measure::now;
use crate::measure::process::{self, Memory};
use crate::measure::program::Program;
use crate::measure::wire::Connection;

/// A delivery that is missing may take so long after the last one that came.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the contestant still does when the sink has everything belongs to the pass: Herald writes down what came of it.
const AFTER: Duration = Duration::from_millis(200);

/// Which cores programs may run on: all, or the first ones.
#[derive(Debug, Clone, Copy)]
pub enum Cores {
    /// All that there are.
    All,
    /// So many.
    First(usize),
}

impl Cores {
    /// A command that is bound to them.
    pub fn command(self, program: &Path) -> Command {
        let Self::First(count) = self else { return Command::new(program) };
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", &format!("0-{}", count.saturating_sub(1))]).arg(program);
        command
    }
}

/// How much is posted.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// For so long.
    pub seconds: u64,
    /// Events a second; none: the next as soon as the one before it is answered.
    pub rate: Option<u64>,
    /// Of how many different types, where the event has a `TURN`.
    pub turns: u64,
}

/// The generator, and a sink that runs.
pub struct Rig {
    /// The programs, `herald-load`.
    pub load: PathBuf,
    /// What contestants may run on, too.
    pub cores: Cores,
    /// Of the generator: so many events are on their way at once.
    pub connections: usize,
    /// Of the sink.
    pub address: SocketAddr,
    sink: Program,
    connection: Connection,
}

/// Processor time.
struct Used {
    contestant: Duration,
    threads: BTreeMap<String, Duration>,
    sink: Duration,
    this: Duration,
    all: Duration,
}

impl Used {
    fn since(self, before: &Self) -> Self {
        let threads = self.threads.into_iter().map(|(name, used)| {
            let before = before.threads.get(&name).copied().unwrap_or_default();
            (name, used.saturating_sub(before))
        });
        Self {
            contestant: self.contestant.saturating_sub(before.contestant),
            threads: threads.collect(),
            sink: self.sink.saturating_sub(before.sink),
            this: self.this.saturating_sub(before.this),
            all: self.all.saturating_sub(before.all),
        }
    }
}

#[derive(Deserialize)]
struct Driven {
    accepted: u64,
    refused: u64,
    begun_ns: u64,
    ended_ns: u64,
    used_ns: u64,
    answered: Times,
}

#[derive(Deserialize)]
struct Seen {
    connections: u64,
    received: u64,
    last_ns: u64,
    under_way: Times,
}

impl Rig {
    /// Starts the sink.
    pub fn start(load: &Path, cores: Cores, connections: usize) -> Result<Self> {
        let (sink, address) = Program::start_with_address(cores.command(load).arg("sink"))?;
        Ok(Self { load: load.to_owned(), cores, connections, address, sink, connection: Connection::open(address)? })
    }

    /// What comes first is slower: connections, caches, memory. It does not count.
    pub fn warm_up(&mut self, contestant: &Running) -> Result<()> {
        self.pass(contestant, Load { seconds: 1, rate: None, turns: 1 }).map(drop)
    }

    /// Posts events and waits until the sink has all that were accepted.
    #[allow(clippy::cast_precision_loss)]
    pub fn pass(&mut self, contestant: &Running, load: Load) -> Result<Pass> {
        let family = process::family(contestant.program.id());
        let begun = (now(), self.used(contestant, &family));
        self.ask("DELETE")?;
        let driven = self.drive(contestant, load)?;
        let seen = self.wait_for(driven.accepted)?;
        if driven.refused > 0 {
            bail!("{} events were refused, {} were accepted", driven.refused, driven.accepted);
        }
        let (length, used) = (begun.0.elapsed(), self.used(contestant, &family).since(&begun.1));
        let generator = Duration::from_nanos(driven.used_ns);
        let others = used.all.saturating_sub(used.contestant + used.sink + used.this + generator);
        let an_event = |time: Duration| time.as_secs_f64() * 1e6 / driven.accepted as f64;
        let a_second = |count: u64, until: u64| count as f64 * 1e9 / until.saturating_sub(driven.begun_ns) as f64;
        let memory = || family.iter().map(|id| Memory::of(*id));
        let mib = |kib: u64| kib as f64 / 1024.0;
        let threads = used.threads.into_iter().map(|(name, used)| (name, an_event(used)));
        Ok(Pass {
            accepted: a_second(driven.accepted, driven.ended_ns),
            delivered: a_second(seen.received, seen.last_ns),
            cpu_us: an_event(used.contestant),
            accept: driven.answered,
            receive: seen.under_way,
            peak_mib: mib(memory().map(|memory| memory.peak).sum()),
            resident_mib: mib(memory().map(|memory| memory.resident).sum()),
            generator_us: an_event(generator),
            sink_us: an_event(used.sink),
            connections: seen.connections as f64,
            others: others.as_secs_f64() / length.as_secs_f64() * 100.0,
            threads_us: threads.filter(|(_, used)| *used >= 0.05).collect(),
        })
    }

    fn used(&self, contestant: &Running, family: &[u32]) -> Used {
        let of = |id: u32| process::used(&id.to_string());
        Used {
            contestant: family.iter().map(|id| of(*id)).sum(),
            threads: process::threads(contestant.program.id()),
            sink: of(self.sink.id()),
            this: process::used("self"),
            all: process::used_by_all(),
        }
    }

    fn drive(&self, contestant: &Running, load: Load) -> Result<Driven> {
        let mut command = self.cores.command(&self.load);
        let connections = self.connections.to_string();
        command.args(["drive", "--to", &contestant.address.to_string(), "--path", contestant.path]);
        command.args(["--connections", &connections, "--seconds", &load.seconds.to_string()]);
        command.args(["--turns", &load.turns.to_string(), "--body"]).arg(&contestant.event);
        if let Some(rate) = load.rate {
            command.args(["--rate", &rate.to_string()]);
        }
        let told = command.stderr(Stdio::inherit()).output()?;
        serde_json::from_slice(&told.stdout).context("the generator failed")
    }

    /// Until as many have come as were accepted, and no more come.
    fn wait_for(&mut self, accepted: u64) -> Result<Seen> {
        let (mut before, mut came) = (0, now());
        loop {
            let seen = self.ask("GET")?;
            if seen.received > before {
                (before, came) = (seen.received, now());
            }
            if seen.received >= accepted {
                break;
            }
            if came.elapsed() > PATIENCE {
                bail!("of {accepted} events that were accepted {} were delivered", seen.received);
            }
            thread::sleep(Duration::from_millis(20));
        }
        thread::sleep(AFTER);
        let seen = self.ask("GET")?;
        if seen.received != accepted {
            bail!("{accepted} events were accepted, and {} deliveries came", seen.received);
        }
        Ok(seen)
    }

    fn ask(&mut self, method: &str) -> Result<Seen> {
        let (_, told) = self.connection.request(method, "/", "")?;
        Ok(serde_json::from_str(&told)?)
    }
}
