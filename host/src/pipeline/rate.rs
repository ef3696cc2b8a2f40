//! A channel's rate, kept by the host's clock.

use std::time::Duration;

use governor::{
    Quota, RateLimiter,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};

use crate::{clock::Clock, model::Rate};

impl governor::clock::Clock for Clock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.elapsed()
    }
}

type Governor = RateLimiter<NotKeyed, InMemoryState, Clock, NoOpMiddleware<Duration>>;

/// Timers are late by a millisecond or two: what so short a time is worth may be caught up with.
const LATE: Duration = Duration::from_millis(20);

fn quota(rate: Rate) -> Option<Quota> {
    let late = u32::try_from(LATE.as_nanos().checked_div(rate.every.as_nanos())?).unwrap_or(u32::MAX);
    Some(Quota::with_period(rate.every)?.allow_burst(rate.burst.saturating_add(late)))
}

/// Lets attempts begin at a channel's rate; without one, all.
#[derive(Default)]
pub(super) struct Limiter {
    rate: Option<Rate>,
    /// Made when the first attempt is about to begin.
    governor: Option<Governor>,
}

impl Limiter {
    /// From now on this rate holds. What the same rate has counted so far stays counted.
    pub fn set(&mut self, rate: Option<Rate>) {
        if rate != self.rate {
            *self = Self { rate, governor: None };
        }
    }

    /// Counts one attempt, or says how long it has to wait.
    pub fn take(&mut self, clock: &Clock) -> Result<(), Duration> {
        let Some(quota) = self.rate.and_then(quota) else {
            return Ok(());
        };
        let governor = self.governor.get_or_insert_with(|| RateLimiter::direct_with_clock(quota, clock.clone()));
        governor.check().map_err(|early| early.wait_time_from(clock.elapsed()))
    }
}
