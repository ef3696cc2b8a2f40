//! `POST /v1/sources/{name}/events`: events of a source that has to prove who it is, by its signature, its address or both.
//!
//! Decides in this order, the cheapest first and the body last: the address, what the headers say, the signature.

use std::{collections::BTreeMap, net::IpAddr, sync::Mutex, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode, header, request::Parts},
};

use super::{
    Face, Segment,
    access::Needs,
    error::ApiError,
    events,
    verify::{Unproven, claim},
};
use crate::{
    model::{Millis, Scope, Source, millis},
    pipeline::incoming::Post,
};

/// Whoever is at the other end of the connection: behind a proxy, that is the proxy. None: by the Unix socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub Option<IpAddr>);

/// 202 as for a post to `/v1/events`, or what is not right with the sender.
pub(super) async fn accept(
    State(face): State<Face>,
    Segment(name): Segment,
    request: Request,
) -> Result<Response<Body>, ApiError> {
    let access = face.0.access.load_full();
    let Some(source) = access.sources.iter().find(|source| source.name == name) else {
        face.admit(request.uri(), request.headers(), Needs::Token)?;
        return Err(ApiError::no_such("source", &name, "the sources are those of the config, [[source]]"));
    };
    let peer = request.extensions().get::<Peer>().and_then(|peer| peer.0);
    if !source.may_come_from(peer) {
        return Err(refuse(&face, source, &foreign(peer)));
    }
    let ready = face.get()?;
    if source.verify.is_none() {
        face.admit(request.uri(), request.headers(), Needs::Scope(Scope::EventsWrite))?;
    }
    let (Parts { headers, .. }, body) = request.into_parts();
    let now = ready.pipeline.clock().now();
    let claim = claim(source, &headers, now).map_err(|unproven| refuse(&face, source, &unproven))?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    events::refuse_encoding(text(header::CONTENT_ENCODING))?;
    let content_type = events::bare(text(header::CONTENT_TYPE).unwrap_or_default());
    let ce_headers = events::ce_headers(&headers);
    if claim.is_some() && !ce_headers.is_empty() {
        return Err(unsigned_headers());
    }
    let own_key = if claim.is_some() { None } else { events::idempotency_key(&headers)? };
    let body = face.read(body, ready.max_body).await?;
    let proven = claim.as_ref().map(|claim| claim.prove(&body)).transpose();
    let proven = proven.map_err(|unproven| refuse(&face, source, &unproven))?;
    let post = Post {
        content_type: &content_type,
        ce_headers,
        idempotency_key: proven.as_deref().or(own_key),
        source: &source.name,
        signed: proven.is_some(),
        body,
    };
    Ok(events::store(&ready, &post).await?.map(Body::new))
}

fn foreign(peer: Option<IpAddr>) -> Unproven {
    let who = peer.map_or_else(|| "this connection".to_owned(), |peer| peer.to_canonical().to_string());
    Unproven {
        check: "address",
        message: format!("{who} is not among the addresses that this source may post from"),
        hint: "it is the address that the connection comes from, of a proxy perhaps: see `allow_addresses` of the [[source]]",
    }
}

/// They say what the event is, and anybody between could have written them.
fn unsigned_headers() -> ApiError {
    ApiError::new(
        StatusCode::BAD_REQUEST,
        "unsigned_headers",
        "the `ce-` headers are not part of what this source signs",
        "send the CloudEvent structured, as application/cloudevents+json",
    )
}

/// Counts it, logs it, and says it to the sender.
fn refuse(face: &Face, source: &Source, unproven: &Unproven) -> ApiError {
    let now = face.get().map_or(0, |ready| ready.pipeline.clock().now());
    face.0.refusals.add(&source.name, unproven, now);
    let (status, code) = match unproven.check {
        "address" => (StatusCode::FORBIDDEN, "address_not_allowed"),
        "header" => (StatusCode::UNAUTHORIZED, "missing_signature"),
        "timestamp" => (StatusCode::UNAUTHORIZED, "stale_signature"),
        _ => (StatusCode::UNAUTHORIZED, "unknown_signature"),
    };
    let error = ApiError::new(status, code, unproven.message.as_str(), unproven.hint);
    // RFC 9110, 15.5.2: a 401 names a scheme. There is none registered for webhooks.
    if status == StatusCode::UNAUTHORIZED { error.challenge("Signature") } else { error }
}

/// How many posts were refused, by source and check: as many entries as the config has sources, times four.
#[derive(Default)]
pub(super) struct Refusals(Mutex<BTreeMap<(String, &'static str), Refused>>);

#[derive(Default)]
struct Refused {
    count: u64,
    logged: Millis,
}

/// One line of the log at most in such a time for each: who is refused may come again a thousand times a second.
const BETWEEN_LINES: Duration = Duration::from_mins(1);

impl Refusals {
    fn add(&self, source: &str, unproven: &Unproven, now: Millis) {
        let (check, message) = (unproven.check, unproven.message.as_str());
        let Ok(mut all) = self.0.lock() else { return };
        let refused = all.entry((source.to_owned(), check)).or_default();
        refused.count += 1;
        if refused.count > 1 && now.saturating_sub(refused.logged) < millis(BETWEEN_LINES) {
            return;
        }
        refused.logged = now;
        tracing::warn!(source, check, count = refused.count, "a post was refused: {message}");
    }

    /// Source, check, and how often since the start.
    pub fn all(&self) -> Vec<(String, &'static str, u64)> {
        let Ok(all) = self.0.lock() else { return Vec::new() };
        all.iter().map(|((source, check), refused)| (source.clone(), *check, refused.count)).collect()
    }
}
