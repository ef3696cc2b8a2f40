//! The HTTP API: JSON in and out, errors as `{code, message, hint}`.
//!
//! The only place that knows axum. Decides nothing about events and deliveries: the pipeline and the store do.

mod access;
mod adapters;
mod body;
mod browser;
mod channels;
mod crowd;
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
mod sources;
mod tls;
mod verify;

use std::{sync::Arc, time::Duration};

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::{
    Router,
    handler::Handler,
    http::StatusCode,
    middleware::from_fn_with_state,
    routing::{MethodRouter, any, get, post},
};
use bytes::Bytes;

use crate::{model::Scope, pipeline::Pipeline};
use access::Needs;
use error::ApiError;

pub use access::Access;
pub use serve::{Listeners, Room, serve};
pub use tls::Tls;

/// What the API knows of its host. Cheap to clone; there from before the host is ready until after it has stopped.
#[derive(Clone)]
pub struct Face(Arc<Inner>);

struct Inner {
    request_timeout: Duration,
    ready: ArcSwapOption<Ready>,
    stopping: std::sync::atomic::AtomicBool,
    reload: ArcSwap<Vec<String>>,
    access: ArcSwap<Access>,
    refusals: sources::Refusals,
    /// None: HTTP is spoken in clear.
    tls: ArcSwapOption<Tls>,
}

struct Ready {
    pipeline: Pipeline,
    max_body: usize,
}

impl Face {
    /// Of a host that is not ready yet. `request_timeout` is how long a client may take for the head of a request, and as
    /// long again for its body.
    pub fn new(request_timeout: Duration, access: Access, tls: Option<Tls>) -> Self {
        Self(Arc::new(Inner {
            request_timeout,
            ready: ArcSwapOption::default(),
            stopping: std::sync::atomic::AtomicBool::default(),
            reload: ArcSwap::default(),
            access: ArcSwap::from_pointee(access),
            refusals: sources::Refusals::default(),
            tls: ArcSwapOption::from_pointee(tls),
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

    /// From the next request on, also on connections that are there already, this holds and nothing else.
    pub fn set_access(&self, access: Access) {
        self.0.access.store(Arc::new(access));
    }

    /// From the next connection on this is spoken.
    pub fn set_tls(&self, tls: Option<Tls>) {
        self.0.tls.store(tls.map(Arc::new));
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

/// Every route with what it needs: there can be none without.
fn routes() -> [(&'static str, Needs, MethodRouter<Face>); 21] {
    const READ: Needs = Needs::Scope(Scope::Read);
    const MANAGE: Needs = Needs::Scope(Scope::Manage);
    [
        ("/healthz", Needs::Nothing, get(health::healthz)),
        ("/readyz", Needs::Nothing, get(health::readyz)),
        ("/metrics", READ, get(health::metrics)),
        (events::PATH, events::NEEDS, any(events::only_posted)),
        ("/v1/sources/{name}/events", Needs::Source, post(sources::accept)),
        ("/v1/events/replay", MANAGE, post(replay::all)),
        ("/v1/events/{id}/replay", MANAGE, post(replay::one)),
        ("/v1/deliveries", READ, get(deliveries::list)),
        ("/v1/deliveries/retry", MANAGE, post(retry::retry_all)),
        ("/v1/deliveries/cancel", MANAGE, post(retry::cancel_all)),
        ("/v1/deliveries/{id}", READ, get(deliveries::show)),
        ("/v1/deliveries/{id}/retry", MANAGE, post(retry::retry)),
        ("/v1/deliveries/{id}/cancel", MANAGE, post(retry::cancel)),
        ("/v1/jobs", READ, get(jobs::list)),
        ("/v1/jobs/{id}", READ, get(jobs::show)),
        ("/v1/jobs/{id}/stop", MANAGE, post(jobs::stop)),
        ("/v1/channels", READ, get(channels::list)),
        ("/v1/channels/{name}/test", MANAGE, post(channels::test)),
        ("/v1/channels/{name}/enable", MANAGE, post(channels::enable)),
        ("/v1/channels/{name}/disable", MANAGE, post(channels::disable)),
        ("/v1/adapters", READ, get(adapters::list)),
    ]
}

/// The check is put around each route with its refusal of other methods, and around what is no route at all.
fn router(face: Face) -> Router {
    let check = |needs| from_fn_with_state((face.clone(), needs), access::check);
    let mut router = Router::new();
    for (path, needs, mut methods) in routes() {
        if path != events::PATH {
            methods = methods.fallback(error::method_not_allowed);
        }
        router = router.route(path, methods.layer(check(needs)));
    }
    let nothing = error::not_found.layer(check(Needs::Token));
    router.fallback(nothing).with_state(face)
}
