//! `herald render`.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::Value;

use super::{
    Wrong,
    args::{Common, Render},
    output, rehearsal,
    send::read,
    workbench::Workbench,
};
use crate::{
    adapter::CallError,
    config::Config,
    model::{Context, Event, Millis},
    pipeline::incoming::{self, Post, Surroundings},
};

pub(super) fn run(common: &Common, args: &Render) -> anyhow::Result<ExitCode> {
    let bench = Workbench::open(common)?;
    let piece = bench.find(&args.adapter)?;
    let settings = settings(&args.settings)?;
    let context = context(args)?;
    let event = event(&args.event, &bench.config, context.now)?;
    match rehearsal::rehearse(&bench.config, &piece.adapter, &settings, context, &event) {
        Ok(rehearsed) => {
            if common.json {
                output::json(&rehearsed.request)?;
            } else {
                rehearsed.print(&event)?;
            }
            rehearsed.note();
            Ok(if rehearsed.refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        }
        Err(error) => {
            let Some(call) = error.downcast_ref::<CallError>() else { return Err(error) };
            output::error(format_args!("error: {}", rehearsal::explain(call, &piece.adapter)));
            Ok(ExitCode::FAILURE)
        }
    }
}

fn context(args: &Render) -> anyhow::Result<Context> {
    let usual = rehearsal::usual_context();
    let now = match &args.now {
        None => usual.now,
        Some(time) => {
            let at = time.parse::<jiff::Timestamp>().ok().and_then(|time| Millis::try_from(time.as_millisecond()).ok());
            at.ok_or_else(|| Wrong(format!("--now: {time:?} is no time such as 2026-11-23T10:15:00Z")))?
        }
    };
    Ok(Context {
        channel: args.channel.clone().unwrap_or(usual.channel),
        attempt: args.attempt,
        reference: args.reference.clone(),
        now,
        ..usual
    })
}

/// JSON, or a file with it.
fn settings(given: &str) -> anyhow::Result<Value> {
    let (text, place) = if given.trim_start().starts_with('{') {
        (given.as_bytes().to_vec(), "--settings".to_owned())
    } else {
        (read(Path::new(given)).context("--settings is JSON or a file with it")?, given.to_owned())
    };
    let settings: Value = serde_json::from_slice(&text).map_err(|error| Wrong(format!("{place}: {error}")))?;
    if !settings.is_object() {
        return Err(Wrong(format!("{place}: settings are a JSON object")).into());
    }
    Ok(settings)
}

/// What an application would post, read as the host reads it.
fn event(file: &Path, config: &Config, now: Millis) -> anyhow::Result<Event> {
    let wrong = |what: String| Wrong(format!("{}: {what}", file.display()));
    let post = Post { content_type: "application/json", body: Bytes::from(read(file)?), ..Post::default() };
    let app_url = config.server.app_url.as_ref();
    let around = Surroundings { now, app_url, new_id: &|| "evt_test".to_owned() };
    let mut events = incoming::read(&post, &around)
        .map_err(|error| wrong(format!("{}; {}", error.message, error.hint)))?
        .events
        .into_iter();
    match (events.next(), events.next()) {
        (Some(event), None) => Ok(event),
        _ => Err(wrong("more than one event: give a file with one".to_owned()).into()),
    }
}
