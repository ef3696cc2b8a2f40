//! The figures of a phase.

use std::fmt;
use std::time::Duration;

use crate::measure::process;

/// What was measured in a phase.
pub struct Phase {
    /// With hostile channels at work.
    pub is_hostile: bool,
    /// Of each good event, until it was answered, which is after its commit.
    pub answered: Vec<Duration>,
    /// The same, until it was received.
    pub arrived: Vec<Duration>,
    /// Of the processors.
    pub used: Used,
    /// Attempts on all channels.
    pub attempts: u64,
    /// Resident memory of the host at its end, in KiB.
    pub memory: u64,
    /// How long it was.
    pub length: Duration,
}

impl Phase {
    /// Above the lines that phases are printed as.
    pub const HEAD: &str = "phase         p50       p90       p99       max   p99 to 202   attempts/s   CPU: host   this  others       RSS";

    /// What other programs took, in percent of a core.
    pub fn others(&self) -> f64 {
        let Used { host, this, busy } = self.used;
        self.a_second(busy.saturating_sub(host + this))
    }

    /// Of processor time, which is in hundredths of a second, that is percent of a core.
    #[allow(clippy::cast_precision_loss)]
    fn a_second(&self, count: u64) -> f64 {
        count as f64 / self.length.as_secs_f64()
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get((times.len() * percent / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.is_hostile { "hostile" } else { "quiet" };
        write!(f, "{name:7}")?;
        for percent in [50, 90, 99, 100] {
            write!(f, " {:>6.2} ms", percentile(&self.arrived, percent).as_secs_f64() * 1000.0)?;
        }
        write!(f, " {:>9.2} ms", percentile(&self.answered, 99).as_secs_f64() * 1000.0)?;
        let (attempts, host, this) =
            (self.a_second(self.attempts), self.a_second(self.used.host), self.a_second(self.used.this));
        write!(f, " {attempts:>12.0} {host:>9.0} % {this:>4.0} % {:>5.0} % {:>5} MiB", self.others(), self.memory >> 10)
    }
}

/// The median of the phases of one kind.
pub fn median_p99(phases: &[Phase], is_hostile: bool) -> Duration {
    let chosen = phases.iter().filter(|phase| phase.is_hostile == is_hostile);
    let mut all: Vec<Duration> = chosen.map(|phase| percentile(&phase.arrived, 99)).collect();
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// Time of the processors, in hundredths of a second; nothing where `/proc` does not tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Used {
    host: u64,
    this: u64,
    busy: u64,
}

impl Used {
    /// Until now, since the machine was started.
    pub fn now(host: u32) -> Self {
        let ticks = |used: Duration| u64::try_from(used.as_millis() / 10).unwrap_or(0);
        let used = |process: &str| ticks(process::used(process));
        Self { host: used(&host.to_string()), this: used("self"), busy: ticks(process::used_by_all()) }
    }

    /// What was used since.
    pub fn since(self, before: Self) -> Self {
        Self {
            host: self.host.saturating_sub(before.host),
            this: self.this.saturating_sub(before.this),
            busy: self.busy.saturating_sub(before.busy),
        }
    }
}
