//! Channels as people see them: disabled by hand, waiting, not configured any more.

use herald::clock::Clock;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Receiver, Reply, Setup, TestHost, seconds, within},
    operating::{NOW, delivery, event, order, ordered, tried},
    pacing::hook,
};

/// What the list says of a channel.
async fn listed(host: &TestHost, name: &str) -> Value {
    let (_, answer) = host.get("/v1/channels").await;
    let found = answer["channels"].as_array().unwrap().iter().find(|channel| channel["name"] == name).cloned();
    found.unwrap_or_else(|| panic!("no {name} in {answer}"))
}

async fn metric(host: &TestHost, sample: &str) -> String {
    let (_, text) = host.get("/metrics").await;
    let found = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix(&format!("{sample} ")));
    found.unwrap_or_else(|| panic!("no {sample} in {text}")).to_owned()
}

async fn shown(host: &TestHost, event: &str) -> Value {
    host.get(&format!("/v1/deliveries/{}", delivery(host, event).await)).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_disabled_by_hand_waits_until_it_is_enabled_by_hand() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "")).clock(Clock::manual(NOW));
    let mut host = setup.start().await;
    assert_eq!(listed(&host, "a").await["disabled"], Value::Null);
    for (path, body, reason) in [
        ("", "", "by hand"),
        ("", r#"{"reason":"moving house"}"#, "moving house"),
        ("?reason=a+strike", "", "a strike"),
        ("?reason=", "{}", "by hand"),
    ] {
        assert_eq!(order(&host, &format!("/v1/channels/a/disable{path}"), body).await.0, StatusCode::NO_CONTENT);
        assert_eq!(listed(&host, "a").await["disabled"], json!({ "at": NOW, "reason": reason }));
        assert_eq!(metric(&host, "herald_channel_disabled{channel=\"a\"}").await, "1");
        assert_eq!(metric(&host, "herald_channel_waiting{channel=\"a\"}").await, "1");
        if reason == "moving house" {
            host.accepted(event("a", "e1")).await;
            // It is remembered over a restart.
            host.stop().await;
            host = setup.start().await;
            // Disabled twice: the first reason is the one.
            order(&host, "/v1/channels/a/disable?reason=again", "").await;
            assert_eq!(listed(&host, "a").await["disabled"]["reason"], "moving house");
            let waits = shown(&host, "e1").await["waits"].as_str().unwrap().to_owned();
            assert!(waits.contains("`herald channels enable a`"), "{waits}");
            assert_eq!(receiver.received().len(), 0);
        }
        assert_eq!(order(&host, "/v1/channels/a/enable", "").await.0, StatusCode::NO_CONTENT);
    }
    host.drain().await;
    assert_eq!(receiver.received().len(), 1);
    for metric in ["herald_channel_disabled{channel=\"a\"}", "herald_channel_waiting{channel=\"a\"}"] {
        assert_eq!(self::metric(&host, metric).await, "0");
    }
    for (path, body, status) in [
        ("b/disable", "", 404),
        ("a/disable", "moving", 400),
        ("a/disable", r#"{"raeson":"x"}"#, 400),
        ("a/disable?why=x", "", 400),
    ] {
        assert_eq!(order(&host, &format!("/v1/channels/{path}"), body).await.0.as_u16(), status, "{path} {body}");
    }
    assert_eq!(listed(&host, "a").await["disabled"], Value::Null);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_says_since_when_it_fails_and_how_long_it_waits() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let more = "fallback = \"b\"\nconcurrency = 1";
    let config = format!(
        "[delivery]\nbreaker_failures = 2\nbreaker_wait = \"60s\"\nschedule = [\"5s\", \"5s\"]\njitter = 0.0\n{}{}",
        hook("a", &receiver, more),
        hook("b", &receiver, "")
    );
    let setup = Setup::new(&config).clock(clock.clone());
    let host = setup.start().await;
    let well = listed(&host, "a").await;
    assert_eq!((&well["configured"], &well["fallback"]), (&json!(true), &json!("b")), "{well}");
    for member in ["failing_since", "paused_until", "breaker", "waits"] {
        assert_eq!(well.get(member), Some(&Value::Null), "{member} of {well}");
    }
    tried(&host, &receiver, 500, "a", "e1").await;
    assert_eq!(listed(&host, "a").await["failing_since"], NOW);
    tried(&host, &receiver, 500, "a", "e2").await;
    let tripped = listed(&host, "a").await;
    assert_eq!(
        (&tripped["breaker"], &tripped["failing_since"]),
        (&json!({ "until": NOW + 60_000, "blame": "receiver" }), &json!(NOW))
    );
    assert!(tripped["waits"].as_str().unwrap().contains("its receiver fails"), "{tripped}");
    assert_eq!(shown(&host, "e1").await["waits"], tripped["waits"]);
    receiver.reply(Reply::new(429, "").header("retry-after", "90"));
    clock.advance(seconds(60));
    host.until("the probe", |all| all.iter().any(|one| one.delivery.attempts == 2)).await;
    let paused = listed(&host, "a").await;
    assert_eq!((&paused["breaker"], &paused["paused_until"]), (&Value::Null, &json!(NOW + 150_000)), "{paused}");
    assert_eq!(metric(&host, "herald_channel_waiting{channel=\"a\"}").await, "1");
    assert_eq!(metric(&host, "herald_channel_disabled{channel=\"a\"}").await, "0");
    assert_eq!(metric(&host, "herald_store_writable").await, "1");
    assert_eq!(host.get("/readyz").await.0, StatusCode::OK, "a channel that waits keeps nobody out");
    clock.advance(seconds(90));
    host.drain().await;
    let well = listed(&host, "a").await;
    assert_eq!((&well["paused_until"], &well["failing_since"]), (&Value::Null, &Value::Null), "{well}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_was_removed_is_listed_with_what_waits_for_it() {
    let receiver = Receiver::start().await;
    let (a, b) = (hook("a", &receiver, ""), hook("b", &receiver, ""));
    let setup = Setup::new(&format!("{a}{b}")).clock(Clock::manual(NOW));
    let host = setup.start().await;
    tried(&host, &receiver, 500, "a", "e1").await;
    setup.write_config(&b);
    let gone = async || listed(&host, "a").await["configured"] == false;
    within("the removal", async { while !gone().await {} }).await;
    host.stop().await;
    let host = setup.start().await;
    let removed = listed(&host, "a").await;
    assert_eq!((&removed["deliveries"], &removed["adapter"]), (&json!({ "pending": 1 }), &Value::Null), "{removed}");
    assert_eq!((&removed["configured"], &removed["routes"]), (&json!(false), &json!([])));
    assert_eq!(removed["waits"], "it is not in the config any more");
    assert_eq!(shown(&host, "e1").await["waits"], removed["waits"]);
    assert_eq!(listed(&host, "b").await["configured"], true);
    // What waits for it can be stopped all the same.
    let (status, begun) = order(&host, "/v1/deliveries/cancel?channel=a", "").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{begun}");
    let cancelled = async || shown(&host, "e1").await["delivery"]["state"] == "cancelled";
    within("the cancellation", async { while !cancelled().await {} }).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_comes_after_another_of_its_subject_says_so() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "ordered = true")).clock(Clock::manual(NOW));
    let host = setup.start().await;
    receiver.reply(Reply::new(500, ""));
    for id in ["e1", "e2", "e3"] {
        host.accepted(json!({ "type": "a", "id": id, "subject": "s" }).to_string()).await;
    }
    host.until("the first attempt", |all| all.iter().any(|one| one.delivery.attempts == 1)).await;
    assert!(shown(&host, "e1").await["delivery"]["due_at"].is_u64());
    for retried in [false, true] {
        let shown = shown(&host, "e2").await;
        assert_eq!((&shown["delivery"]["due_at"], &shown["delivery"]["state"]), (&Value::Null, &json!("pending")));
        assert_eq!(shown["waits"], "an earlier delivery of its subject comes first", "{shown}");
        if !retried {
            // A retry changes nothing of the order.
            ordered(&host, &format!("/v1/deliveries/{}/retry", delivery(&host, "e2").await)).await;
        }
    }
    order(&host, "/v1/channels/a/disable", "").await;
    let waits = shown(&host, "e2").await["waits"].as_str().unwrap().to_owned();
    assert!(waits.contains("it is disabled"), "the channel's own reason goes first: {waits}");
    order(&host, "/v1/channels/a/enable", "").await;
    // The first one is given up, and the others go on in their order.
    ordered(&host, &format!("/v1/deliveries/{}/cancel", delivery(&host, "e1").await)).await;
    host.drain().await;
    assert_eq!(crate::operating::ids(&receiver), ["e1", "e2", "e3"]);
    host.stop().await;
}
