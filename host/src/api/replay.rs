//! `POST /v1/events/{id}/replay` and `POST /v1/events/replay`: new deliveries of old events.

use axum::{Json, http::StatusCode};
use serde_json::{Value, json};

use super::{
    Host, Segment, channels,
    error::ApiError,
    jobs,
    query::{NoBody, Parameters},
};
use crate::{model::Action, pipeline::Replayed};

/// Sources that an error names.
const SOURCES: usize = 10;

/// One event, where the routes lead it now, or on the one channel: 202 with the ids of its new deliveries.
pub(super) async fn one(
    Host(pipeline): Host,
    Segment(id): Segment,
    query: Parameters,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut query = query.only(&["source", "channel"])?;
    let (source, channel) = (query.take("source"), query.take("channel"));
    match pipeline.replay(&id, source.as_deref(), channel.as_deref()).await? {
        Replayed::Done(deliveries) => Ok((StatusCode::ACCEPTED, Json(json!({ "deliveries": deliveries })))),
        Replayed::NoEvent => Err(match source {
            Some(source) => ApiError::no_such("event", &id, &format!("none from the source {}", json!(source))),
            None => ApiError::no_such(
                "event",
                &id,
                "`herald deliveries show` names the event of a delivery; what is older than `store.keep` is gone",
            ),
        }),
        Replayed::Several(sources) => Err(several(&id, &sources)),
        Replayed::NoChannel(channel) => Err(ApiError::no_such("channel", &channel, channels::KNOWN)),
        Replayed::NoRoute => Err(ApiError::new(
            StatusCode::CONFLICT,
            "no_route",
            format!("no route leads the event `{id}` anywhere now"),
            "name the channel that is to get it: `--channel NAME` (channel=NAME)",
        )),
    }
}

fn several(id: &str, sources: &[String]) -> ApiError {
    let named: Vec<String> = sources.iter().take(SOURCES).map(|source| json!(source).to_string()).collect();
    let more = if sources.len() > SOURCES { ", …" } else { "" };
    ApiError::new(
        StatusCode::CONFLICT,
        "several_events",
        format!("there are {} events `{id}`, from the sources {}{more}", sources.len(), named.join(", ")),
        "name the one that is meant: `--source SOURCE` (source=SOURCE; source= alone is the empty one)",
    )
}

/// All that are selected: 202 with the job.
pub(super) async fn all(
    Host(pipeline): Host,
    query: Parameters,
    _: NoBody,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let mut query = query.only(&["type", "project", "since", "until", "channel", "all"])?;
    let selection = query.selection(pipeline.clock().now())?;
    // The channel is where they go: it narrows nothing.
    query.narrowed(&selection, false)?;
    if let Some(channel) = &selection.channel
        && !pipeline.plan().channels.contains_key(channel)
    {
        return Err(ApiError::no_such("channel", channel, channels::KNOWN));
    }
    jobs::begin(&pipeline, Action::Replay, selection).await
}
