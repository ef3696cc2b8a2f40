//! `GET /v1/jobs`, `GET /v1/jobs/{id}`, `POST /v1/jobs/{id}/stop`, and how bulk work is begun.

use axum::{Json, http::StatusCode};
use serde_json::{Value, json};

use super::{Host, Segment, error::ApiError};
use crate::{
    model::{Action, Job, JobId, Selection},
    pipeline::Pipeline,
};

const KNOWN: &str = "`herald jobs list` (GET /v1/jobs) lists them; what is older than the store keeps is gone";

/// The newest first.
pub(super) async fn list(Host(pipeline): Host) -> Result<Json<Value>, ApiError> {
    let jobs: Vec<Job> = pipeline.store().jobs(false).await?.into_iter().map(|(job, _)| job).collect();
    Ok(Json(json!({ "jobs": jobs })))
}

/// How far it has come.
pub(super) async fn show(Host(pipeline): Host, Segment(id): Segment) -> Result<Json<Value>, ApiError> {
    let parsed = id.parse().map_err(|error| ApiError::bad_query(format!("`{id}` is {error}"), KNOWN))?;
    let job = find(&pipeline, parsed).await?;
    Ok(Json(json!({ "job": job })))
}

/// What it has done stays done.
pub(super) async fn stop(Host(pipeline): Host, Segment(id): Segment) -> Result<Json<Value>, ApiError> {
    let parsed = id.parse().map_err(|error| ApiError::bad_query(format!("`{id}` is {error}"), KNOWN))?;
    find(&pipeline, parsed).await?;
    pipeline.stop_job(parsed).await?;
    Ok(Json(json!({ "job": find(&pipeline, parsed).await? })))
}

async fn find(pipeline: &Pipeline, id: JobId) -> Result<Job, ApiError> {
    let job = pipeline.store().job(id).await?;
    job.ok_or_else(|| ApiError::no_such("job", &id.to_string(), KNOWN))
}

/// 202: it is written down, and done whatever happens.
pub(super) async fn begin(
    pipeline: &Pipeline,
    action: Action,
    selection: Selection,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    let id = pipeline.begin(action, selection).await?;
    let job = find(pipeline, id).await?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "job": job }))))
}
