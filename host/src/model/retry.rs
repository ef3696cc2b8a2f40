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
