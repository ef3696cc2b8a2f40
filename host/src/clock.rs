//! The only place that reads a clock or sleeps, so that tests can hold the time still.

#![allow(clippy::disallowed_methods)]

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::sync::watch;

use crate::model::{Millis, millis};

/// A cheap handle to the time of day. Cloning shares a manual clock.
#[derive(Debug, Clone, Default)]
pub struct Clock(Kind);

#[derive(Debug, Clone, Default)]
enum Kind {
    #[default]
    System,
    Manual(Arc<watch::Sender<Millis>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that stands still until it is [advanced](Self::advance).
    pub fn manual(now: Millis) -> Self {
        Self(Kind::Manual(Arc::new(watch::Sender::new(now))))
    }

    /// Milliseconds since the Unix epoch, UTC.
    pub fn now(&self) -> Millis {
        match &self.0 {
            Kind::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis),
            Kind::Manual(now) => *now.borrow(),
        }
    }

    /// The time since some moment in the past: it never goes back.
    pub fn elapsed(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        match &self.0 {
            Kind::System => START.get_or_init(Instant::now).elapsed(),
            Kind::Manual(now) => Duration::from_millis(*now.borrow()),
        }
    }

    /// Moves a manual clock forward and wakes who waited for it; the machine's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Kind::Manual(now) = &self.0 {
            now.send_modify(|now| *now = now.saturating_add(millis(by)));
        }
    }

    /// Returns when the time is `at` or later.
    pub async fn sleep_until(&self, at: Millis) {
        match &self.0 {
            Kind::System => {
                // A step of the clock must not make a wait endless: look again at least once a minute.
                loop {
                    let left = at.saturating_sub(self.now());
                    if left == 0 {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(left.min(60_000))).await;
                }
            }
            Kind::Manual(now) => {
                let mut now = now.subscribe();
                // An error would mean that the sender, which `self` holds, is gone.
                let _ = now.wait_for(|now| *now >= at).await;
            }
        }
    }
}

/// Real elapsed time, for durations that are reported.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Microseconds since the start.
    pub fn micros(self) -> u64 {
        u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The time since the start.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Processor time that this thread has used, where the machine tells.
pub fn thread_time() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        time.try_into().ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// Waits in real time, whatever a manual clock says: for the settling of files and the like.
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}
