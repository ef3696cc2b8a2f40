//! What answers mean: the rule that the host applies by itself, for adapters that deviate from it in a few points.

use crate::{Context, Response, Verdict, date};

/// The host's own rule: 2xx delivered; 408, 425, 429 and 5xx retry, after `Retry-After` where given; 410 disables the
/// channel; any other rejects.
pub fn by_status(context: &Context, response: &Response) -> Verdict {
    let reason = format!("the receiver answered {}", response.status);
    match response.status {
        200..=299 => Verdict::delivered(),
        408 | 425 | 429 | 500..=599 => Verdict::Retry((reason, retry_after(response, context.now))),
        410 => Verdict::Disable(reason),
        _ => Verdict::Rejected(reason),
    }
}

/// How many milliseconds `Retry-After` asks to wait: it has seconds, or an HTTP date. `now` is [`Context::now`].
pub fn retry_after(response: &Response, now: u64) -> Option<u64> {
    let value = header(response, "retry-after")?.trim();
    seconds(value).or_else(|| Some(date::parse_http(value)?.saturating_sub(now)))
}

/// A decimal number of seconds in milliseconds, rounded up: waiting a little too long does no harm.
pub fn seconds(value: &str) -> Option<u64> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 12 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let mut ms = whole.parse::<u64>().ok()? * 1000;
    for (digit, unit) in fraction.bytes().zip([100, 10, 1]) {
        ms += u64::from(digit - b'0') * unit;
    }
    let beyond = fraction.bytes().skip(3).any(|digit| digit != b'0');
    Some(ms + u64::from(beyond))
}

/// A number of seconds, as services have it in JSON, in milliseconds, rounded up.
pub fn milliseconds(seconds: f64) -> Option<u64> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    (0.0..1e12).contains(&seconds).then_some((seconds * 1000.0).ceil() as u64)
}

/// The value of a header; the name in lower case.
pub fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn context() -> Context {
        Context {
            delivery_id: "dlv_test".into(),
            channel: "test".into(),
            settings: "{}".into(),
            attempt: 1,
            now: 0,
            reference: None,
        }
    }

    fn answer(status: u16, retry_after: Option<&str>) -> Response {
        let headers = retry_after.map(|value| ("retry-after".to_owned(), value.to_owned())).into_iter().collect();
        Response { status, headers, body: String::new() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = 784_111_777_000;
        for (value, expected) in [
            ("0", Some(0)),
            ("30", Some(30_000)),
            (" 0.376 ", Some(376)),
            ("1.0001", Some(1001)),
            ("1.", Some(1000)),
            (".5", None),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("NaN", None),
            ("inf", None),
            ("1e300", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(&answer(429, Some(value)), now), expected, "{value}");
        }
        assert_eq!(retry_after(&answer(429, None), now), None);
        assert_eq!((milliseconds(0.376), milliseconds(-1.0), milliseconds(f64::NAN)), (Some(376), None, None));
    }

    #[test]
    fn the_default_rule_is_the_hosts() {
        let context = context();
        let verdict = |status| by_status(&context, &answer(status, Some("7")));
        assert_eq!(verdict(204), Verdict::delivered());
        for status in [408, 425, 429, 500, 503, 599] {
            assert_eq!(verdict(status), Verdict::Retry((format!("the receiver answered {status}"), Some(7_000))));
        }
        assert_eq!(verdict(410), Verdict::Disable("the receiver answered 410".into()));
        for status in [301, 400, 401, 403, 404, 422] {
            assert_eq!(verdict(status), Verdict::Rejected(format!("the receiver answered {status}")));
        }
    }
}
