//! `GET /v1/channels`, and `POST /v1/channels/{name}/test`, `/enable` and `/disable`.

use std::collections::{BTreeMap, HashMap};

use axum::{Json, body::Body, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Face, Host, Segment, body::Unread, error::ApiError, query::Parameters};
use crate::{
    model::{Blame, ChannelState, Disabled, Millis},
    pipeline::{Channel, Pipeline, Plan},
};

pub(super) const KNOWN: &str =
    "`herald channels list` (GET /v1/channels) lists them; they are configured as [[channel]]";
/// A reason is a sentence.
const LONGEST_BODY: usize = 16 << 10;

/// A channel in the list. No settings: they hold secrets.
#[derive(Serialize)]
struct Listed {
    name: String,
    /// False: its deliveries wait until it comes back.
    configured: bool,
    adapter: Option<String>,
    adapter_version: Option<String>,
    fallback: Option<String>,
    disabled: Option<Disabled>,
    failing_since: Option<Millis>,
    paused_until: Option<Millis>,
    breaker: Option<Breaker>,
    waits: Option<String>,
    routes: Vec<Value>,
    deliveries: Map<String, Value>,
}

/// A breaker that has tripped.
#[derive(Serialize)]
struct Breaker {
    /// Then one delivery tries whether the receiver is well again.
    until: Millis,
    /// Whose failures tripped it: `receiver` or `adapter`.
    blame: Blame,
}

/// Each with its adapter, its routes, how it fares, and how many deliveries it has in each state. The last are those that
/// are not configured any more and have deliveries, or are remembered as disabled or failing.
pub(super) async fn list(Host(pipeline): Host) -> Result<Json<Value>, ApiError> {
    let plan = pipeline.plan();
    let mut counts: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for count in pipeline.store().counts().await? {
        counts.entry(count.channel).or_default().insert(count.state.to_string(), count.count.into());
    }
    let stored = pipeline.store().channels(None).await?;
    let known = |name: &str| newest(&pipeline, &stored, name);
    let mut gone: Vec<&String> =
        stored.keys().filter(|name| is_worth_a_line(&known(name))).chain(counts.keys()).collect();
    gone.retain(|name| !plan.channels.contains_key(*name));
    gone.sort();
    gone.dedup();
    let channels: Vec<Listed> = plan
        .channels
        .keys()
        .chain(gone)
        .map(|name| Listed {
            deliveries: counts.get(name).cloned().unwrap_or_default(),
            ..listed(&pipeline, &plan, name, known(name))
        })
        .collect();
    Ok(Json(json!({ "channels": channels })))
}

fn listed(pipeline: &Pipeline, plan: &Plan, name: &str, known: ChannelState) -> Listed {
    let channel: Option<&Channel> = plan.channels.get(name).map(AsRef::as_ref);
    let adapter = channel.and_then(|channel| pipeline.registry().get(&channel.adapter));
    let now = pipeline.clock().now();
    let routes = plan.routes.iter().filter(|route| route.channel == name).map(|route| {
        let events: Vec<String> = route.events.iter().map(ToString::to_string).collect();
        json!({ "events": events, "project": route.project })
    });
    Listed {
        name: name.to_owned(),
        configured: channel.is_some(),
        adapter: channel.map(|channel| channel.adapter.clone()),
        adapter_version: adapter.map(|adapter| adapter.id.version.clone()),
        fallback: channel.and_then(|channel| channel.fallback.clone()),
        disabled: known.disabled,
        failing_since: known.health.failing_since,
        paused_until: Some(known.paused_until).filter(|until| *until > now),
        breaker: known.health.tripped.map(|tripped| Breaker { until: tripped.until, blame: tripped.blame }),
        waits: waits(pipeline, name),
        routes: routes.collect(),
        deliveries: Map::new(),
    }
}

/// What is known now; a channel without a lane has only what the store remembers.
fn newest(pipeline: &Pipeline, stored: &HashMap<String, ChannelState>, name: &str) -> ChannelState {
    let stored = stored.get(name).cloned().unwrap_or_default();
    pipeline.channel_state(name).filter(|live| live.version >= stored.version).unwrap_or(stored)
}

fn is_worth_a_line(known: &ChannelState) -> bool {
    known.disabled.is_some() || known.health.failing_since.is_some()
}

/// Why nothing is begun on a channel now.
pub(super) fn waits(pipeline: &Pipeline, name: &str) -> Option<String> {
    // One that was gone already when the host started has no lane to say so.
    let gone = || (!pipeline.plan().channels.contains_key(name)).then(|| "it is not in the config any more".to_owned());
    pipeline.waits(name).or_else(gone)
}

/// A channel that a selection of deliveries may name: one that is configured, or that has some.
pub(super) async fn with_deliveries(pipeline: &Pipeline, name: &str) -> Result<(), ApiError> {
    let known = pipeline.plan().channels.contains_key(name)
        || pipeline.store().counts().await?.iter().any(|count| count.channel == name);
    if known { Ok(()) } else { Err(ApiError::no_such("channel", name, KNOWN)) }
}

/// Sends a test event the way that every event goes; the answer names its delivery.
pub(super) async fn test(Host(pipeline): Host, Segment(name): Segment) -> Result<(StatusCode, Json<Value>), ApiError> {
    if let Some(why) = pipeline.rests(&name) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "channel_waits",
            format!("the channel `{name}` delivers nothing now: {why}"),
            "nothing was sent; mend that first",
        ));
    }
    match pipeline.test(&name).await? {
        Some(delivery) => Ok((StatusCode::ACCEPTED, Json(json!({ "delivery": delivery })))),
        None => Err(ApiError::no_such("channel", &name, KNOWN)),
    }
}

/// Lets a channel that was disabled deliver again.
pub(super) async fn enable(Host(pipeline): Host, Segment(name): Segment) -> Result<StatusCode, ApiError> {
    found(pipeline.enable(&name).await?, &name)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disable {
    reason: Option<String>,
}

/// Delivers nothing until somebody enables it. Why may be a parameter or a member of a JSON object.
pub(super) async fn disable(
    Host(pipeline): Host,
    Segment(name): Segment,
    query: Parameters,
    State(face): State<Face>,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let mut query = query.only(&["reason"])?;
    let bad = |what: &str| {
        let hint = r#"send no body, or {"reason": "..."}"#;
        ApiError::new(StatusCode::BAD_REQUEST, "malformed_json", format!("the body is {what}"), hint)
    };
    let body = face.read(body, LONGEST_BODY).await.map_err(|unread| match unread {
        Unread::TooLarge(_) => bad("too long"),
        unread => unread.into(),
    })?;
    let told: Disable = match body.trim_ascii() {
        [] => Disable::default(),
        body => serde_json::from_slice(body).map_err(|error| bad(&format!("not understood: {error}")))?,
    };
    let reason = query.take("reason").or(told.reason).filter(|reason| !reason.trim().is_empty());
    let done = pipeline.disable(&name, reason.as_deref().unwrap_or("by hand")).await?;
    found(done, &name)
}

fn found(found: bool, name: &str) -> Result<StatusCode, ApiError> {
    if found { Ok(StatusCode::NO_CONTENT) } else { Err(ApiError::no_such("channel", name, KNOWN)) }
}
