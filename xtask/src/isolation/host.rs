//! What isolation asks the host.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;

use crate::measure::host::Host;
use crate::measure::now;

/// To end what waits for receivers that hang: the longer, the more there is of it.
const REST_DEADLINE: Duration = Duration::from_mins(5);

#[derive(Deserialize)]
struct Channels {
    channels: Vec<Channel>,
}

#[derive(Deserialize)]
struct Channel {
    name: String,
    deliveries: Counts,
    /// There while the channel waits because its adapter keeps hitting its limits.
    breaker: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    pending: u64,
}

/// All attempts so far.
pub fn attempts(host: &Host) -> Result<u64> {
    let metrics = host.get("/metrics")?;
    let lines = metrics.lines().filter(|line| line.starts_with("herald_attempts_total"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

/// Waits until nothing is pending on any channel but the good one and those that wait.
pub fn wait_until_idle(host: &Host) -> Result<()> {
    let deadline = now() + REST_DEADLINE;
    while now() < deadline {
        let Channels { channels } = serde_json::from_str(&host.get("/v1/channels")?)?;
        let rests = |channel: &Channel| channel.breaker.is_some() || channel.deliveries.pending == 0;
        if channels.iter().all(|channel| channel.name == "good" || rests(channel)) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(250));
    }
    bail!("the hostile channels did not come to rest within {REST_DEADLINE:?}")
}
