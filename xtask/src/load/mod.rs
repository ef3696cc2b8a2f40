//! `cargo xtask measure load`: how fast Herald is, beside what its HTTP parts can do at best.
//!
//! The release build of Herald, a bare forwarder made of the same HTTP parts (no store, no sandbox, no log: the ceiling),
//! and nginx and Alertmanager where they are installed take turns, each afresh. All get the same event from the same
//! generator over as many connections, and send it to the same sink. What counts as delivered is what the sink has
//! received, and it must be as much as was accepted. Of several rounds the medians are taken.
//!
//! Generator and sink share the machine with whom they measure: `docs/performance.md` says what that means.
//!
//! A report, not a test: it fails only when something can't be measured, or when deliveries are missing.

mod contestant;
mod figures;
mod large;
mod machine;
mod report;
mod rig;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use contestant::{Contestant, channel, event, host};
use figures::{Pass, median};
use machine::Machine;
use report::{Line, OnCores, Report, Target};
use rig::{Cores, Load, Rig};

use crate::measure::process::Memory;
use crate::measure::{Finding, Scratch, now, target};
use crate::process::{cargo, run as run_command};

/// Of the ceiling, for Herald with a webhook channel.
const RATIO: f64 = 0.40;
/// From one core to two.
const SCALING: f64 = 1.8;
/// From the start to ready, in milliseconds.
const START: f64 = 100.0;
/// Without load, in MiB (40 MB).
const IDLE: f64 = 38.1;
/// After the start, until memory is looked at.
const CALM: Duration = Duration::from_secs(1);
const STARTS: usize = 5;
/// Of passes of which there are many.
const SHORT: u64 = 2;
const WEBHOOK: Contestant = Contestant::Herald("webhook");

/// How much is measured.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Rounds, of which the medians are taken
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each pass
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Connections of the generator, and deliveries under way at once
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// How Herald is built: `dist` is what is shipped, and takes ten minutes to build
    #[arg(long, default_value = "release")]
    profile: String,
    /// Events a second in the passes at a rate
    #[arg(long, default_value_t = 2000)]
    rate: u64,
    /// Only this contestant, and nothing else; may be given again: forwarder, herald-webhook, …
    #[arg(long)]
    only: Vec<String>,
    /// Leave out the stores with millions of rows
    #[arg(long)]
    quick: bool,
    /// Deliveries in the full store
    #[arg(long, default_value_t = 5_000_000)]
    delivered: u64,
    /// Deliveries that wait on one channel
    #[arg(long, default_value_t = 1_000_000)]
    pending: u64,
    /// Write all figures there, as JSON
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Options {
    /// Those of the command line without any.
    pub fn usual() -> Self {
        Self {
            rounds: 3,
            seconds: 4,
            connections: 64,
            profile: "release".to_owned(),
            rate: 2000,
            only: Vec::new(),
            quick: false,
            delivered: 5_000_000,
            pending: 1_000_000,
            json: None,
        }
    }
}

/// What everything is measured with.
struct Bench<'a> {
    root: &'a Path,
    options: &'a Options,
    herald: PathBuf,
    rig: Rig,
    folder: Scratch,
}

/// Measures and prints the report.
pub fn run(root: &Path, options: &Options) -> Result<Vec<Finding>> {
    let begun = now();
    let (herald, load) = build(root, &options.profile)?;
    println!("built in {:.0} s", begun.elapsed().as_secs_f64());
    let built = now();
    // What the build has left to be written would be waited for in the first passes.
    run_command(&mut Command::new("sync"))?;
    let rig = Rig::start(&load, Cores::All, options.connections)?;
    let mut bench = Bench { root, options, herald, rig, folder: Scratch::new("load")? };
    let report = bench.report()?;
    println!("\n{report}\nmeasured in {:.0} s", built.elapsed().as_secs_f64());
    if let Some(file) = &options.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?).context("can't write the figures")?;
    }
    Ok(report.findings())
}

fn build(root: &Path, profile: &str) -> Result<(PathBuf, PathBuf)> {
    for (package, profile) in [("herald", profile), ("herald-load", "release")] {
        let mut command = cargo(root);
        run_command(command.args(["build", "--locked", "--profile", profile, "--package", package, "--bin", package]))?;
    }
    let target = target()?;
    Ok((target.join(profile).join("herald"), target.join("release/herald-load")))
}

/// The folder, with nothing in it.
fn fresh(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

impl Bench<'_> {
    fn report(&mut self) -> Result<Report> {
        let contestants = self.contestants()?;
        let mut report = Report {
            machine: Machine::here(self.root),
            event_bytes: event(self.root).metadata().context("no event")?.len(),
            rounds: self.options.rounds,
            seconds: self.options.seconds,
            rate: self.options.rate,
            connections: self.rig.connections,
            profile: self.options.profile.clone(),
            contestants: self.rounds(&contestants)?,
            on_cores: Vec::new(),
            notes: Vec::new(),
            targets: Vec::new(),
        };
        if let (Some(ceiling), Some(webhook)) = (report.fastest(Contestant::Forward), report.fastest(WEBHOOK)) {
            let ratio = webhook.delivered / ceiling.delivered;
            report.targets.push(Target::at_least("delivered/s of the webhook channel, of the ceiling", RATIO, ratio));
        }
        if self.options.only.is_empty() {
            self.others(&mut report)?;
        }
        Ok(report)
    }

    /// What is measured of Herald alone.
    fn others(&mut self, report: &mut Report) -> Result<()> {
        report.on_cores = self.on_cores(report)?;
        if let Some(scaling) = report.scaling(WEBHOOK) {
            report.targets.push(Target::at_least("delivered/s on two cores, of that on one", SCALING, scaling));
        }
        self.starts(report)?;
        println!("a thousand channels");
        let mut found = vec![self.channels()?];
        if self.options.quick {
            report.notes.push("the stores with millions of rows were left out (--quick)".to_owned());
        } else {
            println!("{} deliveries in the store", self.options.delivered);
            found.push(self.delivered(self.options.delivered)?);
            println!("{} deliveries pending", self.options.pending);
            found.push(self.pending(self.options.pending)?);
        }
        for found in found {
            report.notes.push(found.note);
            report.targets.extend(found.targets);
        }
        Ok(())
    }

    /// Who is wanted and here.
    fn contestants(&self) -> Result<Vec<Contestant>> {
        let only = &self.options.only;
        if let Some(unknown) = only.iter().find(|name| contestant::ALL.iter().all(|one| one.name() != name.as_str())) {
            let names: Vec<_> = contestant::ALL.iter().map(|one| one.name()).collect();
            bail!("there is no contestant `{unknown}`; there are {}", names.join(", "));
        }
        let wanted = contestant::ALL.iter().filter(|one| only.is_empty() || only.iter().any(|name| name == one.name()));
        let mut here = Vec::new();
        for one in wanted {
            match one.missing() {
                Some(package) => println!("{} is not installed: apt-get install {package}", one.name()),
                None => here.push(*one),
            }
        }
        Ok(here)
    }

    fn load(&self, rate: Option<u64>) -> Load {
        Load { seconds: self.options.seconds, rate, turns: 1 }
    }

    fn rounds(&mut self, contestants: &[Contestant]) -> Result<Vec<Line>> {
        let mut passes = vec![(Vec::new(), Vec::new()); contestants.len()];
        for round in 1..=self.options.rounds {
            for (contestant, (fastest, paced)) in contestants.iter().zip(&mut passes) {
                let name = contestant.name();
                let (fast, slow) = self.afresh(*contestant).with_context(|| format!("{name} could not be measured"))?;
                println!(
                    "round {round}: {name:14} {:>7.0} delivered/s  {:>6.1} us an event",
                    fast.delivered, fast.cpu_us
                );
                fastest.push(fast);
                paced.extend(slow);
            }
        }
        let lines = contestants.iter().zip(&passes).map(|(contestant, (fastest, paced))| Line {
            contestant: *contestant,
            fastest: Pass::median(fastest),
            paced: (!paced.is_empty()).then(|| Pass::median(paced)),
        });
        Ok(lines.collect())
    }

    /// A contestant with nothing left of earlier rounds: as fast as it answers, and at a rate.
    fn afresh(&mut self, contestant: Contestant) -> Result<(Pass, Option<Pass>)> {
        let is_paced = matches!(contestant, Contestant::Forward | Contestant::Herald(_));
        let folder = fresh(&self.folder.path().join("contestant"))?;
        let running = contestant.start(self.root, &self.herald, &self.rig, &folder)?;
        let passes = self.rig.warm_up(&running).and_then(|()| {
            let paced = Load { seconds: SHORT, ..self.load(Some(self.options.rate)) };
            let paced = is_paced.then(|| self.rig.pass(&running, paced)).transpose()?;
            Ok((self.rig.pass(&running, self.load(None))?, paced))
        });
        running.stop()?;
        passes
    }

    /// Everything on one core; and on two, where that is not all.
    fn on_cores(&self, report: &Report) -> Result<Vec<OnCores>> {
        let mut lines = Vec::new();
        for contestant in [Contestant::Forward, WEBHOOK] {
            let mut passes = Vec::new();
            println!("{} on one core", contestant.name());
            for cores in [1, 2] {
                let fastest = match report.fastest(contestant) {
                    Some(pass) if report.machine.cores == cores => pass.clone(),
                    _ => self.bound(contestant, cores)?,
                };
                passes.push(OnCores { contestant, cores, fastest });
            }
            lines.extend(passes);
        }
        Ok(lines)
    }

    fn bound(&self, contestant: Contestant, cores: usize) -> Result<Pass> {
        let mut passes = Vec::new();
        for _ in 0..self.options.rounds {
            let mut rig = Rig::start(&self.rig.load, Cores::First(cores), self.rig.connections)?;
            let folder = fresh(&self.folder.path().join("bound"))?;
            let running = contestant.start(self.root, &self.herald, &rig, &folder)?;
            rig.warm_up(&running)?;
            passes.push(rig.pass(&running, Load { seconds: SHORT, ..self.load(None) })?);
            running.stop()?;
        }
        Ok(Pass::median(&passes))
    }

    /// How long a start takes, and how much memory a host has that does nothing.
    fn starts(&self, report: &mut Report) -> Result<()> {
        let folder = fresh(&self.folder.path().join("start"))?;
        let channels = channel("webhook", "webhook", &self.rig, self.rig.address, "");
        let start = || host(self.root, &self.herald, &self.rig, &folder, &channels);
        // The first one makes the store.
        start()?.0.stop()?;
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let (host, ready) = start()?;
            times.push(ready.as_secs_f64() * 1000.0);
            host.stop()?;
        }
        let (host, _) = start()?;
        thread::sleep(CALM);
        #[allow(clippy::cast_precision_loss)]
        let memory = Memory::of(host.program.id()).resident as f64 / 1024.0;
        host.stop()?;
        let time = median(times);
        report.targets.push(Target::at_most("from the start to ready, with a warm cache", START, time, " ms"));
        report.targets.push(Target::at_most("memory without load", IDLE, memory, " MiB"));
        Ok(())
    }
}
