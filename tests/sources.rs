//! Sources: who posts to a path of its own, what it has to prove, and whoever pretends to be one.

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use herald::clock::{self, Clock};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Setup, TestHost, within};

const KEY: &[u8; 32] = b"the-key-of-billing-s3cret-T0ken.";
const NEW_KEY: &[u8; 32] = b"the-key-that-billing-is-to-have.";
const HMAC_KEY: &str = "the-key-of-github-s3cret-T0ken";
const EVENT: &str = "{\"type\":\"paid\"}";
const NOW: u64 = 1_700_000_000;
/// A channel that delivers nothing for now: what comes of an event is counted.
const CHANNEL: &str = "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://127.0.0.1:9/\"\n[[route]]\nchannel = \"c\"\n";
const BILLING: &str =
    "[[source]]\nname = \"billing\"\nverify = \"standard-webhooks\"\nsecrets = [{ file = \"billing\" }]\n";
const OTHERS: &str = "[[source]]\nname = \"github\"\nverify = { hmac = \"sha256\", header = \"x-hub-signature-256\", prefix = \"sha256=\" }\nsecrets = [{ file = \"github\" }]\n\
    [[source]]\nname = \"slack\"\nsecrets = [{ file = \"github\" }]\n\
    verify = { hmac = \"sha256\", header = \"x-slack-signature\", prefix = \"v0=\", timestamp = \"x-slack-request-timestamp\", signed = \"v0:{timestamp}:{body}\" }\n";
const TOKEN: &str = "[[server.token]]\nname = \"t\"\nsha256 = \"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"\nscopes = [\"read\"]\n";

/// Names and values.
type Headers = Vec<(&'static str, String)>;

fn setup(config: &str) -> Setup {
    let setup = Setup::new(config).clock(Clock::manual(NOW * 1000));
    keys(&setup, &[("billing", &whsec(KEY)), ("new", &whsec(NEW_KEY)), ("github", HMAC_KEY)]);
    setup
}

fn keys(setup: &Setup, keys: &[(&str, &str)]) {
    for (name, key) in keys {
        std::fs::write(setup.folder.path().join(name), key).unwrap();
    }
}

fn whsec(key: &[u8]) -> String {
    format!("whsec_{}", BASE64.encode(key))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The headers of Standard Webhooks.
fn signed(key: &[u8], id: &str, time: u64, body: &str) -> Headers {
    let signature = format!("v1,{}", BASE64.encode(mac(key, &format!("{id}.{time}.{body}"))));
    vec![("webhook-id", id.to_owned()), ("webhook-timestamp", time.to_string()), ("webhook-signature", signature)]
}

async fn post(host: &TestHost, source: &str, headers: &[(&str, String)], body: &str) -> (StatusCode, Value) {
    let mut request = host.http.post(format!("{}/v1/sources/{source}/events", host.base));
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        request = request.header("content-type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let answer = within("an answer", request.body(body.to_owned()).send()).await.unwrap();
    (answer.status(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
}

async fn accepted(host: &TestHost, source: &str, headers: &[(&str, String)], body: &str) -> Value {
    let (status, answer) = post(host, source, headers, body).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_signs_needs_no_token_and_no_one_else_gets_past() {
    let host = setup(&[TOKEN, CHANNEL, BILLING, OTHERS].concat()).start().await;
    let good = || signed(KEY, "msg_1", NOW, EVENT);
    let with = |name: &'static str, value: &str| {
        let mut headers = good();
        headers.retain(|(known, _)| *known != name);
        headers.push((name, value.to_owned()));
        headers
    };
    let without = |name: &str| good().into_iter().filter(|(known, _)| *known != name).collect::<Vec<_>>();
    let doubled = |name: &'static str| [good(), vec![(name, "x".to_owned())]].concat();
    let signature = good()[2].1.clone();
    let tries: Vec<(Headers, &str, &str)> = vec![
        (vec![], EVENT, "missing_signature"),
        (without("webhook-id"), EVENT, "missing_signature"),
        (without("webhook-timestamp"), EVENT, "missing_signature"),
        (without("webhook-signature"), EVENT, "missing_signature"),
        (doubled("webhook-id"), EVENT, "missing_signature"),
        (doubled("webhook-timestamp"), EVENT, "missing_signature"),
        (doubled("webhook-signature"), EVENT, "missing_signature"),
        (with("webhook-id", ""), EVENT, "missing_signature"),
        (signed(KEY, "msg_1", NOW - 301, EVENT), EVENT, "stale_signature"),
        (signed(KEY, "msg_1", NOW + 301, EVENT), EVENT, "stale_signature"),
        (signed(KEY, "msg_1", 0, EVENT), EVENT, "stale_signature"),
        (with("webhook-timestamp", "now"), EVENT, "stale_signature"),
        (with("webhook-timestamp", &format!("+{NOW}")), EVENT, "stale_signature"),
        (with("webhook-timestamp", &format!("{NOW}.0")), EVENT, "stale_signature"),
        (with("webhook-timestamp", "99999999999999999999"), EVENT, "stale_signature"),
        // Something of it was changed on its way.
        (good(), "{\"type\":\"paid\" }", "unknown_signature"),
        (with("webhook-id", "msg_2"), EVENT, "unknown_signature"),
        (with("webhook-timestamp", &(NOW + 1).to_string()), EVENT, "unknown_signature"),
        (with("webhook-signature", "v1"), EVENT, "unknown_signature"),
        (with("webhook-signature", "v1,"), EVENT, "unknown_signature"),
        (with("webhook-signature", &signature[3..]), EVENT, "unknown_signature"),
        (with("webhook-signature", &signature[..20]), EVENT, "unknown_signature"),
        (with("webhook-signature", &signature.replace("v1,", "v1a,")), EVENT, "unknown_signature"),
        (with("webhook-signature", &signature.replace("v1,", "v2,")), EVENT, "unknown_signature"),
        (signed(NEW_KEY, "msg_1", NOW, EVENT), EVENT, "unknown_signature"),
        (signed(HMAC_KEY.as_bytes(), "msg_1", NOW, EVENT), EVENT, "unknown_signature"),
        (signed(b"", "msg_1", NOW, EVENT), EVENT, "unknown_signature"),
    ];
    for (headers, body, code) in &tries {
        let (status, answer) = post(&host, "billing", headers, body).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!(code)), "{headers:?}: {answer}");
        assert!(!answer.to_string().contains(&signature[3..]), "the right signature is not told: {answer}");
    }
    // A good post is no other source's, and is nobody's on another path.
    for (source, code) in [("github", "missing_signature"), ("slack", "missing_signature"), ("nobody", "missing_token")]
    {
        let (status, answer) = post(&host, source, &good(), EVENT).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!(code)));
    }
    assert_eq!(host.post_as("application/json", EVENT, &[]).await.0, StatusCode::UNAUTHORIZED);
    let page = [good(), vec![("origin", "https://evil.example".to_owned())]].concat();
    assert_eq!(post(&host, "billing", &page, EVENT).await.1["code"], "foreign_page");
    assert_eq!(host.app.pipeline().totals().accepted(), 0);

    accepted(&host, "billing", &good(), EVENT).await;
    let time = (NOW - 299).to_string();
    let slack = format!("v0={}", hex::encode(mac(HMAC_KEY.as_bytes(), &format!("v0:{time}:{EVENT}"))));
    accepted(&host, "slack", &[("x-slack-signature", slack), ("x-slack-request-timestamp", time)], EVENT).await;
    let github = format!("sha256={}", hex::encode(mac(HMAC_KEY.as_bytes(), EVENT)));
    accepted(&host, "github", &[("x-hub-signature-256", github)], EVENT).await;
    assert_eq!(host.deliveries().await.len(), 3);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_post_delivers_nothing_again_whatever_is_changed_and_after_a_restart_too() {
    let setup = setup(&[CHANNEL, BILLING, OTHERS].concat());
    let host = setup.start().await;
    let github =
        |body: &str| vec![("x-hub-signature-256", format!("sha256={}", hex::encode(mac(HMAC_KEY.as_bytes(), body))))];
    let own = "{\"type\":\"paid\",\"id\":\"7\"}";
    let cloud = "{\"specversion\":\"1.0\",\"type\":\"paid\",\"id\":\"8\",\"source\":\"/a\"}";
    let list = "[{\"type\":\"a\"},{\"type\":\"b\"}]";
    let as_cloud_event = ("content-type", "application/cloudevents+json".to_owned());
    let first = accepted(&host, "billing", &signed(KEY, "msg_1", NOW, EVENT), EVENT).await;
    assert_eq!((&first["id"], &first["duplicate"]), (&json!("msg_1"), &json!(false)));
    accepted(&host, "billing", &signed(KEY, "msg_2", NOW, own), own).await;
    accepted(&host, "billing", &[signed(KEY, "msg_3", NOW, cloud), vec![as_cloud_event.clone()]].concat(), cloud).await;
    accepted(&host, "billing", &signed(KEY, "msg_4", NOW, list), list).await;
    accepted(&host, "github", &github(EVENT), EVENT).await;
    let count = host.deliveries().await.len();
    assert_eq!(count, 6);
    host.stop().await;

    let host = setup.start().await;
    let mut copies = Vec::new();
    // The sender's own next try, signed anew, is the same message.
    copies.push(("billing", signed(KEY, "msg_1", NOW + 60, EVENT), EVENT));
    for (source, headers, body) in [
        ("billing", signed(KEY, "msg_1", NOW, EVENT), EVENT),
        ("billing", signed(KEY, "msg_2", NOW, own), own),
        ("billing", signed(KEY, "msg_3", NOW, cloud), cloud),
        ("billing", signed(KEY, "msg_4", NOW, list), list),
        ("github", github(EVENT), EVENT),
    ] {
        for (name, value) in [
            ("x-nothing", ""),
            ("content-type", "application/x-ndjson"),
            ("content-type", "application/cloudevents+json"),
            ("content-type", "application/cloudevents-batch+json"),
            ("content-type", "text/plain"),
            ("idempotency-key", "another"),
            ("x-github-delivery", "another"),
            ("ce-specversion", "1.0"),
            ("content-encoding", "gzip"),
        ] {
            copies.push((source, [headers.clone(), vec![(name, value.to_owned())]].concat(), body));
        }
        let binary = ["ce-specversion", "ce-type", "ce-id", "ce-source"].map(|name| (name, "1.0".to_owned()));
        copies.push((source, [headers, binary.to_vec()].concat(), body));
    }
    for (source, headers, body) in &copies {
        let (status, answer) = post(&host, source, headers, body).await;
        let events = answer["events"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        let is_double = status == StatusCode::ACCEPTED && events.iter().all(|event| event["duplicate"] == true);
        assert!(is_double || status.is_client_error(), "{source} {headers:?} {body}: {status} {answer}");
        assert_eq!(host.deliveries().await.len(), count, "{source} {headers:?} {body}: {answer}");
    }
    // Ids of one source are not those of another: nobody makes another's event look like a double.
    for (source, headers) in [("github", github(own)), ("billing", signed(KEY, "msg_9", NOW, own))] {
        let answer = accepted(&host, source, &headers, own).await;
        assert_eq!(answer["duplicate"], source == "billing", "{source}");
    }
    assert_eq!(host.post(own).await.1["duplicate"], false);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sources_and_their_keys_change_with_the_config_without_a_restart() {
    let setup = setup(CHANNEL);
    let host = setup.start().await;
    let mut number = 0;
    let mut until = async |key: &[u8], wanted: StatusCode| {
        within(&format!("an answer of {wanted}"), async {
            loop {
                number += 1;
                let id = format!("msg_{number}");
                if post(&host, "billing", &signed(key, &id, NOW, EVENT), EVENT).await.0 == wanted {
                    return;
                }
                clock::pause(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    until(KEY, StatusCode::NOT_FOUND).await;
    setup.write_config(&(CHANNEL.to_owned() + BILLING));
    until(KEY, StatusCode::ACCEPTED).await;
    until(NEW_KEY, StatusCode::UNAUTHORIZED).await;
    // Both while it is being replaced, then the new one alone.
    let secrets = |list: &str| CHANNEL.to_owned() + &BILLING.replace("{ file = \"billing\" }", list);
    setup.write_config(&secrets("{ file = \"new\" }, { file = \"billing\" }"));
    until(NEW_KEY, StatusCode::ACCEPTED).await;
    until(KEY, StatusCode::ACCEPTED).await;
    setup.write_config(&secrets("{ file = \"new\" }"));
    until(KEY, StatusCode::UNAUTHORIZED).await;
    until(NEW_KEY, StatusCode::ACCEPTED).await;
    // A public key, of which nobody can make signatures who reads the config.
    let pair = Ed25519KeyPair::from_seed_unchecked(KEY).unwrap();
    keys(&setup, &[("public", &format!("whpk_{}", BASE64.encode(pair.public_key())))]);
    setup.write_config(&secrets("{ file = \"public\" }"));
    until(NEW_KEY, StatusCode::UNAUTHORIZED).await;
    let sign = |body: &str| {
        let signature = pair.sign(format!("msg_x.{NOW}.{body}").as_bytes());
        let mut headers = signed(KEY, "msg_x", NOW, EVENT);
        headers[2].1 = format!("v1a,{}", BASE64.encode(signature));
        headers
    };
    assert_eq!(post(&host, "billing", &sign("{}"), EVENT).await.1["code"], "unknown_signature");
    accepted(&host, "billing", &sign(EVENT), EVENT).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_posts_from_its_addresses_only() {
    let config = |addresses: &str| format!("{CHANNEL}[[source]]\nname = \"lan\"\nallow_addresses = [{addresses}]\n");
    let setup = setup(&config("\"10.0.0.0/8\", \"::1\""));
    let host = setup.start().await;
    let forged = ["x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "cf-connecting-ip"];
    let forged = forged.map(|name| (name, "10.0.0.7".to_owned()));
    for headers in [&[][..], &forged] {
        let (status, answer) = post(&host, "lan", headers, EVENT).await;
        assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("address_not_allowed")), "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("127.0.0.1"), "{answer}");
    }
    let metrics = host.http.get(format!("{}/metrics", host.base)).send().await.unwrap().text().await.unwrap();
    assert!(metrics.contains("herald_source_refused_total{source=\"lan\",check=\"address\"} 2\n"), "{metrics}");
    setup.write_config(&config("\"127.0.0.0/8\""));
    within("the address to be allowed", async {
        while post(&host, "lan", &[], EVENT).await.0 != StatusCode::ACCEPTED {
            clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    // Where there are tokens, an address is not enough.
    setup.write_config(&(config("\"127.0.0.0/8\"") + TOKEN));
    within("a token to be asked for", async {
        while post(&host, "lan", &[], EVENT).await.1["code"] != "missing_token" {
            clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_unsigned_events_are_off_nothing_unsigned_gets_in() {
    let setup = setup(&[CHANNEL, BILLING].concat());
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let token = "hrld_sources-0123456789012345678901234567890";
    keys(&setup, &[("token", token)]);
    let all = "[[server.token]]\nname = \"all\"\ntoken = { file = \"token\" }\nscopes = [\"events:write\", \"read\", \"manage\"]\n";
    for (tokens, authorization) in [("", String::new()), (all, format!("Bearer {token}"))] {
        std::fs::write(setup.config(), text.replace("[server]", "[server]\nunsigned_events = false") + tokens).unwrap();
        let host = setup.start().await;
        let headers = [("authorization", authorization.as_str())];
        for body in [EVENT, "[]", "no event"] {
            let (status, answer) = host.post_as("application/json", body, &headers).await;
            assert_eq!((status, &answer["code"]), (StatusCode::FORBIDDEN, &json!("unsigned_event")), "{answer}");
        }
        let (status, answer) = post(&host, "billing", &[("authorization", authorization.clone())], EVENT).await;
        assert_eq!((status, &answer["code"]), (StatusCode::UNAUTHORIZED, &json!("missing_signature")));
        let id = format!("msg{}", authorization.len());
        assert_eq!(accepted(&host, "billing", &signed(KEY, &id, NOW, EVENT), EVENT).await["duplicate"], false);
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_headers_of_a_source_say_is_refused_before_its_body_is_read() {
    let setup = setup(&[CHANNEL, BILLING].concat());
    let host = setup.start().await;
    for headers in
        ["", "Expect: 100-continue\r\n", "webhook-id: a\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,eA==\r\n"]
    {
        // The body never comes.
        let head = format!(
            "POST /v1/sources/billing/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n{headers}\r\n"
        );
        let heard = crate::harness::raw(host.address(), &head).await;
        assert!(heard.starts_with("HTTP/1.1 401 ") && !heard.contains("100 Continue"), "{headers}: {heard}");
        assert!(heard.contains("www-authenticate: Signature\r\n"), "{heard}");
    }
    host.stop().await;
}
