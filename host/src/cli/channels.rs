//! `herald channels list`, `test`, `enable` and `disable`.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::Value;

use super::{
    args::{Channels, Common},
    bulk::Query,
    deliveries, output,
    remote::{Remote, segment},
};

/// Seconds that a test waits for its first attempt: longer than the default deadline of an exchange.
const WAIT: u32 = 60;

pub(super) fn run(common: &Common, command: &Channels) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(common)?;
    match command {
        Channels::List => list(common, &remote),
        Channels::Test { name } => test(common, &remote, name),
        Channels::Enable { name } => {
            remote.order(&format!("/v1/channels/{}/enable", segment(name)))?;
            told(common, name, true)
        }
        Channels::Disable { name, reason } => {
            let path = format!("/v1/channels/{}/disable", segment(name));
            remote.order(&Query::new().and("reason", reason.as_ref()).on(&path))?;
            told(common, name, false)
        }
    }
}

fn told(common: &Common, name: &str, enabled: bool) -> anyhow::Result<ExitCode> {
    if common.json {
        output::json(&serde_json::json!({ "name": name, "enabled": enabled }))?;
    } else {
        output::line(format!("{name} is {}", if enabled { "enabled" } else { "disabled" }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common, remote: &Remote) -> anyhow::Result<ExitCode> {
    let answer = remote.get("/v1/channels")?;
    if common.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let channels = answer.get("channels").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = channels
        .into_iter()
        .flatten()
        .map(|channel| {
            let text = |pointer: &str| output::text(channel, pointer);
            let count = |state: &str| match text(&format!("/deliveries/{state}")) {
                count if count.is_empty() => "0".to_owned(),
                count => count,
            };
            let state = match (text("/disabled/reason"), text("/waits")) {
                (reason, _) if !reason.is_empty() => format!("disabled: {reason}"),
                (_, waits) if !waits.is_empty() => format!("waits: {waits}"),
                _ => "enabled".to_owned(),
            };
            vec![text("/name"), text("/adapter"), count("pending"), count("delivered"), count("failed"), state]
        })
        .collect();
    output::table(&["NAME", "ADAPTER", "PENDING", "DELIVERED", "FAILED", "STATE"], &rows)?;
    Ok(ExitCode::SUCCESS)
}

/// Exit code 1 when the first attempt did not deliver.
fn test(common: &Common, remote: &Remote, name: &str) -> anyhow::Result<ExitCode> {
    let path = format!("/v1/channels/{}/test", segment(name));
    let accepted = remote.order(&path)?;
    let id = accepted.get("delivery").and_then(Value::as_str).context("the host did not name the delivery")?;
    let detail = remote.get(&format!("/v1/deliveries/{id}?wait={WAIT}"))?;
    if common.json {
        output::json(&detail)?;
    } else {
        deliveries::print(&detail)?;
    }
    let delivered = output::text(&detail, "/delivery/state") == "delivered";
    Ok(if delivered { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
