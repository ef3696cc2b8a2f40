//! The HTTP API: JSON in and out, errors as `{code, message, hint}`.
//!
//! The only place that knows axum. Decides nothing about events and deliveries: the pipeline and the store do.

mod adapters;
mod body;
mod channels;
mod deliveries;
mod error;
mod events;
mod health;
mod jobs;
mod query;
mod replay;
mod retry;
mod serve;
mod slow;

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{
    Router,
    http::StatusCode,
    routing::{any, get, post},
};
use bytes::Bytes;

use crate::pipeline::Pipeline;
use error::ApiError;

pub use serve::serve;

/// What the API knows of its host. Cheap to clone; there from before the host is ready until after it has stopped.
#[derive(Clone)]
pub struct Face(Arc<Inner>);

struct Inner {
    request_timeout: Duration,
    ready: ArcSwapOption<Ready>,
    stopping: std::sync::atomic::AtomicBool,
    reload: ArcSwap<Vec<String>>,
}

struct Ready {
    pipeline: Pipeline,
    max_body: usize,
}

impl Face {
    /// Of a host that is not ready yet. `request_timeout` is how long a client may take for the head of a request, and as
    /// long again for its body.
    pub fn new(request_timeout: Duration) -> Self {
        Self(Arc::new(Inner {
            request_timeout,
            ready: ArcSwapOption::default(),
            stopping: std::sync::atomic::AtomicBool::default(),
            reload: ArcSwap::default(),
        }))
    }

    /// From now on events are accepted, in bodies of up to `max_body` bytes.
    pub fn ready(&self, pipeline: Pipeline, max_body: usize) {
        self.0.ready.store(Some(Arc::new(Ready { pipeline, max_body })));
    }

    /// From now on readiness is denied, so that no balancer sends more.
    pub fn stopping(&self) {
        self.0.stopping.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Lets go of the host, which has stopped: a connection that is still there must not hold its store.
    pub fn stopped(&self) {
        self.0.ready.store(None);
    }

    /// What is wrong with the config file as it stands; empty when what runs is what it says.
    pub fn reloaded(&self, problems: Vec<String>) {
        self.0.reload.store(Arc::new(problems));
    }

    fn get(&self) -> Result<Arc<Ready>, ApiError> {
        self.0.ready.load_full().ok_or_else(|| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "starting",
                "the host is not ready yet",
                "try again in a moment; /readyz tells when",
            )
        })
    }

    fn request_timeout(&self) -> Duration {
        self.0.request_timeout
    }

    /// The whole body of a request, of up to `most` bytes.
    async fn read<B>(&self, body: B, most: usize) -> Result<Bytes, body::Unread>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: std::fmt::Display,
    {
        body::whole(body, most, self.0.request_timeout).await
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(std::sync::atomic::Ordering::Relaxed)
    }
}

/// Hands the pipeline of a ready host to a handler.
struct Host(Pipeline);

impl axum::extract::FromRequestParts<Face> for Host {
    type Rejection = ApiError;

    async fn from_request_parts(_: &mut axum::http::request::Parts, face: &Face) -> Result<Self, ApiError> {
        face.get().map(|ready| Self(ready.pipeline.clone()))
    }
}

/// A part of the path: an id or a name.
struct Segment(String);

impl axum::extract::FromRequestParts<Face> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, face: &Face) -> Result<Self, ApiError> {
        let axum::extract::Path(segment) = axum::extract::Path::from_request_parts(parts, face)
            .await
            .map_err(|rejection| ApiError::bad_path(rejection.body_text()))?;
        Ok(Self(segment))
    }
}

fn router(face: Face) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route(events::PATH, any(events::only_posted))
        .route("/v1/events/replay", post(replay::all))
        .route("/v1/events/{id}/replay", post(replay::one))
        .route("/v1/deliveries", get(deliveries::list))
        .route("/v1/deliveries/retry", post(retry::retry_all))
        .route("/v1/deliveries/cancel", post(retry::cancel_all))
        .route("/v1/deliveries/{id}", get(deliveries::show))
        .route("/v1/deliveries/{id}/retry", post(retry::retry))
        .route("/v1/deliveries/{id}/cancel", post(retry::cancel))
        .route("/v1/jobs", get(jobs::list))
        .route("/v1/jobs/{id}", get(jobs::show))
        .route("/v1/jobs/{id}/stop", post(jobs::stop))
        .route("/v1/channels", get(channels::list))
        .route("/v1/channels/{name}/test", post(channels::test))
        .route("/v1/channels/{name}/enable", post(channels::enable))
        .route("/v1/channels/{name}/disable", post(channels::disable))
        .route("/v1/adapters", get(adapters::list))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(face)
}
