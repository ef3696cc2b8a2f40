//! `cargo xtask measure isolation`: what hostile receivers and adapters cost the channels that have nothing to
//! do with them.
//!
//! The release build of Herald runs with a good channel, which gets events at a fixed rate, and a channel for each way
//! for a receiver to be hostile, all of whose workers are busy as far as the receiver can keep them busy, and, with
//! `--adapters`, one for each hostile adapter, all loaded and in use. Quiet phases and hostile
//! phases take turns; of each the 99th percentile of the time from the post of a good event to its arrival at the
//! receiver is taken. The median of the hostile phases may be 20 % above that of the quiet ones, and [`ROOM`] more, so
//! that noise is no failure.
//!
//! Most of what is measured is load: an event that is accepted waits for a commit that is under way, whoever's it is, and
//! with the other channels there are more of them. `--same-load` takes that out: then the quiet phases have the same
//! events for as many channels with good receivers.
//!
//! Receivers, posts and host share one machine, so what is measured is the host's doing and some of theirs. Little
//! beyond the standard library is used, so that this costs no build of its own.
//!
//! The host's memory is shown, and may come to [`MEMORY`] at the most.

mod host;
mod load;
mod report;

#[path = "../../../tests/harness/hostile.rs"]
#[allow(dead_code)]
mod hostile;

#[path = "../../../tests/harness/guests.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod guests;
#[path = "../../../tests/harness/hostile_guests.rs"]
#[allow(dead_code)]
mod hostile_guests;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use guests::Guest;
use hostile::Hostile;
use load::{Feed, Good};
use report::{Phase, Used};

use crate::measure::host::{Host, build};
use crate::measure::process::Memory;
use crate::measure::{Finding, Scratch, now};
use crate::process::run as run_command;

/// How much later than on a quiet host, and what is added to that because nobody would notice.
const RISE: f64 = 0.20;
const ROOM: Duration = Duration::from_micros(500);
/// What the host may have in memory at any time, in KiB. Beside what it always has, that is 64 sandboxes that keep 2 MiB
/// each, as many calls at their limit of 64 MiB as there are threads, and 64 MiB of outcomes.
const MEMORY: u64 = 512 << 10;
/// Of a call: the guests that never end would otherwise leave the channels busy for minutes after each phase. Slow is what
/// takes 20 ms.
const CALL_TIMEOUT: Duration = Duration::from_millis(100);
/// Of each hostile channel: with two events a second or more, a receiver that hangs keeps all workers of its channel.
const CONCURRENCY: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(5);
/// From the first event of the others until all workers are taken; and before a phase without any.
const SETTLE: Duration = Duration::from_secs(4);
const REST: Duration = Duration::from_secs(1);
/// A phase in which other programs took more of a core than this (in percent) is measured again, so often.
const DISTURBED: f64 = 25.0;
const TRIES: usize = 2;

/// How long and how much.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Pairs of a quiet and a hostile phase
    #[arg(long, default_value_t = USUAL.pairs)]
    pairs: usize,
    /// Seconds of a phase
    #[arg(long, default_value_t = USUAL.seconds)]
    seconds: u64,
    /// Good events a second
    #[arg(long, default_value_t = USUAL.rate)]
    rate: u32,
    /// Events a second on each hostile channel
    #[arg(long, default_value_t = USUAL.load)]
    load: u32,
    /// Give the quiet phases as many events for other channels, with good receivers: what is left is hostility
    #[arg(long)]
    same_load: bool,
    /// With hostile adapters beside the hostile receivers
    #[arg(long)]
    adapters: bool,
    /// Measure this program, not the release build
    #[arg(long)]
    program: Option<PathBuf>,
    /// Only these behaviours and adapters, by their names
    only: Vec<String>,
}

/// What is measured unless options say otherwise.
pub const USUAL: Options = Options {
    pairs: 5,
    seconds: 6,
    rate: 200,
    load: 2,
    same_load: false,
    adapters: false,
    program: None,
    only: Vec::new(),
};

impl Options {
    /// The same, beside hostile adapters too.
    pub fn with_adapters(self) -> Self {
        Self { adapters: true, ..self }
    }
}

/// Measures, prints the figures, and fails when the rise is too large.
pub fn run(root: &Path, options: &Options) -> Result<Vec<Finding>> {
    let program = match &options.program {
        Some(program) => program.canonicalize().with_context(|| format!("there is no {}", program.display()))?,
        None => build(root)?,
    };
    // What a build has left to be written would be waited for in the first phases.
    run_command(&mut Command::new("sync"))?;
    // What hostile adapters send all the same goes to a receiver of their own.
    let (good, victim) = (Good::start()?, Good::start()?);
    check_names(&options.only)?;
    // An adapter that is asked for by its name is meant, with or without the option.
    let guests = if options.adapters || !options.only.is_empty() { guests(&options.only, &victim) } else { Vec::new() };
    let hostile = receivers(&options.only)?;
    let folder = Scratch::new("isolation")?;
    let adapters = folder.path().join("adapters");
    std::fs::create_dir(&adapters)?;
    for (name, guest) in &guests {
        std::fs::write(adapters.join(format!("{name}.wasm")), guest.component())?;
    }
    let names: Vec<&str> = guests.iter().map(|(name, _)| *name).collect();
    let config = config(root, folder.path(), &good, &hostile, &names)?;
    let host = Host::start(Command::new(program), folder.path(), &config)?;
    println!(
        "{} good events a second; {} hostile receivers and {} hostile adapters, {} events a second each; {} x 2 phases of {} s",
        options.rate,
        hostile.len(),
        guests.len(),
        options.load,
        options.pairs,
        options.seconds
    );
    let names = hostile.iter().map(|one| one.behaviour.name).chain(names);
    let names: Vec<String> = names.map(str::to_owned).collect();
    let feed = Feed::start(host.address, options.rate, &good, &names)?;
    println!("{}", Phase::HEAD);
    let mut phases = pairs(&host, &feed, options)?;
    if judge(&phases).is_err() {
        println!("in doubt as many phases again are measured, and all count");
        phases.extend(pairs(&host, &feed, options)?);
    }
    feed.stop()?;
    let memory = Memory::of(host.id());
    drop(host);
    println!(
        "memory: {} MiB now, {} MiB at the most, allowed {} MiB",
        memory.resident >> 10,
        memory.peak >> 10,
        MEMORY >> 10
    );
    if memory.peak > MEMORY {
        bail!("hostile receivers and adapters make the host take more memory than it may");
    }
    let found = judge(&phases)?;
    println!("{found}");
    let what = format!("beside {} hostile receivers and {} hostile adapters", hostile.len(), guests.len());
    let memory = format!("{} MiB at the most, allowed {} MiB", memory.peak >> 10, MEMORY >> 10);
    Ok(vec![Finding { what: what.clone(), found }, Finding { what: format!("memory {what}"), found: memory }])
}

fn pairs(host: &Host, feed: &Feed, options: &Options) -> Result<Vec<Phase>> {
    let mut phases = Vec::new();
    for pair in 0..options.pairs {
        // In turns, so that what slowly changes (the store grows) is on both sides.
        for is_hostile in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            phases.push(undisturbed(host, feed, options, is_hostile)?);
        }
    }
    Ok(phases)
}

fn is_wanted(only: &[String], name: &str) -> bool {
    only.is_empty() || only.iter().any(|wanted| wanted == name)
}

fn check_names(only: &[String]) -> Result<()> {
    let guests = hostile_guests::all("");
    let names: Vec<&str> =
        hostile::ALL.iter().map(|one| one.name).chain(guests.iter().map(|(name, ..)| *name)).collect();
    match only.iter().find(|name| !names.contains(&name.as_str())) {
        Some(unknown) => bail!("there is no behaviour or adapter `{unknown}`; there are {}", names.join(", ")),
        None => Ok(()),
    }
}

fn receivers(only: &[String]) -> Result<Vec<Hostile>> {
    let wanted = hostile::ALL.iter().filter(|one| is_wanted(only, one.name));
    wanted.map(|one| Hostile::start(*one).with_context(|| format!("can't start `{}`", one.name))).collect()
}

fn guests(only: &[String], victim: &Good) -> Vec<(&'static str, Guest)> {
    let all = hostile_guests::all(&victim.url()).into_iter();
    all.filter(|(name, ..)| is_wanted(only, name)).map(|(name, guest, _)| (name, guest)).collect()
}

/// A channel for each receiver and each adapter, and one beside it whose receiver is good.
fn config(root: &Path, folder: &Path, good: &Good, hostile: &[Hostile], guests: &[&str]) -> Result<String> {
    let mut text = format!(
        "[adapters]\nfolder = \"{}\"\ncache = \"{}\"\ncall_timeout = \"{}ms\"\n\
         [outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\
         [delivery]\ntimeout = \"{}s\"\nschedule = []\nconcurrency = {CONCURRENCY}\n",
        folder.join("adapters").display(),
        folder.join("cache").display(),
        CALL_TIMEOUT.as_millis(),
        TIMEOUT.as_secs()
    );
    // A channel that rests is not hostile.
    if std::fs::read_to_string(root.join("host/herald.default.toml"))?.contains("breaker_failures") {
        text.push_str("breaker_failures = 0\n");
    }
    let names = hostile.iter().map(|receiver| receiver.behaviour.name).chain(guests.iter().copied());
    let friendly = names.map(|name| (load::friendly(name), good.url()));
    let hostile = hostile.iter().map(|receiver| (receiver.behaviour.name.to_owned(), receiver.url()));
    for (name, url) in [("good".to_owned(), good.url())].into_iter().chain(hostile).chain(friendly) {
        write!(
            text,
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n\
             [[route]]\nchannel = \"{name}\"\nevents = [\"{name}\"]\n"
        )?;
    }
    for name in guests {
        write!(
            text,
            "[[channel]]\nname = \"{name}\"\nadapter = \"{name}\"\n[channel.settings]\nkey = \"a secret of nobody's\"\n\
             [[route]]\nchannel = \"{name}\"\nevents = [\"{name}\"]\n"
        )?;
    }
    Ok(text)
}

fn undisturbed(host: &Host, feed: &Feed, options: &Options, is_hostile: bool) -> Result<Phase> {
    let mut tries = 1;
    loop {
        let phase = phase(host, feed, options, is_hostile)?;
        let disturbed = phase.others() > DISTURBED;
        println!("{phase}{}", if disturbed { "  disturbed" } else { "" });
        if !disturbed || tries == TRIES {
            return Ok(phase);
        }
        tries += 1;
    }
}

fn phase(host: &Host, feed: &Feed, options: &Options, is_hostile: bool) -> Result<Phase> {
    let friendly = options.same_load && !is_hostile;
    let is_fed = is_hostile || friendly;
    feed.others(if is_fed { options.load } else { 0 }, friendly);
    std::thread::sleep(if is_fed { SETTLE } else { REST });
    let (begin, used, attempts) = (now(), Used::now(host.id()), host::attempts(host)?);
    std::thread::sleep(Duration::from_secs(options.seconds));
    let (end, used, attempts) = (now(), Used::now(host.id()).since(used), host::attempts(host)? - attempts);
    let memory = Memory::of(host.id()).resident;
    feed.others(0, false);
    host::wait_until_idle(host)?;
    let (answered, arrived) = feed.times(begin, end)?;
    Ok(Phase { is_hostile, answered, arrived, used, attempts, memory, length: end - begin })
}

/// The figures, as an error when the rise is too large.
fn judge(phases: &[Phase]) -> Result<String> {
    let (quiet, hostile) = (report::median_p99(phases, false), report::median_p99(phases, true));
    let allowed = quiet.mul_f64(1.0 + RISE) + ROOM;
    let rise = (hostile.as_secs_f64() / quiet.as_secs_f64() - 1.0) * 100.0;
    let figures = format!("median p99: quiet {quiet:.2?}, hostile {hostile:.2?} ({rise:+.0} %), allowed {allowed:.2?}");
    if hostile > allowed {
        bail!("hostile receivers and adapters slow down other channels: {figures}");
    }
    Ok(figures)
}
