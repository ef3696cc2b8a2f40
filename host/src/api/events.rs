//! `POST /v1/events`.

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Face, error::ApiError};
use crate::pipeline::incoming::Post;

/// 202 after the commit, with the ids and the number of deliveries.
pub(super) async fn accept(State(face): State<Face>, request: Request) -> Result<Response, ApiError> {
    let ready = face.get()?;
    let (Parts { headers, .. }, body) = request.into_parts();
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    refuse_encoding(text(header::CONTENT_ENCODING))?;
    let idempotency_key = idempotency_key(&headers)?;
    let body = read(body, text(header::CONTENT_LENGTH), ready.max_body).await?;
    let content_type = text(header::CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let post = Post {
        content_type: &content_type,
        ce_headers: headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value.to_str().ok()?)))
            .collect(),
        idempotency_key,
        body,
    };
    let receipt = ready.pipeline.accept(&post).await?;
    let answer = match receipt.events.as_slice() {
        [event] if !receipt.is_list => Json(event).into_response(),
        events => {
            let deliveries: u64 = events.iter().map(|event| u64::from(event.deliveries)).sum();
            Json(json!({ "events": events, "deliveries": deliveries })).into_response()
        }
    };
    Ok((StatusCode::ACCEPTED, answer).into_response())
}

/// A key that can't be read must not be taken for none: the event would be delivered twice.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get("idempotency-key") else {
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

fn refuse_encoding(encoding: Option<&str>) -> Result<(), ApiError> {
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

/// The whole body, or 413 as soon as that is certain.
async fn read(body: Body, length: Option<&str>, most: usize) -> Result<Bytes, ApiError> {
    let too_large = || {
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            format!("the body is larger than {most} bytes"),
            "send fewer events at once, or raise `server.max_body`",
        )
    };
    if length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > most) {
        return Err(too_large());
    }
    axum::body::to_bytes(body, most).await.map_err(|error| {
        if is_limit(&error) {
            return too_large();
        }
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "broken_body",
            format!("the body could not be read to its end: {error}"),
            "send it again",
        )
    })
}

fn is_limit(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        source = error.source();
    }
    false
}
