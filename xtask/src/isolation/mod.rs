//! `cargo xtask isolation`: what hostile receivers cost the channels that have nothing to do with them.
//!
//! The release build of Herald runs with a good channel, which gets events at a fixed rate, and a channel for each way
//! to be hostile, all of whose workers are busy as far as the receiver can keep them busy. Quiet phases and hostile
//! phases take turns; of each the 99th percentile of the time from the post of a good event to its arrival at the
//! receiver is taken. The median of the hostile phases may be 20 % above that of the quiet ones, and [`ROOM`] more, so
//! that noise is no failure.
//!
//! Most of what is measured is load: an event that is accepted waits for a commit that is under way, whoever's it is, and
//! with the other channels there are more of them. `--same-load` takes that out: then the quiet phases have the same
//! events for as many channels with good receivers.
//!
//! Receivers, posts and host share one machine, so what is measured is the host's doing and some of theirs. Only the
//! standard library and `socket2` are used, so that this costs no build of its own.

mod host;
mod load;
mod report;

#[path = "../../../tests/harness/hostile.rs"]
#[allow(dead_code)]
mod hostile;

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use hostile::Hostile;
use load::{Feed, Good};
use report::{Phase, Used};

use crate::measure::host::{Host, build};
use crate::measure::{Scratch, now};
use crate::process::run as run_command;

/// How much later than on a quiet host, and what is added to that because nobody would notice.
const RISE: f64 = 0.20;
const ROOM: Duration = Duration::from_micros(500);
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
    /// Only these behaviours, by their names
    only: Vec<String>,
}

/// What `cargo xtask test` measures.
pub const USUAL: Options = Options { pairs: 5, seconds: 6, rate: 200, load: 2, same_load: false, only: Vec::new() };

/// Measures, prints the figures, and fails when the rise is too large.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let program = build(root)?;
    // What a build has left to be written would be waited for in the first phases.
    run_command(&mut Command::new("sync"))?;
    let good = Good::start()?;
    let hostile = receivers(&options.only)?;
    let folder = Scratch::new("isolation")?;
    let host = Host::start(Command::new(program), folder.path(), &config(root, &good, &hostile)?)?;
    println!(
        "{} good events a second; {} hostile channels, {} events a second each; {} x 2 phases of {} s",
        options.rate,
        hostile.len(),
        options.load,
        options.pairs,
        options.seconds
    );
    let names: Vec<String> = hostile.iter().map(|one| one.behaviour.name.to_owned()).collect();
    let feed = Feed::start(host.address, options.rate, &good, &names)?;
    println!("{}", Phase::HEAD);
    let mut phases = pairs(&host, &feed, options)?;
    if judge(&phases).is_err() {
        println!("in doubt as many phases again are measured, and all count");
        phases.extend(pairs(&host, &feed, options)?);
    }
    feed.stop()?;
    drop(host);
    println!("{}", judge(&phases)?);
    Ok(())
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

fn receivers(only: &[String]) -> Result<Vec<Hostile>> {
    if let Some(unknown) = only.iter().find(|name| hostile::ALL.iter().all(|one| one.name != name.as_str())) {
        let names: Vec<_> = hostile::ALL.iter().map(|one| one.name).collect();
        bail!("there is no behaviour `{unknown}`; there are {}", names.join(", "));
    }
    let wanted = hostile::ALL.iter().filter(|one| only.is_empty() || only.iter().any(|name| name == one.name));
    wanted.map(|one| Hostile::start(*one).with_context(|| format!("can't start `{}`", one.name))).collect()
}

/// A channel for each receiver, and one beside it whose receiver is good.
fn config(root: &Path, good: &Good, hostile: &[Hostile]) -> Result<String> {
    let mut text = format!(
        "[outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\
         [delivery]\ntimeout = \"{}s\"\nschedule = []\nconcurrency = {CONCURRENCY}\n",
        TIMEOUT.as_secs()
    );
    // A channel that rests is not hostile.
    if std::fs::read_to_string(root.join("host/herald.default.toml"))?.contains("breaker_failures") {
        text.push_str("breaker_failures = 0\n");
    }
    let friendly = hostile.iter().map(|receiver| (load::friendly(receiver.behaviour.name), good.url()));
    let hostile = hostile.iter().map(|receiver| (receiver.behaviour.name.to_owned(), receiver.url()));
    for (name, url) in [("good".to_owned(), good.url())].into_iter().chain(hostile).chain(friendly) {
        write!(
            text,
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n\
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
    feed.others(0, false);
    host::wait_until_idle(host)?;
    let (answered, arrived) = feed.times(begin, end)?;
    Ok(Phase { is_hostile, answered, arrived, used, attempts, length: end - begin })
}

/// The figures, as an error when the rise is too large.
fn judge(phases: &[Phase]) -> Result<String> {
    let (quiet, hostile) = (report::median_p99(phases, false), report::median_p99(phases, true));
    let allowed = quiet.mul_f64(1.0 + RISE) + ROOM;
    let rise = (hostile.as_secs_f64() / quiet.as_secs_f64() - 1.0) * 100.0;
    let figures = format!("median p99: quiet {quiet:.2?}, hostile {hostile:.2?} ({rise:+.0} %), allowed {allowed:.2?}");
    if hostile > allowed {
        bail!("hostile receivers slow down other channels: {figures}");
    }
    Ok(figures)
}
