//! What is found and hidden in texts that come back.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::borrow::Cow;

use serde_json::json;

use super::*;

const SECRET: &str = "p4ss/w\"rd+é&ü ~:x";
const SLACK: &str = "https://hooks.slack.com/services/T000/B000/aBcDeFgHiJkLmNoP";

fn secrets(values: &[&str]) -> Secrets {
    let pointers = (0..values.len()).map(|index| format!("/{index}")).collect();
    Secrets::new(&json!(values), &pointers).unwrap()
}

#[test]
fn a_secret_is_found_in_every_form_that_it_may_be_echoed_in() {
    let secrets = secrets(&[SECRET]);
    for form in [
        SECRET,
        "p4ss%2Fw%22rd%2B%C3%A9%26%C3%BC%20~%3Ax",
        "p4ss%2fw%22rd%2b%c3%a9%26%c3%bc%20~%3ax",
        "p4ss/w%22rd%2B%C3%A9%26%C3%BC%20~%3Ax",
        "p4ss%2Fw%22rd+%C3%A9&%C3%BC%20~:x",
        "p4ss%2Fw%22rd%2B%C3%A9%26%C3%BC+%7E%3Ax",
        r#"p4ss/w\"rd+é&ü ~:x"#,
        r#"p4ss\/w\"rd+é&ü ~:x"#,
        r#"p4ss/w\"rd+\u00e9&\u00fc ~:x"#,
        r#"p4ss/w\"rd+\u00e9\u0026\u00fc ~:x"#,
        "p4ss/w&quot;rd+é&amp;ü ~:x",
    ] {
        assert_eq!(secrets.redact(&format!("<{form}> {form}")), "<[redacted]> [redacted]", "{form}");
    }
    for before in ["", "u", "us", "user:", "\n"] {
        for engine in [&STANDARD, &URL_SAFE] {
            let text = engine.encode(format!("{before}{SECRET}, and more"));
            let shown = secrets.redact(&text).into_owned();
            assert!(shown.contains(MASK), "{text}");
            assert!(text.len() - shown.len() > 12, "{text} {shown}");
        }
    }
}

#[test]
fn of_a_secret_url_the_host_stays() {
    let secrets = secrets(&[SLACK]);
    assert_eq!(secrets.redact(SLACK), "https://hooks.slack.com/[redacted]");
    assert_eq!(
        secrets.redact(&format!("POST {SLACK}?wait=true \"{}\"", SLACK.replace('/', "\\/"))),
        "POST https://hooks.slack.com/[redacted]?wait=true \"https://hooks.slack.com/[redacted]\""
    );
    assert_eq!(secrets.redact("no /services/T000/B000/aBcDeFgHiJkLmNoP here"), "no /[redacted] here");
    assert_eq!(secrets.redact("token aBcDeFgHiJkLmNoP?"), "token [redacted]?");
    assert_eq!(secrets.redact("https%3A%2F%2Fhooks.slack.com%2Fservices%2FT000%2FB000%2FaBcDeFgHiJkLmNoP"), MASK);
    assert_eq!(secrets.redact("https://hooks.slack.com/services/other"), "https://hooks.slack.com/services/other");
}

#[test]
fn the_keys_in_a_secret_urls_query_are_secrets_too() {
    let url = "HTTPS://chat.googleapis.com:443/v1/spaces/AAA/messages?key=AIzaSyD-key&token=t0k%3Den-long";
    let secrets = secrets(&[url]);
    assert_eq!(secrets.redact(url), "https://chat.googleapis.com/[redacted]");
    let sent = Url::parse(url).unwrap();
    assert_eq!(secrets.redact(sent.as_str()), "https://chat.googleapis.com/[redacted]");
    assert_eq!(
        secrets.redact("bad key AIzaSyD-key, t0k=en-long, t0k%3den-long"),
        "bad key [redacted], [redacted], [redacted]"
    );
    assert_eq!(secrets.redact("no messages today"), "no messages today");
}

#[test]
fn a_url_without_a_path_hides_nothing() {
    assert_eq!(secrets(&["https://example.com"]).redact("https://example.com/x"), "https://example.com/x");
}

#[test]
fn a_password_in_a_secret_url_is_redacted() {
    let secrets = secrets(&["https://user1:p%40ssw0rd@a.com/", "amqp://me:hunter22@b.com"]);
    assert_eq!(secrets.redact("https://user1:p%40ssw0rd@a.com/ p@ssw0rd"), "https://a.com/[redacted] [redacted]");
    assert_eq!(secrets.redact("<amqp://me:hunter22@b.com>"), "<[redacted]>");
}

#[test]
fn of_a_signing_secret_the_key_itself_is_one() {
    for (secret, key) in [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        (" whsec_c2lnLWRpc3RpbmN0/+==\n", "c2lnLWRpc3RpbmN0/+"),
        ("whsk_c2VlZC1kaXN0aW5jdC1hbmQtbG9uZw==", "c2VlZC1kaXN0aW5jdC1hbmQtbG9uZw"),
    ] {
        let secrets = secrets(&[secret]);
        assert_eq!(secrets.redact(&format!("<{key}>")), "<[redacted]>");
        assert_eq!(secrets.redact(&format!("\"{secret}\"")), "\"[redacted]\"");
        assert_eq!(secrets.redact(&format!("{}!", slashed(key))), "[redacted]!");
        let encoded = STANDARD.encode(format!("key={key}"));
        assert!(secrets.redact(&encoded).contains(MASK), "{encoded}");
    }
}

#[test]
fn a_short_secret_is_redacted_only_where_it_stands_alone() {
    let secrets = secrets(&["7ab", "b"]);
    assert_eq!(secrets.redact("7ab 7abc é7ab=7ab b,ab"), "[redacted] 7abc é7ab=[redacted] [redacted],ab");
}

#[test]
fn a_text_without_secrets_is_not_copied() {
    assert!(matches!(secrets(&[SECRET]).redact("harmless"), Cow::Borrowed(_)));
    assert!(matches!(secrets(&[]).redact("harmless"), Cow::Borrowed(_)));
}

#[test]
fn a_secret_that_is_cut_in_two_at_the_end_is_not_half_shown() {
    let secrets = secrets(&["abcdefghijklmnop"]);
    let body = format!("{}abcdefghijklmnop", "x".repeat(EXCERPT - 8));
    for length in EXCERPT - 7..body.len() {
        let text = excerpt(&body.as_bytes()[..length], true, &secrets);
        assert!(!text.contains("abcd"), "{length}");
    }
    assert_eq!(excerpt(body.as_bytes(), false, &secrets).len(), EXCERPT);
    assert_eq!(excerpt(b"half", true, &secrets), "half");
    assert_eq!(excerpt(b"half abcdef", true, &secrets), "half ");
    let accents = self::secrets(&["pass-\u{e9}\u{e9}\u{e9}"]);
    assert_eq!(excerpt(b"half pass-\xc3", true, &accents), "half ");
    let many = "abcdefghijklmnop".repeat(10_000);
    assert!(!excerpt(many.as_bytes(), false, &secrets).contains("abcd"));
    assert_eq!(excerpt(b"a\xffb", false, &secrets), "a\u{fffd}b");
}

#[test]
fn credentials_in_headers_are_redacted_whoever_set_them() {
    let mut map = HeaderMap::new();
    for (name, value) in [("authorization", "Basic x"), ("x-api-key", "y"), ("x-other", "has hunter22 in it")] {
        map.insert(name, value.parse().unwrap());
    }
    let shown = headers(&map, &secrets(&["hunter22"]));
    let shown: Vec<&str> = shown.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(shown, [MASK, MASK, "has [redacted] in it"]);
}
