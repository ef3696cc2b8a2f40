//! When a delivery is tried again. Pure: policy, attempt and a random number in, a delay out.

use std::time::Duration;

use super::Millis;

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
}

impl Policy {
    /// How long to wait after attempt `number` (1 for the first); `None` when it was the last.
    ///
    /// A wait that the service asked for is kept exactly, up to the cap. `random` lies in `0.0..1.0`.
    pub fn delay(&self, number: u32, asked: Option<Duration>, random: f64) -> Option<Duration> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let planned = *self.schedule.get(index)?;
        Some(match asked {
            Some(asked) => asked.min(self.longest_wait),
            None => planned.mul_f64(1.0 + self.jitter * (2.0 * random - 1.0)),
        })
    }
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or an HTTP date. Milliseconds from `now`.
pub fn retry_after(value: &str, now: Millis) -> Option<Millis> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return seconds.checked_mul(1000);
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
        Policy { schedule, jitter: 0.2, longest_wait: Duration::from_secs(86_400) }
    }

    proptest! {
        #[test]
        fn a_planned_delay_stays_within_its_jitter(number in 1_u32..=3, random in 0.0..1.0) {
            let delay = policy().delay(number, None, random).unwrap().as_secs_f64();
            let planned = policy().schedule[number as usize - 1].as_secs_f64();
            prop_assert!((planned * 0.8 - 1e-6..=planned * 1.2 + 1e-6).contains(&delay));
        }

        #[test]
        fn an_asked_wait_is_exact_up_to_the_cap(asked in 0_u64..1_000_000, random in 0.0..1.0) {
            let asked = Duration::from_secs(asked);
            let cap = policy().longest_wait;
            prop_assert_eq!(policy().delay(1, Some(asked), random), Some(asked.min(cap)));
        }

        #[test]
        fn after_the_last_attempt_there_is_none(number in 4_u32.., asked in proptest::option::of(0_u64..100)) {
            prop_assert_eq!(policy().delay(number, asked.map(Duration::from_secs), 0.5), None);
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 1_445_412_420_000;
        assert_eq!(retry_after("120", now), Some(120_000));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(60_000));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:20:00 GMT", now), Some(0), "it is over");
        for nonsense in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }
}
