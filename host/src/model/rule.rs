//! The host's own rule for a response, for adapters that do not read answers themselves.

use super::{Millis, Response, Verdict, retry_after};

/// 2xx delivered; 408, 425, 429 and 5xx retry; 410 disables the channel; any other rejects.
pub fn judge_by_status(response: &Response, now: Millis) -> Verdict {
    let status = response.status;
    let reason = format!("the receiver answered {status}");
    match status {
        200..=299 => Verdict::Delivered { reference: None },
        408 | 425 | 429 | 500..=599 => Verdict::Retry {
            reason,
            after_ms: response.header("retry-after").and_then(|value| retry_after(value, now)),
        },
        410 => Verdict::Disable(reason),
        300..=399 => Verdict::Rejected(format!("{reason}: redirects are not followed; set the final URL")),
        _ => Verdict::Rejected(reason),
    }
}
