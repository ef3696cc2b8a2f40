//! Who may ask for what: the check that every request passes before anything of its body is read.
//!
//! What each route needs is said in [`super::routes`], and nowhere else but for `POST /v1/events`
//! ([`super::events::NEEDS`]). It goes with the handler, not with a path that is looked at twice: no spelling of a path
//! leads to a handler past its check.

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, StatusCode, Uri, header, request::Parts},
    middleware::Next,
    response::Response,
};

use super::{Face, browser, error::ApiError};
use crate::model::{Scope, Source, Token, scopes_of};

/// Who is let in. A changed config replaces it whole.
#[derive(Debug, Default)]
pub struct Access {
    /// None: nobody is asked for one.
    pub tokens: Vec<Token>,
    /// Names that this host is asked for by, beside localhost; names of pages that may ask.
    pub allowed_hosts: Vec<String>,
    /// It listens on loopback, and nowhere else.
    pub only_local: bool,
    /// Who posts to a path of its own.
    pub sources: Vec<Source>,
    /// Events are taken that no signature proves.
    pub unsigned_events: bool,
}

/// What whoever asks must have, where tokens are configured at all.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    /// Nothing: balancers and supervisors have no token.
    Nothing,
    /// What its source is asked for, by [`super::sources`]; and to be no page of another site.
    Source,
    /// A token, whatever it allows: there is nothing there, and strangers need not know.
    Token,
    /// A token with this scope.
    Scope(Scope),
}

/// The way to every handler of the router.
pub(super) async fn check(
    State((face, needs)): State<(Face, Needs)>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    face.admit(request.uri(), request.headers(), needs)?;
    Ok(next.run(request).await)
}

impl Face {
    /// Lets the request pass, or says why not: 403 to another site's page, 401 without a token that is known, 403 when it
    /// does not allow this.
    pub(super) fn admit(&self, uri: &Uri, headers: &HeaderMap, needs: Needs) -> Result<(), ApiError> {
        if let Needs::Nothing = needs {
            return Ok(());
        }
        let access = self.0.access.load();
        browser::check(&access, uri, headers)?;
        if let Needs::Source = needs {
            return Ok(());
        }
        admit(&access.tokens, headers, needs)?;
        if matches!(needs, Needs::Scope(Scope::EventsWrite)) && !access.unsigned_events {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                "unsigned_event",
                "this host takes signed events only",
                "post to /v1/sources/NAME/events as a [[source]] that signs, or set `server.unsigned_events`",
            ));
        }
        Ok(())
    }
}

fn admit(tokens: &[Token], headers: &HeaderMap, needs: Needs) -> Result<(), ApiError> {
    if tokens.is_empty() {
        return Ok(());
    }
    let scopes = scopes_of(bearer(headers)?, tokens).ok_or_else(|| {
        let hint =
            "the tokens that this host knows stand in its config as [[server.token]]; `herald token new` makes one";
        ApiError::new(StatusCode::UNAUTHORIZED, "unknown_token", "this host does not know this token", hint)
            .challenge("Bearer error=\"invalid_token\"")
    })?;
    match needs {
        Needs::Scope(scope) if !scopes.has(scope) => Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "missing_scope",
            format!("this needs a token with the scope `{scope}`, which this one has not"),
            format!("use another token, or add \"{scope}\" to the `scopes` of its [[server.token]]"),
        )
        // RFC 6750, 3.1.
        .challenge(match scope {
            Scope::EventsWrite => "Bearer error=\"insufficient_scope\", scope=\"events:write\"",
            Scope::Read => "Bearer error=\"insufficient_scope\", scope=\"read\"",
            Scope::Manage => "Bearer error=\"insufficient_scope\", scope=\"manage\"",
        })),
        _ => Ok(()),
    }
}

/// The token of a request (RFC 6750, 2.1). The scheme may be written in any case (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Result<&[u8], ApiError> {
    let refuse = |message: &str| {
        let hint = "send it as `Authorization: Bearer hrld_…`, once";
        ApiError::new(StatusCode::UNAUTHORIZED, "missing_token", message, hint).challenge("Bearer")
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| refuse("this host asks for a token"))?;
    if values.next().is_some() {
        // Whoever stands between may have looked at the other one.
        return Err(refuse("there is more than one Authorization header"));
    }
    let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len()).unwrap_or_default();
    let token = token.trim_ascii();
    if !scheme.eq_ignore_ascii_case(b"Bearer ") || token.is_empty() {
        return Err(refuse("the Authorization header holds no bearer token"));
    }
    Ok(token)
}

/// Whether whoever asks may read what others need not know.
pub(super) struct MayRead(pub bool);

impl FromRequestParts<Face> for MayRead {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, face: &Face) -> Result<Self, Self::Rejection> {
        Ok(Self(face.admit(&parts.uri, &parts.headers, Needs::Scope(Scope::Read)).is_ok()))
    }
}
