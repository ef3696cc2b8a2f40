//! A secret's way into a request: wherever its handle stands, what goes out reads as that secret and nothing else changes.

use std::collections::BTreeSet;

use arbitrary::Arbitrary;
use bytes::Bytes;
use herald::{
    model::{Body, Request, SentRequest},
    outbound::{self, Destination, Options, Refused, Secrets},
};
use serde_json::{Value, json};
use url::form_urlencoded;

/// A secret, what surrounds it and where it is put.
#[derive(Arbitrary, Debug)]
pub struct Input<'a> {
    secret: &'a str,
    before: &'a str,
    after: &'a str,
    place: Place,
}

#[derive(Arbitrary, Debug)]
enum Place {
    Json,
    Form,
    Raw,
    Header,
    Query,
    Segment,
}

/// Panics when the property does not hold; answers whether the input was one that can be judged.
pub fn check(input: Input<'_>) -> bool {
    let Input { secret, before, after, place } = input;
    if secret.is_empty() || [before, after].iter().any(|text| text.contains("heraldsecret")) {
        return false;
    }
    let secrets = secrets_of(&json!({ "key": secret, "url": "https://receiver.example/" }), &["/key"]);
    let sealed = secrets.seal(|| 7);
    let settings: Value = serde_json::from_str(&sealed.settings_json).expect("settings are JSON");
    let handle = settings["key"].as_str().expect("a handle").to_owned();
    assert!(handle.starts_with("heraldsecret") && handle.len() == 38);
    let around = format!("{before}{handle}{after}");
    let mut request = Request {
        method: "POST".to_owned(),
        url: "https://receiver.example/".to_owned(),
        headers: Vec::new(),
        body: Body::Empty,
        auth: None,
    };
    let typed = |name: &str| ("content-type".to_owned(), name.to_owned());
    match place {
        Place::Json => {
            request.headers.push(typed("application/json"));
            request.body = Body::Text(json!({ "text": around, "last": true }).to_string());
        }
        Place::Form => {
            request.headers.push(typed("application/x-www-form-urlencoded"));
            request.body = Body::Text(
                form_urlencoded::Serializer::new(String::new())
                    .append_pair("text", &around)
                    .append_pair("last", "")
                    .finish(),
            );
        }
        Place::Raw => request.body = Body::Text(around),
        Place::Header => request.headers.push(("x-key".to_owned(), handle)),
        Place::Query => request.url = format!("{}?text={handle}&last", request.url),
        Place::Segment => request.url = format!("{}{handle}/last", request.url),
    }
    let sent = match send(&request, &secrets, &sealed) {
        Ok(sent) => sent,
        // A header can't hold everything.
        Err(refused) => {
            assert!(matches!(place, Place::Header), "{refused}");
            assert!(secret.chars().any(char::is_control), "{refused}");
            return true;
        }
    };
    let expected = format!("{before}{secret}{after}");
    let body = sent.body.unwrap_or_default();
    if body.len() >= 64 * 1024 {
        return false;
    }
    match place {
        Place::Json => {
            let body: Value = serde_json::from_str(&body).expect("the body is JSON still");
            assert_eq!(body, json!({ "text": expected, "last": true }));
        }
        Place::Form => {
            let pairs: Vec<_> = form_urlencoded::parse(body.as_bytes()).collect();
            assert_eq!(pairs, [("text".into(), expected.into()), ("last".into(), "".into())]);
        }
        Place::Raw => assert_eq!(body, expected),
        Place::Header => {
            let (_, value) = sent.headers.iter().find(|(name, _)| name == "x-key").expect("the header");
            assert!(!value.contains(['\r', '\n']), "{value:?}");
        }
        Place::Query => {
            let url = url::Url::parse(&sent.url).expect("a URL");
            let pairs: Vec<_> = url.query_pairs().collect();
            assert_eq!(pairs, [("text".into(), secret.into()), ("last".into(), "".into())]);
            assert_eq!(url.path(), "/");
        }
        Place::Segment => {
            let url = url::Url::parse(&sent.url).expect("a URL");
            assert_eq!(url.host_str(), Some("receiver.example"));
            assert!(url.query().is_none() && url.fragment().is_none(), "{url}");
            // Dots alone are no name: they would lead elsewhere.
            if !matches!(secret, "." | "..") {
                assert_eq!(url.path_segments().map(Iterator::count), Some(2), "{url}");
            }
        }
    }
    true
}

fn secrets_of(settings: &Value, pointers: &[&str]) -> Secrets {
    let pointers: BTreeSet<String> = pointers.iter().map(|&pointer| pointer.to_owned()).collect();
    Secrets::new(settings, &pointers).expect("settings that can be set apart")
}

/// The request as it would go out: shown by somebody who knows no secrets, so that none is taken out.
fn send(request: &Request, secrets: &Secrets, sealed: &outbound::Sealed) -> Result<SentRequest, Refused> {
    let payload = Bytes::new();
    let to = Destination {
        options: &Options::default(),
        hosts: &[],
        listed: None,
        delivery_id: "dlv_01kb0c6zj3v5t8w2n4x7q9r1se",
        payload: &payload,
        now: 1_793_600_000_000,
    };
    let prepared = outbound::prepare(request, sealed, &to)?;
    // And what is kept does not say the secret, unless it is too short to be told from other text.
    let (kept, Body::Empty) = (prepared.sent(secrets), &request.body) else {
        return Ok(prepared.sent(&secrets_of(&json!({}), &[])));
    };
    let secret = sealed.handles().len();
    assert!(secret == 1 && !kept.url.contains("heraldsecret"), "{}", kept.url);
    Ok(prepared.sent(&secrets_of(&json!({}), &[])))
}
