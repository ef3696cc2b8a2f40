//! `POST /v1/events`.

use std::borrow::Cow;

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, request::Parts},
    response::IntoResponse,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use serde::Serialize;
use serde_json::json;

use super::{
    Face, Ready,
    access::Needs,
    error::{self, ApiError},
};
use crate::{model::Scope, pipeline::incoming::Post};

pub(super) const PATH: &str = "/v1/events";
/// Checked by [`accept`] itself.
pub(super) const NEEDS: Needs = Needs::Scope(Scope::EventsWrite);

static IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// 202 after the commit, with the ids and the number of deliveries. Called without the router, as every event comes here.
pub(super) async fn accept(face: &Face, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, ApiError> {
    face.admit(request.uri(), request.headers(), NEEDS)?;
    let ready = face.get()?;
    let (Parts { headers, .. }, body) = request.into_parts();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    refuse_encoding(text(header::CONTENT_ENCODING))?;
    let idempotency_key = idempotency_key(&headers)?;
    let body = face.read(body, ready.max_body).await?;
    let content_type = bare(text(header::CONTENT_TYPE).unwrap_or_default());
    let post = Post {
        content_type: &content_type,
        ce_headers: ce_headers(&headers),
        idempotency_key,
        body,
        ..Post::default()
    };
    store(&ready, &post).await
}

/// The answer to a post that may be stored.
pub(super) async fn store(ready: &Ready, post: &Post<'_>) -> Result<Response<Full<Bytes>>, ApiError> {
    let receipt = ready.pipeline.accept(post).await?;
    match receipt.events.as_slice() {
        [event] if !receipt.is_list => accepted(event),
        events => {
            let deliveries: u64 = events.iter().map(|event| u64::from(event.deliveries)).sum();
            accepted(&json!({ "events": events, "deliveries": deliveries }))
        }
    }
}

/// Whatever else is asked of this path: posts do not come to the router.
pub(super) async fn only_posted(method: Method, uri: Uri) -> impl IntoResponse {
    ([(header::ALLOW, "POST")], error::method_not_allowed(method, uri).await)
}

fn accepted(receipt: &impl Serialize) -> Result<Response<Full<Bytes>>, ApiError> {
    let mut answer =
        Response::new(Full::from(serde_json::to_vec(receipt).map_err(|error| ApiError::unsayable(&error))?));
    *answer.status_mut() = StatusCode::ACCEPTED;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// The attributes of a CloudEvent: names without `ce-`.
pub(super) fn ce_headers(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let all = headers.iter();
    all.filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value.to_str().ok()?))).collect()
}

/// A content type without its parameters, lower case.
pub(super) fn bare(content_type: &str) -> Cow<'_, str> {
    let bare = content_type.split(';').next().unwrap_or_default().trim();
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) { bare.to_ascii_lowercase().into() } else { bare.into() }
}

/// A key that can't be read must not be taken for none: the event would be delivered twice.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(&IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(key) if !key.is_empty() => Ok(Some(key)),
        _ => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "bad_idempotency_key",
            "the Idempotency-Key is empty or not ASCII",
            "use a text that is unique to this post, a UUID for example",
        )),
    }
}

pub(super) fn refuse_encoding(encoding: Option<&str>) -> Result<(), ApiError> {
    match encoding {
        None | Some("identity" | "") => Ok(()),
        Some(encoding) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            format!("the content encoding `{encoding}` is not understood"),
            "send the body as it is, without Content-Encoding",
        )),
    }
}
