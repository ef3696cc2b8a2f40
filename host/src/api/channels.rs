//! `GET /v1/channels`, `POST /v1/channels/{name}/test`, `POST /v1/channels/{name}/enable`.

use axum::{Json, http::StatusCode};
use serde_json::{Value, json};

use super::{Host, Segment, error::ApiError};

const KNOWN: &str = "GET /v1/channels lists them; they are configured as [[channel]]";

/// Each with its adapter, its routes, and how many deliveries it has in each state. No settings: they hold secrets.
pub(super) async fn list(Host(pipeline): Host) -> Result<Json<Value>, ApiError> {
    let plan = pipeline.plan();
    let counts = pipeline.store().counts().await?;
    let known = pipeline.store().channels(None).await?;
    let channels: Vec<Value> = plan
        .channels
        .values()
        .map(|channel| {
            let deliveries: serde_json::Map<String, Value> = counts
                .iter()
                .filter(|count| count.channel == channel.name)
                .map(|count| (count.state.to_string(), count.count.into()))
                .collect();
            let routes: Vec<Value> = plan
                .routes
                .iter()
                .filter(|route| route.channel == channel.name)
                .map(|route| {
                    let events: Vec<String> = route.events.iter().map(ToString::to_string).collect();
                    json!({ "events": events, "project": route.project })
                })
                .collect();
            json!({
                "name": channel.name,
                "adapter": channel.adapter,
                "adapter_version": pipeline.registry().get(&channel.adapter).map(|adapter| adapter.id.version.clone()),
                "disabled": known.get(&channel.name).and_then(|known| known.disabled.as_ref()),
                "waits": pipeline.waits(&channel.name),
                "routes": routes,
                "deliveries": deliveries,
            })
        })
        .collect();
    Ok(Json(json!({ "channels": channels })))
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
    if pipeline.enable(&name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::no_such("channel", &name, KNOWN))
    }
}
