//! `herald events replay`.

use std::process::ExitCode;

use serde_json::Value;

use super::{
    args::{Common, Events, Replay},
    bulk::{self, Query},
    output,
    remote::{Remote, segment},
};

pub(super) fn run(common: &Common, command: &Events) -> anyhow::Result<ExitCode> {
    let Events::Replay(replay) = command;
    let remote = Remote::find(common)?;
    let query = Query::new().and("channel", replay.channel.as_ref());
    match &replay.id {
        Some(id) => one(common, &remote, id, query.and("source", replay.source.as_ref())),
        None => all(common, &remote, replay, query),
    }
}

fn one(common: &Common, remote: &Remote, id: &str, query: Query) -> anyhow::Result<ExitCode> {
    let answer = remote.order(&query.on(&format!("/v1/events/{}/replay", segment(id))))?;
    if common.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let deliveries = answer.get("deliveries").and_then(Value::as_array);
    for delivery in deliveries.into_iter().flatten() {
        output::line(format!("{} is new", output::text(delivery, "")))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn all(common: &Common, remote: &Remote, replay: &Replay, query: Query) -> anyhow::Result<ExitCode> {
    let query = query.which(&replay.which).bulk(&replay.bulk);
    bulk::run(common, remote, &query.on("/v1/events/replay"), &replay.bulk)
}
