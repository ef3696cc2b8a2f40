//! Access tokens by OAuth 2, the client credentials grant (RFC 6749, 4.4): asked for, kept until they expire, shared.
//!
//! A token request is a request like any other: checked, filled and sent as those are. Must not write a token down
//! anywhere: what is kept of its answer is redacted, and who sends with it redacts it from then on.

use std::{
    collections::HashMap,
    slice::from_ref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderValue, StatusCode, header::AUTHORIZATION};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use url::form_urlencoded;

use super::{
    check::Refused,
    client::{Client, Sent},
    filling::Filling,
    prepare::{Destination, Prepared, prepare, put},
    redact::{self, MASK, Redactor},
    secrets::{Sealed, Secrets},
    sign::secret_value,
};
use crate::model::{Auth, Body, ClientAuth, Millis, Oauth2, Request, SentRequest};

/// Of a token whose server doesn't say how long it is good, in milliseconds. RFC 6749 leaves that to the server's manual;
/// a token that has expired before costs a request, which is answered 401.
const UNTOLD: Millis = 5 * 60 * 1000;
/// Of one request for a token; services know a dozen or two.
const MOST_SCOPES: usize = 100;
/// A token is used no more when so little of its time is left, in milliseconds, or a tenth of it where that is shorter:
/// the request has to arrive, and clocks differ.
const MARGIN: Millis = 30 * 1000;

/// An access token in use.
pub struct AccessToken {
    value: SecretString,
    redactor: Arc<Redactor>,
    /// Of the token before it, which a receiver may echo still.
    before: Option<Arc<Redactor>>,
    /// From then on it isn't used.
    until: Millis,
}

impl AccessToken {
    /// The request with the token in it (RFC 6750, 2.1).
    pub fn put_into(&self, request: &Request) -> Request {
        Request { auth: Some(Auth::Bearer(self.value.expose_secret().to_owned())), ..request.clone() }
    }

    /// The channel's secrets, this one and the one before it.
    #[must_use]
    pub fn among(&self, secrets: &Secrets) -> Secrets {
        self.before.iter().fold(secrets.with(&self.redactor), |secrets, before| secrets.with(before))
    }
}

/// A request for a token, and what tells it from others.
pub struct TokenRequest {
    prepared: Prepared,
    /// Over everything that the token depends on, the secret included.
    key: [u8; 32],
}

impl TokenRequest {
    /// The token endpoint's host.
    pub fn host(&self) -> String {
        self.prepared.url.host_str().unwrap_or_default().to_owned()
    }

    /// As it is kept and shown.
    pub fn sent(&self, secrets: &Secrets) -> SentRequest {
        self.prepared.sent(secrets)
    }
}

/// Makes the request, or says why it is not sent: the token endpoint has to be where the channel may send.
pub fn token_request(oauth: &Oauth2, sealed: &Sealed, to: &Destination<'_>) -> Result<TokenRequest, Refused> {
    if oauth.scopes.len() > MOST_SCOPES {
        let many = oauth.scopes.len();
        return Err(Refused::adapter(format!("it asks for a token with {many} scopes: more than {MOST_SCOPES}")));
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    if !oauth.scopes.is_empty() {
        form.append_pair("scope", &oauth.scopes.join(" "));
    }
    if let Some(audience) = &oauth.audience {
        form.append_pair("audience", audience);
    }
    if oauth.client_auth == ClientAuth::Body {
        // Handles are letters and digits: this leaves them alone, and they are filled when the host has passed.
        form.append_pair("client_id", &oauth.client_id);
        form.append_pair("client_secret", &oauth.client_secret);
    }
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request = Request {
        method: "POST".to_owned(),
        url: oauth.token_url.clone(),
        headers: vec![
            header("content-type", "application/x-www-form-urlencoded"),
            header("accept", "application/json"),
        ],
        body: Body::Text(form.finish()),
        auth: None,
    };
    let mut prepared = prepare(&request, sealed, to).map_err(|refused| Refused {
        message: format!("the token endpoint of OAuth 2: {}", refused.message),
        ..refused
    })?;
    let filling = Filling::of(sealed);
    if oauth.client_auth == ClientAuth::Basic {
        // Encoded as in a form before they are put together (RFC 6749, 2.3.1).
        let encoded = |text: &str| {
            let filled = filling.plain(text)?;
            Ok::<String, Refused>(form_urlencoded::byte_serialize(filled.as_bytes()).collect())
        };
        let (id, secret) = (encoded(&oauth.client_id)?, encoded(&oauth.client_secret)?);
        let value = secret_value(&format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))?;
        put(&mut prepared.headers, AUTHORIZATION, value)?;
    }
    let key = key(oauth, prepared.url.as_str(), &filling)?;
    Ok(TokenRequest { prepared, key })
}

/// Over everything that the token depends on. Each list begins with how many there are, each text with its length: no two
/// requests that differ are written alike.
fn key(oauth: &Oauth2, url: &str, filling: &Filling<'_>) -> Result<[u8; 32], Refused> {
    let (id, secret) = (from_ref(&oauth.client_id), from_ref(&oauth.client_secret));
    let lists = [id, secret, oauth.scopes.as_slice(), oauth.audience.as_slice()];
    let mut hash = Sha256::new();
    hash.update([u8::from(oauth.client_auth == ClientAuth::Basic)]);
    hash.update(url.len().to_le_bytes());
    hash.update(url);
    for list in lists {
        hash.update(list.len().to_le_bytes());
        for part in list {
            let part = filling.text(part, str::to_owned)?;
            hash.update(part.len().to_le_bytes());
            hash.update(part.as_bytes());
        }
    }
    Ok(hash.finalize().into())
}

/// Why there is no token.
#[derive(Debug, Clone)]
pub enum NoToken {
    /// The answer is not one that brings a token: its status says what that means, like any other's.
    Answered,
    /// There was no answer: the wire, or the guard.
    Unanswered,
    /// 2xx, and nothing in it that can be sent as a token.
    Unusable(String),
    /// Somebody else's request for it took too long.
    Busy,
}

/// A token or why there is none, and, for who has asked the server, what came of that.
pub struct Asked {
    /// The token.
    pub token: Result<Arc<AccessToken>, NoToken>,
    /// What came of the request; none where the token was there, or somebody else was asking.
    pub sent: Option<Sent>,
}

impl Asked {
    fn known(token: Result<Arc<AccessToken>, NoToken>) -> Self {
        Self { token, sent: None }
    }
}

/// The tokens of a host, in memory alone. A token is shared by all channels that would ask for it in the same words.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<[u8; 32], Arc<Slot>>>);

struct Slot {
    /// One asks at a time.
    turn: Semaphore,
    last: Mutex<Option<Arc<AccessToken>>>,
}

impl Slot {
    /// The token, when it is good and another than the one that was refused.
    fn usable(&self, now: Millis, refused: Option<&Arc<AccessToken>>) -> Option<Arc<AccessToken>> {
        let is_refused = |token: &Arc<AccessToken>| refused.is_some_and(|refused| Arc::ptr_eq(refused, token));
        lock(&self.last).clone().filter(|token| token.until > now && !is_refused(token))
    }
}

impl Tokens {
    /// The token that is known, or a new one within `deadline`. `refused` is one that a receiver did not take any more.
    pub async fn get(
        &self,
        client: &Client,
        request: TokenRequest,
        refused: Option<&Arc<AccessToken>>,
        (now, deadline): (Millis, Duration),
        secrets: &Secrets,
    ) -> Asked {
        let slot = self.slot(request.key, now);
        if let Some(token) = slot.usable(now, refused) {
            return Asked::known(Ok(token));
        }
        let watch = crate::clock::Stopwatch::start();
        let Ok(Ok(_turn)) = tokio::time::timeout(deadline, slot.turn.acquire()).await else {
            return Asked::known(Err(NoToken::Busy));
        };
        if let Some(token) = slot.usable(now, refused) {
            return Asked::known(Ok(token));
        }
        let left = deadline.saturating_sub(watch.elapsed());
        let raw = client.raw(request.prepared, left, redact::needed(secrets)).await;
        let status = raw.status().filter(StatusCode::is_success);
        let before = lock(&slot.last).as_ref().map(|token| token.redactor.clone());
        let token = match (status, raw.whole_body()) {
            _ if raw.is_broken() => Err(NoToken::Unanswered),
            (None, _) => Err(NoToken::Answered),
            (Some(_), None) => Err(NoToken::Unusable("its answer is too long for a token".to_owned())),
            (Some(status), Some(body)) => match read(status, body, now) {
                Ok(token) => Ok(Arc::new(AccessToken { before, ..token })),
                Err(words) => Err(NoToken::Unusable(words)),
            },
        };
        let known = token.as_ref().map_or_else(|_| secrets.clone(), |token| token.among(secrets));
        let mut sent = raw.shown(&known);
        // A token is in it, however much of it came, or several, and in what words nobody knows.
        if let Some(response) = sent.response.as_mut().filter(|_| status.is_some()) {
            MASK.clone_into(&mut response.body);
        }
        if let Ok(token) = &token {
            *lock(&slot.last) = Some(token.clone());
        }
        Asked { token, sent: Some(sent) }
    }

    /// Where the token of that request is; those that nobody can use any more go.
    fn slot(&self, key: [u8; 32], now: Millis) -> Arc<Slot> {
        let mut slots = lock(&self.0);
        if !slots.contains_key(&key) {
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.usable(now, None).is_some());
        }
        slots.entry(key).or_insert_with(|| Arc::new(Slot { turn: Semaphore::new(1), last: Mutex::default() })).clone()
    }
}

/// Held for moments only, never over an await.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// RFC 6749, 5.1.
#[derive(Deserialize)]
struct Grant {
    access_token: String,
    token_type: Option<String>,
    /// Seconds; some servers write a text.
    expires_in: Option<Value>,
}

/// The token in an answer; the error says what is wrong with it, without a word of it.
fn read(status: StatusCode, body: &[u8], now: Millis) -> Result<AccessToken, String> {
    let grant: Grant = serde_json::from_slice(body)
        .map_err(|_| format!("it answered {status}, and not with JSON that has an `access_token`"))?;
    if grant.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err("the token that it gave is not of the type `Bearer`".to_owned());
    }
    let value = grant.access_token;
    if value.trim().is_empty() || HeaderValue::from_str(&value).is_err() {
        return Err("the token that it gave can't stand in a header".to_owned());
    }
    let redactor = Redactor::new(std::iter::once(value.as_str())).map_err(|_| "the token is too long".to_owned())?;
    let seconds = match &grant.expires_in {
        Some(Value::String(text)) => text.parse().ok(),
        Some(number) => number.as_u64(),
        None => None,
    };
    let lifetime = seconds.map_or(UNTOLD, |seconds: u64| seconds.saturating_mul(1000));
    let until = now.saturating_add(lifetime - MARGIN.min(lifetime / 10));
    Ok(AccessToken { value: SecretString::from(value), redactor: Arc::new(redactor), before: None, until })
}

#[cfg(test)]
mod tests;
