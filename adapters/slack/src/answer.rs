//! What Slack's answers mean. A status of 200 alone means nothing: success is the body `ok`.

use herald_channel::{Context, Response, Verdict, replies, text};
use serde::Deserialize;

/// The errors after which this address will never take a message again.
const GONE: &[&str] = &[
    "account_inactive",
    "channel_is_archived",
    "channel_not_found",
    "invalid_token",
    "no_active_hooks",
    "no_service",
    "no_service_id",
    "no_team",
    "team_disabled",
    "token_expired",
    "token_revoked",
];

/// What Slack sends where it answers with JSON.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Json {
    error: Option<String>,
    retry_after: Option<f64>,
}

pub fn interpret(context: &Context, response: &Response) -> Verdict {
    let body = response.body.trim();
    if response.status == 200 && body == "ok" {
        return Verdict::delivered();
    }
    let json: Json = serde_json::from_str(body).unwrap_or_default();
    let reason = reason(response.status, body);
    match response.status {
        408 | 425 | 429 | 500..=599 => {
            let from_body = || replies::milliseconds(json.retry_after?);
            Verdict::Retry((reason, replies::retry_after(response, context.now).or_else(from_body)))
        }
        410 => Verdict::Disable(reason),
        _ if GONE.contains(&json.error.as_deref().unwrap_or(body)) => Verdict::Disable(reason),
        _ => Verdict::Rejected(reason),
    }
}

fn reason(status: u16, body: &str) -> String {
    match text::single_line(body) {
        nothing if nothing.is_empty() => format!("Slack answered {status}"),
        said => format!("Slack answered {status}: {}", text::truncate(&said, 200)),
    }
}
