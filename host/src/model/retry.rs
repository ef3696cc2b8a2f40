//! When a delivery is tried again. Pure: policy, attempt and a random number in, a delay out.

use std::time::Duration;

use super::Millis;

/// A shorter wait is taken for none.
const NONE_ASKED: Duration = Duration::from_millis(100);
/// A shorter one is lengthened to this: a service, or an adapter, must not make us hammer anybody.
const SHORTEST_ASKED: Duration = Duration::from_secs(1);
/// So many attempts of a delivery may use up none of its schedule.
const MOST_FREE: u32 = 50;

/// When the attempts of a delivery follow one another.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The delay after the first, the second, … attempt that did not succeed. When it has come to its end the
    /// delivery is exhausted.
    pub schedule: Vec<Duration>,
    /// Each delay is changed by up to this part of it, either way (0.2: ±20 %).
    pub jitter: f64,
    /// A longer wait that a service asks for is cut to this.
    pub longest_wait: Duration,
    /// A delivery is not tried any more when it is older.
    pub max_age: Option<Duration>,
}

/// What has been tried of a delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tried {
    /// Delays of the schedule that have been used so far.
    pub step: u32,
    /// Attempts that have used none.
    pub free: u32,
    /// How old the delivery is.
    pub age: Duration,
}

/// When the next attempt is due, and how much of the schedule is used up by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// From now.
    pub delay: Duration,
    /// Delays of the schedule that have been used, this one included.
    pub step: u32,
}

impl Policy {
    /// The wait after an attempt that did not succeed; `None` when it was the last.
    ///
    /// `random` lies in `0.0..1.0`. A wait that the service asked for is kept exactly, up to the cap, and uses up none of the
    /// schedule, so that a busy service loses no message; once the delivery is older than the whole schedule, it does. So it
    /// does after many such waits, which are as long as the schedule's then, if not longer: who asks for one second again and
    /// again must not fill the disk with attempts. A wait that ends after `max_age` is none.
    pub fn wait(&self, tried: Tried, asked: Option<Duration>, random: f64) -> Option<Wait> {
        let Tried { step, free, age } = tried;
        let exact = self.asked(asked);
        let is_young = age < self.schedule.iter().sum::<Duration>();
        let wait = match exact {
            Some(delay) if is_young && free < MOST_FREE => Wait { delay, step },
            _ => {
                let planned = *self.schedule.get(usize::try_from(step).ok()?)?;
                let spread = planned.mul_f64(1.0 + self.jitter * (2.0 * random - 1.0));
                let delay = match exact {
                    Some(exact) if is_young => exact.max(spread),
                    Some(exact) => exact,
                    None => spread,
                };
                Wait { delay, step: step.saturating_add(1) }
            }
        };
        Some(wait).filter(|wait| !self.is_over(age.saturating_add(wait.delay)))
    }

    /// The wait that a service asks for, up to the cap.
    pub fn asked(&self, asked: Option<Duration>) -> Option<Duration> {
        // "Retry-After: 0" is no wait.
        asked.filter(|asked| *asked >= NONE_ASKED).map(|asked| asked.max(SHORTEST_ASKED).min(self.longest_wait))
    }

    /// Whether a delivery of that age is not tried any more.
    pub fn is_over(&self, age: Duration) -> bool {
        self.max_age.is_some_and(|most| age > most)
    }
}

/// A schedule whose delays grow by a factor, up to the longest.
pub fn exponential(first: Duration, factor: f64, longest: Duration, retries: u32) -> Vec<Duration> {
    let delay = |retry| {
        let seconds = first.as_secs_f64() * factor.powi(i32::try_from(retry).unwrap_or(i32::MAX));
        Duration::try_from_secs_f64(seconds).map_or(longest, |delay| delay.min(longest))
    };
    (0..retries).map(delay).collect()
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or an HTTP date. Milliseconds from `now`.
pub fn retry_after(value: &str, now: Millis) -> Option<Millis> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // However many digits it has, it means a long time.
        return Some(value.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1000));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let date = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(u64::try_from(date.as_millis()).ok()?.saturating_sub(now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn policy() -> Policy {
        let schedule = [5, 30, 120].map(Duration::from_secs).to_vec();
        Policy { schedule, jitter: 0.2, longest_wait: Duration::from_hours(24), max_age: None }
    }

    fn tried(step: u32, age: Duration) -> Tried {
        Tried { step, age, ..Tried::default() }
    }

    proptest! {
        #[test]
        fn a_planned_delay_stays_within_its_jitter(step in 0_u32..3, random in 0.0..1.0) {
            let wait = policy().wait(tried(step, Duration::MAX), None, random).unwrap();
            let planned = policy().schedule[step as usize].as_secs_f64();
            prop_assert!((planned * 0.8 - 1e-6..=planned * 1.2 + 1e-6).contains(&wait.delay.as_secs_f64()));
            prop_assert_eq!(wait.step, step + 1);
        }

        #[test]
        fn an_asked_wait_is_exact_up_to_the_cap_and_uses_up_none_of_the_schedule(
            step in 0_u32..9, age in 0_u64..155, asked in 1_u64..1_000_000, random in 0.0..1.0,
        ) {
            let asked = Duration::from_secs(asked);
            let delay = asked.min(policy().longest_wait);
            for free in [0, MOST_FREE - 1] {
                let tried = Tried { step, free, age: Duration::from_secs(age) };
                prop_assert_eq!(policy().wait(tried, Some(asked), random), Some(Wait { delay, step }));
            }
        }

        #[test]
        fn after_many_asked_waits_they_use_up_the_schedule_and_are_no_shorter_than_it(
            step in 0_u32..3, age in 0_u64..155, asked in 100_u64..1_000_000, random in 0.0..1.0,
        ) {
            let age = Duration::from_secs(age);
            let wait = policy().wait(Tried { step, free: MOST_FREE, age }, Some(Duration::from_millis(asked)), random).unwrap();
            let planned = policy().wait(tried(step, age), None, random).unwrap();
            prop_assert_eq!(wait.step, step + 1);
            prop_assert_eq!(wait.delay, planned.delay.max(Duration::from_millis(asked.max(1000))));
        }

        #[test]
        fn waits_come_to_an_end(asked in proptest::option::of(0_u64..100_000), days in 0_u64..9, random in 0.0..1.0) {
            let mut policy = policy();
            policy.schedule.extend((0..days).map(|_| Duration::from_hours(24)));
            let (mut tried, mut attempts) = (Tried::default(), 0);
            while let Some(wait) = policy.wait(tried, asked.map(Duration::from_millis), random) {
                attempts += 1;
                tried = Tried { step: wait.step, free: attempts - wait.step, age: tried.age + wait.delay };
                prop_assert!(wait.delay >= Duration::from_secs(1));
                prop_assert!(attempts <= MOST_FREE + 12);
            }
            prop_assert_eq!(tried.step as usize, policy.schedule.len());
        }
    }

    proptest! {
        #[test]
        fn no_wait_ends_after_the_greatest_age(
            step in 0_u32..3, age in 0_u64..400, asked in proptest::option::of(1_u64..400), most in 0_u64..400, random in 0.0..1.0,
        ) {
            let limited = Policy { max_age: Some(Duration::from_secs(most)), ..policy() };
            let (age, asked) = (Duration::from_secs(age), asked.map(Duration::from_secs));
            let free = policy().wait(tried(step, age), asked, random);
            let fits = |wait: &Wait| age + wait.delay <= Duration::from_secs(most);
            prop_assert_eq!(limited.wait(tried(step, age), asked, random), free.filter(fits));
        }

        #[test]
        fn an_exponential_schedule_grows_up_to_its_longest(
            first in 1_u64..100, factor in 1.0..4.0, longest in 1_u64..10_000, retries in 0_u32..200,
        ) {
            let (first, longest) = (Duration::from_secs(first), Duration::from_secs(longest));
            let delays = exponential(first, factor, longest, retries);
            prop_assert_eq!(delays.len(), retries as usize);
            prop_assert!(delays.is_sorted());
            prop_assert!(delays.iter().all(|delay| *delay <= longest));
            prop_assert!(delays.first().is_none_or(|delay| *delay == first.min(longest)));
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 1_445_412_420_000;
        assert_eq!(retry_after("120", now), Some(120_000));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(60_000));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(0), "it is over");
        assert_eq!(retry_after("99999999999999999999", now), Some(u64::MAX), "for the cap to cut");
        for nonsense in ["", "-1", "+1", "soon"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
