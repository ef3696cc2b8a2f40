//! What an adapter returns, as the JSON of the golden files.

use serde_json::{Value, json};

use crate::model::{Body, Refusal, Request, Verdict};

/// What `render` came to, as `request.json` has it.
pub fn rendered_json(rendered: &Result<Request, Refusal>) -> Value {
    match rendered {
        Ok(request) => request_json(request),
        Err(refusal) => json!({ "refusal": refusal }),
    }
}

/// A request as `request.json` writes it: a JSON body as JSON, so that a difference can be read.
fn request_json(request: &Request) -> Value {
    let body = match &request.body {
        Body::Empty => json!("empty"),
        Body::Payload => json!("payload"),
        Body::Text(text) => text_json(text),
        Body::Bytes(bytes) => json!({ "bytes": bytes }),
    };
    json!({
        "method": request.method, "url": request.url, "headers": request.headers, "body": body, "auth": request.auth,
    })
}

pub(super) fn verdict_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Delivered { reference } => json!({ "delivered": { "reference": reference } }),
        Verdict::Retry { reason, after_ms } => {
            json!({ "retry": { "reason": reason, "after_ms": after_ms } })
        }
        Verdict::Rejected(reason) => json!({ "rejected": reason }),
        Verdict::Disable(reason) => json!({ "disable": reason }),
        Verdict::Next(hop) => {
            // Bytes to the contract; adapters write text into them as a rule.
            let state = match std::str::from_utf8(&hop.state) {
                Ok(text) => text_json(text),
                Err(_) => json!({ "bytes": hop.state }),
            };
            json!({ "next": { "request": request_json(&hop.request), "state": state } })
        }
    }
}

fn text_json(text: &str) -> Value {
    match serde_json::from_str::<Value>(text) {
        Ok(value) => json!({ "json": value }),
        Err(_) => json!({ "text": text }),
    }
}
