//! What much of something costs: deliveries in the store, deliveries that wait, channels.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::contestant::{Running, channel, event, host, store};
use super::figures::{Pass, median};
use super::report::Target;
use super::rig::Load;
use super::{Bench, SHORT, fresh};
use crate::measure::now;
use crate::measure::process::Memory;
use crate::measure::program::free_address;
use crate::process::run;

const CHANNELS: u64 = 1000;
/// What events of a full store are, and the channel that they are of.
const FILLED: &str = "filled";
const EVENTS: &str = "execution_completed";

/// What was found out, and what was to be reached.
pub struct Found {
    /// In words.
    pub note: String,
    /// What was to be reached.
    pub targets: Vec<Target>,
}

impl Bench<'_> {
    /// A channel that nobody listens for.
    fn dead(&self) -> Result<String> {
        Ok(channel("dead", "webhook", &self.rig, free_address()?, FILLED))
    }

    /// CPU an event with nothing in the store and with so many deliveries, in turns.
    pub fn delivered(&mut self, count: u64) -> Result<Found> {
        let channels =
            format!("{}{}", channel("webhook", "webhook", &self.rig, self.rig.address, EVENTS), self.dead()?);
        let folder = self.folder.path().join("full");
        let fill = self.fill(&folder, &channels, count, false)?;
        let (full, ready) = host(self.root, &self.herald, &self.rig, &folder, &channels)?;
        self.rig.warm_up(&full)?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            let folder = fresh(&self.folder.path().join("empty"))?;
            let (empty, _) = host(self.root, &self.herald, &self.rig, &folder, &channels)?;
            self.rig.warm_up(&empty)?;
            let load = Load { seconds: SHORT, ..self.load(None) };
            without.push(self.rig.pass(&empty, load)?);
            with.push(self.rig.pass(&full, load)?);
            empty.stop()?;
        }
        let resident = Memory::of(full.program.id()).resident / 1024;
        full.stop()?;
        let [with, without] = [&with, &without].map(|passes| Pass::median(passes));
        let growth = (with.cpu_us / without.cpu_us - 1.0) * 100.0;
        let note = format!(
            "{count} deliveries in the store ({:.1} GiB, filled in {fill:.0} s): {:.1} us an event and {:.0} delivered/s, with an \
             empty store {:.1} us and {:.0}; ready after {} ms, {resident} MiB",
            gibibytes(&folder),
            with.cpu_us,
            with.delivered,
            without.cpu_us,
            without.delivered,
            ready.as_millis()
        );
        fresh(&folder)?;
        let what = format!("CPU an event with {count} deliveries, more than with none");
        Ok(Found { note, targets: vec![Target::at_most(&what, 15.0, growth, " %")] })
    }

    /// Waits of other channels' events, and memory, with nothing pending and with so many deliveries pending on a channel
    /// whose receiver is not there, in turns.
    pub fn pending(&mut self, count: u64) -> Result<Found> {
        let channels =
            format!("{}{}", channel("webhook", "webhook", &self.rig, self.rig.address, EVENTS), self.dead()?);
        let folder = self.folder.path().join("full");
        let fill = self.fill(&folder, &channels, count, true)?;
        let (full, ready) = host(self.root, &self.herald, &self.rig, &folder, &channels)?;
        let empty = fresh(&self.folder.path().join("empty"))?;
        let (empty, _) = host(self.root, &self.herald, &self.rig, &empty, &channels)?;
        self.rig.warm_up(&full)?;
        self.rig.warm_up(&empty)?;
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for _ in 0..self.options.rounds {
            without.push(self.rig.pass(&empty, self.load(Some(self.options.rate)))?);
            with.push(self.rig.pass(&full, self.load(Some(self.options.rate)))?);
        }
        let resident = |host: &Running| Memory::of(host.program.id()).resident / 1024;
        let (more, before) = (resident(&full), resident(&empty));
        full.stop()?;
        empty.stop()?;
        fresh(&folder)?;
        let p99 = |passes: &[Pass]| median(passes.iter().map(|pass| pass.receive.p99));
        let (with, without) = (p99(&with), p99(&without));
        let note = format!(
            "{count} deliveries pending on a channel (filled in {fill:.0} s): p99 of another channel's events {:.2} ms and {more} MiB, \
             with nothing pending {:.2} ms and {before} MiB; ready after {} ms",
            with / 1000.0,
            without / 1000.0,
            ready.as_millis()
        );
        let rise = (with / without - 1.0) * 100.0;
        #[allow(clippy::cast_precision_loss)]
        let growth = more as f64 - before as f64;
        let what = format!("with {count} pending on one channel,");
        let targets = vec![
            Target::at_most(&format!("{what} others' p99 later by"), 20.0, rise, " %"),
            Target::at_most(&format!("{what} memory more by"), 64.0, growth, " MiB"),
        ];
        Ok(Found { note, targets })
    }

    /// A thousand channels, of which each event goes to the next.
    pub fn channels(&mut self) -> Result<Found> {
        let mut channels = String::new();
        for number in 0..CHANNELS {
            let text = channel(
                &format!("channel-{number}"),
                "webhook",
                &self.rig,
                self.rig.address,
                &format!("turn{number:020}"),
            );
            write!(channels, "{text}")?;
        }
        let folder = fresh(&self.folder.path().join("channels"))?;
        let (host, ready) = host(self.root, &self.herald, &self.rig, &folder, &channels)?;
        let file = folder.join("event.json");
        let text = std::fs::read_to_string(event(self.root))?;
        std::fs::write(&file, text.replace("\"execution_completed\"", "\"TURN\""))?;
        let host = Running { event: file, ..host };
        let idle = Memory::of(host.program.id()).resident / 1024;
        let load = |seconds| Load { seconds, rate: None, turns: CHANNELS };
        self.rig.pass(&host, load(1))?;
        let pass = self.rig.pass(&host, load(self.options.seconds))?;
        host.stop()?;
        let note = format!(
            "{CHANNELS} channels, each event to the next one: {:.0} delivered/s at {:.1} us an event; ready after {} ms, {idle} MiB \
             idle, {:.0} MiB at the most",
            pass.delivered,
            pass.cpu_us,
            ready.as_millis(),
            pass.peak_mib
        );
        Ok(Found { note, targets: Vec::new() })
    }

    /// A store that a host has made, filled; and how many seconds that took.
    fn fill(&self, folder: &Path, channels: &str, count: u64, pending: bool) -> Result<f64> {
        let begun = now();
        host(self.root, &self.herald, &self.rig, &fresh(folder)?, channels)?.0.stop()?;
        let mut command = Command::new(&self.rig.load);
        command.args(["fill", "--channel", "dead", "--count", &count.to_string()]);
        command.arg("--store").arg(store(folder));
        if pending {
            command.arg("--pending");
        }
        run(&mut command)?;
        // What is left to be written would be waited for in the first passes.
        run(&mut Command::new("sync"))?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

#[allow(clippy::cast_precision_loss)]
fn gibibytes(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder.join("store")).into_iter().flatten().flatten();
    let bytes: u64 = files.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum();
    bytes as f64 / f64::from(1 << 30)
}
