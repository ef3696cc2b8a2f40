//! The host's own rule for a response, for adapters that do not read answers themselves.

use super::{Millis, Response, Verdict, retry_after};

/// 2xx delivered; 408, 425, 429 and 5xx retry; 410 disables the channel; any other rejects.
pub fn judge_by_status(response: &Response, now: Millis) -> Verdict {
    let status = response.status;
    match status {
        200..=299 => Verdict::Delivered { reference: None },
        408 | 425 | 429 | 500..=599 => Verdict::Retry {
            reason: format!("HTTP {status}"),
            after_ms: response
                .header("retry-after")
                .and_then(|value| retry_after(value, now)),
        },
        410 => Verdict::Disable("HTTP 410: the receiver says that this address is gone".to_owned()),
        300..=399 => Verdict::Rejected(format!(
            "HTTP {status}: redirects are not followed; set the final URL"
        )),
        _ => Verdict::Rejected(format!("HTTP {status}")),
    }
}
