//! `POST /v1/deliveries/{id}/retry` and `/cancel`, and the same for all that are selected.

use axum::{Json, http::StatusCode};
use serde_json::Value;

use super::{
    Host, Segment, channels,
    deliveries::{self, Shown},
    error::ApiError,
    jobs,
    query::{NoBody, Parameters},
};
use crate::{
    model::{Action, Selection, State},
    pipeline::Pipeline,
    store::Acted,
};

const PARAMETERS: [&str; 8] = ["channel", "state", "reason", "type", "project", "since", "until", "all"];

type Begun = Result<(StatusCode, Json<Value>), ApiError>;

/// Due now, before all others of its channel.
pub(super) async fn retry(
    Host(pipeline): Host,
    Segment(id): Segment,
    query: Parameters,
) -> Result<Json<Shown>, ApiError> {
    act(&pipeline, Action::Retry, &id, query).await
}

/// Nothing more is tried.
pub(super) async fn cancel(
    Host(pipeline): Host,
    Segment(id): Segment,
    query: Parameters,
) -> Result<Json<Shown>, ApiError> {
    act(&pipeline, Action::Cancel, &id, query).await
}

async fn act(pipeline: &Pipeline, action: Action, id: &str, query: Parameters) -> Result<Json<Shown>, ApiError> {
    query.only(&[])?;
    let parsed = deliveries::parse_id(id)?;
    match pipeline.act(action, parsed).await? {
        Acted::Done(_) => {
            let detail = pipeline.store().delivery(parsed).await?;
            detail.map(|detail| Json(Shown::new(pipeline, detail))).ok_or_else(|| deliveries::unknown(id))
        }
        Acted::Not(state) => Err(not_in_this_state(action, id, state)),
        Acted::Unknown => Err(deliveries::unknown(id)),
    }
}

fn not_in_this_state(action: Action, id: &str, state: State) -> ApiError {
    let hint = match action {
        Action::Cancel => "only what is pending can be cancelled",
        Action::Retry | Action::Replay => {
            "to send it once more, replay its event: POST /v1/events/{id}/replay, `herald events replay`"
        }
    };
    let done = if action == Action::Cancel { "cancelled" } else { "retried" };
    ApiError::new(
        StatusCode::CONFLICT,
        "not_in_this_state",
        format!("the delivery `{id}` is {state}: it can't be {done}"),
        hint,
    )
}

/// All that are selected, of those that failed unless the state says otherwise.
pub(super) async fn retry_all(Host(pipeline): Host, query: Parameters, _: NoBody) -> Begun {
    let mut query = query.only(&PARAMETERS)?;
    let mut selection = query.selection(pipeline.clock().now())?;
    let state = *selection.state.get_or_insert(State::Failed);
    if state == State::Delivered {
        return Err(ApiError::bad_query(
            "what is delivered can't be retried",
            "to send it once more, replay the events: POST /v1/events/replay, `herald events replay`",
        ));
    }
    begin(&pipeline, Action::Retry, selection, query).await
}

/// All that are selected and pending.
pub(super) async fn cancel_all(Host(pipeline): Host, query: Parameters, _: NoBody) -> Begun {
    let mut query = query.only(&PARAMETERS)?;
    let mut selection = query.selection(pipeline.clock().now())?;
    let state = *selection.state.get_or_insert(State::Pending);
    if state != State::Pending {
        return Err(ApiError::bad_query(
            format!("what is {state} can't be cancelled"),
            "only what is pending can: leave `state` out",
        ));
    }
    begin(&pipeline, Action::Cancel, selection, query).await
}

async fn begin(pipeline: &Pipeline, action: Action, selection: Selection, mut query: Parameters) -> Begun {
    query.narrowed(&selection, true)?;
    if selection.reason.is_some() && selection.state != Some(State::Failed) {
        return Err(ApiError::bad_query(
            "only what has failed has a reason",
            "leave `reason` out, or say state=failed",
        ));
    }
    if let Some(channel) = &selection.channel {
        channels::with_deliveries(pipeline, channel).await?;
    }
    jobs::begin(pipeline, action, selection).await
}
