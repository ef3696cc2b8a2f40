//! What an adapter returns, as the JSON of the golden files.

use herald_channel::{Auth, Body, ClientAuth, Hash, Refusal, Request, Verdict};
use serde_json::{Value, json};

pub fn request(rendered: &Result<Request, Refusal>) -> Value {
    let request = match rendered {
        Ok(request) => request,
        Err(Refusal::Setting(setting)) => return json!({"refusal": {"setting": setting}}),
        Err(Refusal::Event(reason)) => return json!({"refusal": {"event": reason}}),
    };
    json!({
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": body(&request.body),
        "auth": request.auth.as_ref().map(auth),
    })
}

fn body(body: &Body) -> Value {
    match body {
        Body::Empty => json!("empty"),
        Body::Payload => json!("payload"),
        Body::Text(text) => self::text(text),
        Body::Bytes(bytes) => json!({"bytes": bytes}),
    }
}

fn text(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(parsed) => json!({"json": parsed}),
        Err(_) => json!({"text": text}),
    }
}

/// Bytes to the contract; adapters write text into them as a rule.
fn state(state: &[u8]) -> Value {
    std::str::from_utf8(state).map_or_else(|_| json!({"bytes": state}), text)
}

fn auth(auth: &Auth) -> Value {
    match auth {
        Auth::Basic(pair) => json!({"basic": pair}),
        Auth::Bearer(token) => json!({"bearer": token}),
        Auth::StandardWebhooks(secrets) => json!({"standard-webhooks": secrets}),
        Auth::Hmac(hmac) => {
            let hash = match hmac.hash {
                Hash::Sha1 => "sha1",
                Hash::Sha256 => "sha256",
                Hash::Sha512 => "sha512",
            };
            json!({"hmac": {"secret": hmac.secret, "hash": hash, "header": hmac.header, "prefix": hmac.prefix}})
        }
        Auth::Oauth2(oauth) => {
            let client_auth = match oauth.client_auth {
                ClientAuth::Basic => "basic",
                ClientAuth::Body => "body",
            };
            json!({"oauth2": {
                "token_url": oauth.token_url, "client_id": oauth.client_id, "client_secret": oauth.client_secret,
                "scopes": oauth.scopes, "client_auth": client_auth, "audience": oauth.audience,
            }})
        }
        Auth::AwsSigv4(aws) => json!({"aws-sigv4": {
            "access_key_id": aws.access_key_id, "secret_access_key": aws.secret_access_key,
            "session_token": aws.session_token, "region": aws.region, "service": aws.service,
        }}),
    }
}

pub fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Delivered(receipt) => json!({"delivered": {"reference": receipt.reference}}),
        Verdict::Retry((reason, after)) => json!({"retry": {"reason": reason, "after_ms": after}}),
        Verdict::Rejected(reason) => json!({"rejected": reason}),
        Verdict::Disable(reason) => json!({"disable": reason}),
        Verdict::Next(hop) => {
            json!({"next": {"request": request(&Ok(hop.request.clone())), "state": state(&hop.state)}})
        }
    }
}
