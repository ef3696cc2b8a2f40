//! How a channel fares: a circuit breaker for its receiver and its adapter, and how long it has failed. Pure: signs and times
//! in, changes out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Blame, Exchange, Millis, millis};

/// When a channel waits because its receiver fails or its adapter hits its limits, and when it is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// So many transport errors or 5xx in a row trip it; 0: it never trips.
    pub failures: u32,
    /// So many attempts in a row in which the adapter hit a limit trip it; 0: they never do.
    pub limit_hits: u32,
    /// How long nothing is begun then, until one delivery probes.
    pub wait: Duration,
    /// Each probe that fails doubles the wait, up to this.
    pub longest_wait: Duration,
    /// A channel that has failed for so long is disabled.
    pub disable_after: Option<Duration>,
}

/// What an attempt tells of the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It answers.
    Well,
    /// A transport error or a 5xx, which are the receiver's, or a limit that the adapter hit.
    Ill(Blame),
    /// It was not asked.
    None,
}

impl Sign {
    /// Of the last exchange of an attempt; what was delivered was taken, whatever the status.
    pub fn of(delivered: bool, last: Option<&Exchange>) -> Self {
        match last {
            _ if delivered => Self::Well,
            Some(Exchange { error: Some(_), .. }) => Self::Ill(Blame::Receiver),
            Some(Exchange { response: Some(response), .. }) if response.status < 500 => Self::Well,
            Some(Exchange { response: Some(_), .. }) => Self::Ill(Blame::Receiver),
            // Nothing was sent, or the guard refused the address.
            _ => Self::None,
        }
    }
}

/// What is remembered of a channel's receiver.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// Failures in a row with the same blame. Not worth a write each: a restart counts anew.
    #[serde(skip)]
    pub failures: u32,
    /// Whose failures they are.
    #[serde(skip)]
    blame: Option<Blame>,
    /// The first of them, without a long silence since.
    pub failing_since: Option<Millis>,
    /// About when it failed last: it is moved on now and then, not with every failure.
    #[serde(default)]
    pub failed_at: Millis,
    /// The breaker has tripped.
    pub tripped: Option<Tripped>,
    /// Others have been told that the channel fails or is disabled: they will be told when it is well again.
    pub told: bool,
}

/// A breaker that has tripped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tripped {
    /// Attempts that were begun before it say nothing new.
    pub at: Millis,
    /// Nothing is begun before; then one delivery probes.
    pub until: Millis,
    /// From `at` to `until`.
    pub wait: Duration,
    /// Whose failures tripped it. States from before adapters tripped it lack it.
    #[serde(default = "receiver")]
    pub blame: Blame,
}

fn receiver() -> Blame {
    Blame::Receiver
}

/// What is remembered of a channel beyond its deliveries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelState {
    /// Grows with each change: an older state never takes the place of a newer one.
    pub version: u64,
    /// It delivers nothing until somebody enables it.
    pub disabled: Option<Disabled>,
    /// The service asked for quiet until then.
    pub paused_until: Millis,
    /// How its receiver fares.
    pub health: Health,
}

/// Why a channel delivers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disabled {
    /// Since when.
    pub at: Millis,
    /// Why.
    pub reason: String,
}

/// What has changed, and is worth an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The breaker has tripped.
    Failing,
    /// It is well again.
    Recovered,
    /// It has failed for too long.
    GivenUp,
}

impl Health {
    /// Notes what an attempt that began at `began` and ended at `now` tells.
    pub fn note(&mut self, sign: Sign, began: Millis, now: Millis, breaker: &Breaker) -> Option<Change> {
        match sign {
            Sign::None => None,
            Sign::Well => {
                let told = self.told;
                *self = Self::default();
                told.then_some(Change::Recovered)
            }
            Sign::Ill(blame) => self.ill(blame, began, now, breaker),
        }
    }

    fn ill(&mut self, blame: Blame, began: Millis, now: Millis, breaker: &Breaker) -> Option<Change> {
        if self.blame.replace(blame) != Some(blame) {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let most = if blame == Blame::Adapter { breaker.limit_hits } else { breaker.failures };
        let after = breaker.disable_after.map_or(Millis::MAX, millis);
        // A week between two failures tells nothing of the days between them.
        if now.saturating_sub(self.failed_at) > after / 3 {
            self.failing_since = None;
        }
        if now.saturating_sub(self.failed_at) > after / 20 {
            self.failed_at = now;
        }
        let since = *self.failing_since.get_or_insert(now);
        if breaker.disable_after.is_some_and(|after| now.saturating_sub(since) >= millis(after)) {
            *self = Self { told: true, ..Self::default() };
            return Some(Change::GivenUp);
        }
        let trip = |wait| Some(Tripped { at: now, until: now.saturating_add(millis(wait)), wait, blame });
        match &self.tripped {
            Some(tripped) if began < tripped.until => None,
            Some(tripped) => {
                // One that somebody wanted sooner says nothing of how long to wait.
                let longer = began >= tripped.at.saturating_add(millis(tripped.wait));
                let wait = if longer { tripped.wait.saturating_mul(2) } else { tripped.wait };
                self.tripped = trip(wait.min(breaker.longest_wait));
                None
            }
            None if most > 0 && self.failures >= most => {
                self.tripped = trip(breaker.wait.min(breaker.longest_wait));
                (!std::mem::replace(&mut self.told, true)).then_some(Change::Failing)
            }
            None => None,
        }
    }

    /// Somebody disabled the channel: when it is enabled it begins anew, and who was told hears of its recovery.
    pub fn disabled() -> Self {
        Self { told: true, ..Self::default() }
    }

    /// Somebody wants an attempt: the breaker's wait is over now.
    pub fn urge(&mut self, now: Millis) {
        if let Some(tripped) = &mut self.tripped {
            tripped.until = tripped.until.min(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BREAKER: Breaker = Breaker {
        failures: 3,
        limit_hits: 2,
        wait: Duration::from_secs(30),
        longest_wait: Duration::from_secs(100),
        disable_after: Some(Duration::from_hours(120)),
    };

    fn fail(health: &mut Health, times: u32, at: Millis) -> Option<Change> {
        (0..times).map(|_| health.note(Sign::Ill(Blame::Receiver), at, at, &BREAKER)).last().flatten()
    }

    #[test]
    fn it_trips_after_so_many_failures_in_a_row_and_each_failed_probe_doubles_the_wait() {
        let mut health = Health::default();
        assert_eq!(fail(&mut health, 2, 1000), None);
        health.note(Sign::Well, 1000, 1000, &BREAKER);
        assert_eq!(fail(&mut health, 2, 1000), None, "not in a row");
        assert_eq!(fail(&mut health, 1, 1000), Some(Change::Failing));
        let mut until = 31_000;
        for wait in [60_000, 100_000, 100_000] {
            assert_eq!(health.tripped.as_ref().unwrap().until, until);
            assert_eq!(fail(&mut health, 5, until - 1), None, "begun before: no probe");
            assert_eq!(health.tripped.as_ref().unwrap().until, until);
            assert_eq!(fail(&mut health, 1, until), None, "told once");
            until += wait;
        }
        assert_eq!(health.note(Sign::Well, until, until, &BREAKER), Some(Change::Recovered));
        assert_eq!(health, Health::default());
    }

    #[test]
    fn limits_that_an_adapter_hits_trip_it_by_a_count_of_their_own() {
        let mut health = Health::default();
        let hit = Sign::Ill(Blame::Adapter);
        assert_eq!(health.note(hit, 1000, 1000, &BREAKER), None);
        fail(&mut health, 1, 1000);
        assert_eq!(health.note(hit, 1000, 1000, &BREAKER), None, "not in a row");
        assert_eq!(health.note(hit, 1000, 1000, &BREAKER), Some(Change::Failing));
        let tripped = health.tripped.clone().unwrap();
        assert_eq!((tripped.blame, tripped.until), (Blame::Adapter, 31_000));
        // The probe gets through the adapter, and its receiver fails: the wait doubles all the same.
        assert_eq!(fail(&mut health, 1, 31_000), None);
        let tripped = health.tripped.clone().unwrap();
        assert_eq!((tripped.blame, tripped.until), (Blame::Receiver, 91_000));
        assert_eq!(health.note(Sign::Well, 91_000, 91_000, &BREAKER), Some(Change::Recovered));
        let never = Breaker { limit_hits: 0, ..BREAKER };
        assert!((0..100).all(|_| health.note(hit, 1000, 1000, &never).is_none()));
    }

    #[test]
    fn a_channel_that_has_failed_for_so_long_is_given_up_once() {
        let mut health = Health::default();
        let day = 86_400_000;
        for at in 0..5 {
            assert_ne!(fail(&mut health, 1, day + at * day), Some(Change::GivenUp));
        }
        assert_eq!(fail(&mut health, 1, day + 5 * day), Some(Change::GivenUp));
        assert_eq!(health, Health::disabled());
        assert_eq!(health.note(Sign::Well, 7 * day, 7 * day, &BREAKER), Some(Change::Recovered));
    }

    #[test]
    fn a_failure_now_and_then_is_not_failing_all_along() {
        let mut health = Health::default();
        let day = 86_400_000;
        for at in [0, 1, 7, 8, 20] {
            assert_ne!(fail(&mut health, 1, 1 + at * day), Some(Change::GivenUp), "day {at}");
        }
        assert_eq!(health.failing_since, Some(1 + 20 * day));
    }

    proptest! {
        #[test]
        fn tripped_means_told_and_well_means_nothing_remembered(
            signs in proptest::collection::vec((0_u8..3, 0_u64..50_000), 0..200),
        ) {
            let (mut health, mut now, mut told) = (Health::default(), 1, false);
            for (sign, passed) in signs {
                now += passed;
                let sign = [Sign::Well, Sign::Ill(Blame::Receiver), Sign::None][usize::from(sign)];
                let before = health.clone();
                match health.note(sign, now, now, &BREAKER) {
                    Some(Change::Failing) => { prop_assert!(!told); told = true; }
                    Some(Change::Recovered) => { prop_assert!(told); told = false; }
                    Some(Change::GivenUp) => prop_assert!(false, "that takes days"),
                    None => {}
                }
                prop_assert_eq!(health.told, told);
                match sign {
                    Sign::Well => prop_assert_eq!(&health, &Health::default()),
                    Sign::None => prop_assert_eq!(&health, &before),
                    Sign::Ill(_) => {
                        prop_assert!(health.failing_since.is_some_and(|since| since <= now && health.failed_at <= now));
                        prop_assert_eq!(health.tripped.is_some(), health.failures >= 3);
                    }
                }
                if let Some(tripped) = &health.tripped {
                    prop_assert!(tripped.wait >= BREAKER.wait && tripped.wait <= BREAKER.longest_wait);
                    prop_assert!(health.told);
                }
            }
        }
    }
}
