//! How the API says no: `{code, message, hint}`, and in a batch the index.

use axum::{
    Json,
    http::{HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

use crate::{
    pipeline::{
        NotAccepted,
        incoming::{BadInput, BadKind},
    },
    store::StoreError,
};

/// An error as it is answered.
#[derive(Debug, Serialize)]
pub(super) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// The `WWW-Authenticate` header.
    #[serde(skip)]
    challenge: Option<&'static str>,
    code: &'static str,
    message: String,
    hint: String,
    /// Which event of several, 0 for the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, challenge: None, code, message: message.into(), hint: hint.into(), index: None }
    }

    /// The same, saying how to prove who asks.
    pub fn challenge(self, challenge: &'static str) -> Self {
        Self { challenge: Some(challenge), ..self }
    }

    pub fn bad_query(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", message, hint)
    }

    pub fn bad_path(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_path", message, "ids and names in a path are percent-encoded UTF-8")
    }

    /// An answer that can't be written as JSON: a mistake of ours.
    pub fn unsayable(error: &serde_json::Error) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            format!("it was done, and the answer can't be written: {error}"),
            "please report this",
        )
    }

    pub fn no_such(what: &str, name: &str, hint: &str) -> Self {
        let message = format!("there is no {what} `{name}`");
        Self::new(StatusCode::NOT_FOUND, "not_found", message, hint)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut answer = (self.status, Json(&self)).into_response();
        // The rest of the request is not waited for, so nothing can come after it; and who may not ask keeps no connection.
        if matches!(self.status, StatusCode::REQUEST_TIMEOUT | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(challenge) = self.challenge {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        answer
    }
}

impl From<BadInput> for ApiError {
    fn from(bad: BadInput) -> Self {
        Self {
            status: match bad.kind {
                BadKind::Malformed => StatusCode::BAD_REQUEST,
                BadKind::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                BadKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            },
            challenge: None,
            code: bad.code,
            message: bad.message,
            hint: bad.hint,
            index: bad.index,
        }
    }
}

impl From<NotAccepted> for ApiError {
    fn from(not: NotAccepted) -> Self {
        match not {
            NotAccepted::Bad(bad) => bad.into(),
            NotAccepted::Store(error) => Self {
                hint: "send it again with the same `id` or Idempotency-Key when /readyz says ready".to_owned(),
                ..error.into()
            },
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        // Trouble that lasts has been logged once: it would fill the disk that may be full.
        if !matches!(error, StoreError::Trouble(_)) {
            tracing::error!(%error, "the store could not do what was asked");
        }
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            error.to_string(),
            "try again when /readyz says ready",
        )
    }
}

pub(super) async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "not_found",
        format!("there is nothing at {}", uri.path()),
        "events are posted to /v1/events; the README lists the rest",
    )
}

pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{method} does not work on {}", uri.path()),
        "events are POSTed; all that is listed is a GET",
    )
}
