//! `GET /v1/deliveries` and `GET /v1/deliveries/{id}`.

use std::time::Duration;

use axum::{
    Json,
    extract::{Query, rejection::QueryRejection},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Host, Segment, error::ApiError};
use crate::{
    model::{DeliveryId, Selection, State},
    pipeline::Pipeline,
    store::{Detail, Filter},
};

const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;
/// A request that waits is answered after this at the latest.
const LONGEST_WAIT: u64 = 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    channel: Option<String>,
    state: Option<String>,
    event: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// The newest first; `next` is the `before` of the next page.
pub(super) async fn list(
    Host(pipeline): Host,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, ApiError> {
    let Query(query) = understood(query, "channel, state, event, before and limit")?;
    let state = match query.state.as_deref() {
        None => None,
        Some(name) => Some(State::from_name(name).ok_or_else(|| {
            ApiError::bad_query(format!("`{name}` is no state"), "states are pending, delivered, failed and cancelled")
        })?),
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let filter = Filter {
        selection: Selection { channel: query.channel, state, ..Selection::default() },
        event: query.event,
        before: query.before.as_deref().map(parse_id).transpose()?,
        limit,
    };
    let deliveries = pipeline.store().page(filter).await?;
    let full = u32::try_from(deliveries.len()).is_ok_and(|length| length == limit);
    let next = deliveries.last().filter(|_| full).map(|last| last.delivery.id);
    Ok(Json(json!({ "deliveries": deliveries, "next": next })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    /// Seconds to wait for the first attempt.
    wait: Option<u64>,
}

/// A delivery, and why its channel can't begin it, when it is so.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    detail: Detail,
    waits: Option<String>,
}

/// The delivery, its event, and every attempt with its exchanges.
pub(super) async fn show(
    Host(pipeline): Host,
    Segment(id): Segment,
    query: Result<Query<ShowQuery>, QueryRejection>,
) -> Result<Json<Shown>, ApiError> {
    let Query(query) = understood(query, "wait, in seconds")?;
    let wait = Duration::from_secs(query.wait.unwrap_or(0).min(LONGEST_WAIT));
    let parsed = parse_id(&id)?;
    let found = tokio::time::timeout(wait, attempted(&pipeline, parsed)).await;
    let detail = match found {
        Ok(detail) => detail?,
        Err(_) => pipeline.store().delivery(parsed).await?,
    };
    let shown = detail.map(|detail| {
        let pending = detail.delivery.state == State::Pending;
        let waits = pending.then(|| pipeline.waits(&detail.delivery.channel)).flatten();
        Shown { detail: readable(detail), waits }
    });
    shown.map(Json).ok_or_else(|| ApiError::no_such("delivery", &id, "GET /v1/deliveries lists them"))
}

/// Data that only some readers of JSON take (a number beyond all range, nesting without end) is shown as text, so that
/// the rest of the answer can be read.
fn readable(mut detail: Detail) -> Detail {
    let data = detail.event.data.get();
    if serde_json::from_str::<Value>(data).is_err() {
        detail.event.data = serde_json::value::to_raw_value(data).unwrap_or_default();
    }
    detail
}

/// Returns when there has been an attempt, or when there is no such delivery.
async fn attempted(pipeline: &Pipeline, id: DeliveryId) -> Result<Option<Detail>, ApiError> {
    let mut settlements = pipeline.settlements();
    loop {
        settlements.borrow_and_update();
        match pipeline.store().delivery(id).await? {
            Some(detail) if detail.attempts.is_empty() => {}
            found => return Ok(found),
        }
        tokio::select! {
            _ = settlements.changed() => {}
            // A host that stops does not wait for who waits.
            () = pipeline.stopping() => return Ok(pipeline.store().delivery(id).await?),
        }
    }
}

fn parse_id(text: &str) -> Result<DeliveryId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_query(format!("`{text}` is {error}"), "GET /v1/deliveries lists them"))
}

fn understood<T>(query: Result<Query<T>, QueryRejection>, known: &str) -> Result<Query<T>, ApiError> {
    query.map_err(|rejection| ApiError::bad_query(rejection.body_text(), format!("the parameters are {known}")))
}
