//! `GET /v1/adapters`.

use axum::Json;
use serde_json::Value;

use super::{Host, error::ApiError};

/// What is usable, and which files are not and why.
pub(super) async fn list(Host(pipeline): Host) -> Result<Json<Value>, ApiError> {
    Ok(Json(pipeline.registry().published().account()))
}
