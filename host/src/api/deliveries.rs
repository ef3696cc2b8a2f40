//! `GET /v1/deliveries` and `GET /v1/deliveries/{id}`.

use std::time::Duration;

use axum::Json;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Host, Segment, channels, error::ApiError, query::Parameters};
use crate::{
    model::{DeliveryId, State},
    pipeline::Pipeline,
    store::{Attempts, Detail, Filter},
};

const LISTS: &str = "`herald deliveries list` (GET /v1/deliveries) lists them";
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;
/// Attempts are long: each may be hundreds of kilobytes.
const MOST_ATTEMPTS: u32 = 100;
/// A request that waits is answered after this at the latest.
const LONGEST_WAIT: u64 = 60;
const PARAMETERS: [&str; 10] =
    ["channel", "state", "reason", "type", "project", "since", "until", "event", "before", "limit"];

/// The newest first; `next` is the `before` of the next page.
pub(super) async fn list(Host(pipeline): Host, query: Parameters) -> Result<Json<Value>, ApiError> {
    let mut query = query.only(&PARAMETERS)?;
    let limit = query.number("limit")?.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
    let filter = Filter {
        selection: query.selection(pipeline.clock().now())?,
        event: query.take("event"),
        before: query.take("before").as_deref().map(parse_id).transpose()?,
        limit,
    };
    if let Some(channel) = &filter.selection.channel {
        channels::with_deliveries(&pipeline, channel).await?;
    }
    let deliveries = pipeline.store().page(filter).await?;
    let full = u32::try_from(deliveries.len()).is_ok_and(|length| length == limit);
    let next = deliveries.last().filter(|_| full).map(|last| last.delivery.id);
    Ok(Json(json!({ "deliveries": deliveries, "next": next })))
}

/// A delivery, and why it is not begun now, when it is so.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    detail: Detail,
    waits: Option<String>,
}

impl Shown {
    pub fn new(pipeline: &Pipeline, detail: Detail) -> Self {
        let delivery = &detail.delivery;
        let waits = (delivery.state == State::Pending).then(|| {
            let channel = channels::waits(pipeline, &delivery.channel);
            let sequence =
                || delivery.due_at.is_none().then(|| "an earlier delivery of its subject comes first".to_owned());
            channel.or_else(sequence)
        });
        Self { waits: waits.flatten(), detail: readable(detail) }
    }
}

/// The delivery, its event, and its last attempts with their exchanges; `next` is the `before` of those before them.
pub(super) async fn show(
    Host(pipeline): Host,
    Segment(id): Segment,
    query: Parameters,
) -> Result<Json<Shown>, ApiError> {
    let mut query = query.only(&["wait", "before", "limit"])?;
    let seconds: u64 = query.number("wait")?.unwrap_or(0);
    let wait = Duration::from_secs(seconds.min(LONGEST_WAIT));
    let which = Attempts {
        before: query.number("before")?.unwrap_or(u32::MAX),
        limit: query.number("limit")?.unwrap_or(MOST_ATTEMPTS).clamp(1, MOST_ATTEMPTS),
    };
    let parsed = parse_id(&id)?;
    let found = tokio::time::timeout(wait, attempted(&pipeline, parsed, which)).await;
    let detail = match found {
        Ok(detail) => detail?,
        Err(_) => pipeline.store().delivery_with(parsed, which).await?,
    };
    detail.map(|detail| Json(Shown::new(&pipeline, detail))).ok_or_else(|| unknown(&id))
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
async fn attempted(pipeline: &Pipeline, id: DeliveryId, which: Attempts) -> Result<Option<Detail>, ApiError> {
    let mut settlements = pipeline.settlements();
    loop {
        settlements.borrow_and_update();
        match pipeline.store().delivery_with(id, which).await? {
            Some(detail) if detail.delivery.attempts == 0 => {}
            found => return Ok(found),
        }
        tokio::select! {
            _ = settlements.changed() => {}
            // A host that stops does not wait for who waits.
            () = pipeline.stopping() => return Ok(pipeline.store().delivery_with(id, which).await?),
        }
    }
}

pub(super) fn parse_id(text: &str) -> Result<DeliveryId, ApiError> {
    text.parse().map_err(|error| ApiError::bad_query(format!("`{text}` is {error}"), LISTS))
}

pub(super) fn unknown(id: &str) -> ApiError {
    ApiError::no_such("delivery", id, LISTS)
}
