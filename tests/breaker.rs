//! A channel whose receiver fails: it waits, it probes, it is given up, it says so, and another one takes over.

use herald::{
    clock::Clock,
    model::{FailReason, State},
};

use serde_json::{Value, json};

use crate::{
    harness::{
        Receiver, Reply, Setup, TestHost,
        guests::{Act, Guest},
        seconds,
    },
    pacing::hook,
};

const NOW: u64 = 1_700_000_000_000;

/// A channel for what Herald itself has to tell.
fn told(receiver: &Receiver) -> String {
    hook("ops", receiver, "").replace("events = [\"ops\"]", "events = [\"herald.*\"]")
}

/// The types of what has been told, and the channels that it is about.
fn news(receiver: &Receiver) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    receiver
        .received()
        .iter()
        .map(|received| (text(&received.json()["type"]), text(&received.json()["data"]["channel"])))
        .collect()
}

async fn attempts(host: &TestHost, count: u32) {
    let of = |all: &[herald::store::Listed]| {
        let those = all.iter().filter(|listed| listed.delivery.channel == "a");
        those.map(|listed| listed.delivery.attempts).sum::<u32>()
    };
    host.until(&format!("{count} attempts"), |all| of(all) >= count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_so_many_failures_in_a_row_the_channel_waits_and_one_delivery_probes() {
    let (receiver, ops) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(NOW);
    let config = format!(
        "[delivery]\nbreaker_failures = 4\nbreaker_wait = \"60s\"\nschedule = [\"1s\", \"1s\", \"1s\", \"1s\", \"1s\"]\n{}{}",
        hook("a", &receiver, "concurrency = 1"),
        told(&ops)
    );
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..5 {
        receiver.reply(Reply::new(503, "down"));
    }
    let host = setup.start().await;
    let events: Vec<_> = (0..10).map(|number| format!(r#"{{"type":"a","id":"e{number}"}}"#)).collect();
    host.accepted(format!("[{}]", events.join(","))).await;
    attempts(&host, 4).await;
    ops.wait_for(1).await;
    host.quiet().await;
    assert_eq!(receiver.received().len(), 4, "the fourth failure trips it");
    let (_, channels) = host.get("/v1/channels").await;
    assert!(channels["channels"][0]["waits"].as_str().unwrap().contains("its receiver fails"), "{channels}");
    clock.advance(seconds(59));
    host.quiet().await;
    assert_eq!(receiver.received().len(), 4);
    clock.advance(seconds(1));
    attempts(&host, 5).await;
    host.quiet().await;
    assert_eq!(receiver.received().len(), 5, "one probes");
    clock.advance(seconds(119));
    host.quiet().await;
    assert_eq!(receiver.received().len(), 5, "and waits twice as long");
    clock.advance(seconds(1));
    host.drain().await;
    assert_eq!(ops.wait_for(2).await.len(), 2);
    let both = ["herald.channel_failing", "herald.channel_recovered"].map(|kind| (kind.to_owned(), "a".to_owned()));
    assert_eq!(news(&ops), both);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_herald_tells_never_goes_to_the_channel_that_it_is_about_and_is_not_told_of_itself() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(NOW);
    // Both get everything, and both fail.
    let config = format!(
        "[delivery]\nschedule = []\n{}{}[[route]]\nchannel = \"a\"\n[[route]]\nchannel = \"b\"\n",
        hook("a", &receiver, ""),
        hook("b", &other, ""),
    );
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..2 {
        receiver.reply(Reply::new(404, ""));
        other.reply(Reply::new(404, ""));
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"anything","id":"e","project":"p"}"#).await;
    host.drain().await;
    for (receiver, about) in [(&receiver, "b"), (&other, "a")] {
        let received = receiver.wait_for(2).await;
        assert_eq!(received.len(), 2, "the event, and that it failed on the other one");
        // The other channel may have been quicker than this one's own event.
        let is_news = |one: &Value| one["type"] == "herald.delivery_failed";
        let told = received.iter().find_map(|one| Some(one.json()).filter(is_news)).unwrap();
        assert_eq!(told["data"]["channel"].as_str(), Some(about));
        assert_eq!((told["data"]["event"].as_str(), told["project"].as_str()), (Some("e"), Some("p")));
        assert_eq!(told["data"]["failed"], "rejected");
    }
    host.drain().await;
    assert_eq!(host.deliveries().await.len(), 4, "a failure of what tells of a failure is not told");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_adapter_keeps_hitting_its_limits_waits_until_a_probe_or_a_new_version_works() {
    let (receiver, ops) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(NOW);
    let setup = Setup::new(&format!(
        "[delivery]\nbreaker_limit_hits = 3\nbreaker_wait = \"60s\"\n\
         [[channel]]\nname = \"a\"\nadapter = \"guest\"\nconcurrency = 1\n\
         [[route]]\nevents = [\"a\"]\nchannel = \"a\"\n{}",
        told(&ops).replace("\"herald.*\"", "\"herald.channel_failing\", \"herald.channel_recovered\"")
    ))
    .clock(clock.clone());
    let put = |guest: Guest| {
        let next = setup.folder.path().join("next");
        std::fs::write(&next, guest.component()).unwrap();
        std::fs::rename(next, setup.adapters().join("guest.wasm")).unwrap();
    };
    put(Guest { render: Act::Grow, ..Guest::new("1", &receiver.url("/")) });
    let host = setup.start().await;
    let events: Vec<_> = (0..10).map(|number| format!(r#"{{"type":"a","id":"e{number}"}}"#)).collect();
    host.accepted(format!("[{}]", events.join(","))).await;
    attempts(&host, 3).await;
    let failing = ops.wait_for(1).await[0].json();
    assert_eq!((&failing["type"], &failing["data"]["blame"]), (&json!("herald.channel_failing"), &json!("adapter")));
    assert!(failing["body"].as_str().unwrap().contains("Its adapter hit its limits in 3 attempts"), "{failing}");
    let (_, channels) = host.get("/v1/channels").await;
    assert!(channels["channels"][0]["waits"].as_str().unwrap().contains("its adapter hits its limits"), "{channels}");
    assert_eq!(channels["channels"][0]["breaker"], json!({ "until": NOW + 60_000, "blame": "adapter" }));
    for (wait, tried) in [(60, 4), (120, 5)] {
        clock.advance(seconds(wait - 1));
        host.quiet().await;
        let all = host.until("all deliveries", |all| all.len() >= 10).await;
        let of_a = all.iter().filter(|one| one.delivery.channel == "a");
        assert_eq!(of_a.map(|one| one.delivery.attempts).sum::<u32>(), tried - 1, "it waits");
        clock.advance(seconds(1));
        attempts(&host, tried).await;
    }
    // The channel has 240 seconds to wait, and a new version is tried at once.
    put(Guest::new("2", &receiver.url("/")));
    receiver.wait_for(5).await;
    ops.wait_for(2).await;
    let both = ["herald.channel_failing", "herald.channel_recovered"].map(|kind| (kind.to_owned(), "a".to_owned()));
    assert_eq!(news(&ops), both);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_has_failed_for_five_days_is_disabled_and_recovers_when_it_is_enabled() {
    let (receiver, ops) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(NOW);
    let config = format!(
        "[delivery]\nschedule = [{}]\njitter = 0.0\nbreaker_failures = 0\n{}{}",
        ["\"24h\""; 20].join(","),
        hook("a", &receiver, ""),
        told(&ops)
    );
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..6 {
        receiver.reply(Reply::new(500, "down"));
    }
    let mut host = setup.start().await;
    host.accepted(r#"{"type":"a"}"#).await;
    for day in 1..=5 {
        attempts(&host, day).await;
        if day == 3 {
            // It is remembered over a restart.
            host.stop().await;
            host = setup.start().await;
        }
        host.quiet().await;
        assert_eq!(news(&ops), [], "so far it only fails");
        clock.advance(seconds(86_400));
    }
    attempts(&host, 6).await;
    ops.wait_for(1).await;
    let (_, channels) = host.get("/v1/channels").await;
    let reason = channels["channels"][0]["disabled"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("it has failed since 2023-11-14") && reason.contains("answered 500"), "{reason}");
    clock.advance(seconds(86_400));
    host.http.post(format!("{}/v1/channels/a/enable", host.base)).send().await.unwrap();
    host.drain().await;
    ops.wait_for(2).await;
    let both = ["herald.channel_disabled", "herald.channel_recovered"].map(|kind| (kind.to_owned(), "a".to_owned()));
    assert_eq!(news(&ops), both);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_and_a_tripped_breaker_outlast_a_restart() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let trips = "[delivery]\nbreaker_failures = 1\nbreaker_wait = \"60s\"\n";
    for (reply, wait) in [(Reply::new(429, "").header("retry-after", "90"), 90), (Reply::new(500, ""), 60)] {
        let setup = Setup::new(&format!("{trips}{}", hook("a", &receiver, ""))).clock(clock.clone());
        receiver.reply(reply);
        let host = setup.start().await;
        host.accepted(r#"{"type":"a"}"#).await;
        attempts(&host, 1).await;
        host.stop().await;
        let before = receiver.received().len();
        let host = setup.start().await;
        host.accepted(r#"{"type":"a"}"#).await;
        clock.advance(seconds(wait - 1));
        host.quiet().await;
        assert_eq!(receiver.received().len(), before, "nothing goes out before");
        clock.advance(seconds(1));
        host.drain().await;
        assert_eq!(receiver.received().len(), before + 2);
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exhausted_goes_to_the_fallback_channel_once_and_no_further() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let config =
        format!("[delivery]\nschedule = []\n{}{}", hook("a", &receiver, "fallback = \"b\""), hook("b", &other, ""));
    let setup = Setup::new(&config);
    receiver.reply(Reply::new(500, ""));
    receiver.reply(Reply::new(404, ""));
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"exhausted"}"#).await;
    host.drain().await;
    host.accepted(r#"{"type":"a","id":"rejected"}"#).await;
    host.drain().await;
    let received = other.wait_for(1).await;
    assert_eq!(received[0].json()["id"], "exhausted");
    let all = host.deliveries().await;
    let mut ends: Vec<_> = all
        .iter()
        .map(|one| {
            (one.delivery.event.as_str(), one.delivery.channel.as_str(), one.delivery.state, one.delivery.reason)
        })
        .collect();
    ends.sort_by_key(|(event, channel, ..)| (*event, *channel));
    assert_eq!(
        ends,
        [
            ("exhausted", "a", State::Failed, Some(FailReason::Exhausted)),
            ("exhausted", "b", State::Delivered, None),
            ("rejected", "a", State::Failed, Some(FailReason::Rejected)),
        ]
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_channels_that_are_told_of_one_another_come_to_an_end() {
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(NOW);
    let config = format!(
        "[delivery]\nbreaker_failures = 1\nbreaker_wait = \"1s\"\nbreaker_longest_wait = \"1s\"\n\
         schedule = [\"1s\", \"1s\", \"1s\"]\njitter = 0.0\n\
         {}{}[[route]]\nchannel = \"a\"\n[[route]]\nchannel = \"b\"\n",
        hook("a", &receiver, "concurrency = 1"),
        hook("b", &other, "concurrency = 1"),
    );
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..100 {
        for receiver in [&receiver, &other] {
            receiver.reply(Reply::new(500, ""));
            receiver.reply(Reply::new(200, ""));
        }
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"anything"}"#).await;
    for _ in 0..60 {
        host.quiet().await;
        clock.advance(seconds(1));
    }
    let all = host.drain().await;
    // The event on both, three attempts each; with each at most failing and recovered, told to the other.
    let kinds: Vec<_> =
        all.iter().map(|one| (&one.delivery.kind, &one.delivery.channel, one.delivery.attempts)).collect();
    assert!(all.len() <= 14, "{kinds:#?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_config_that_changes_nothing_of_a_channel_lets_its_breaker_wait() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let config = format!("[delivery]\nbreaker_failures = 1\n{}", hook("a", &receiver, ""));
    let setup = Setup::new(&config).clock(clock.clone());
    receiver.reply(Reply::new(500, ""));
    let host = setup.start().await;
    host.accepted(r#"{"type":"a"}"#).await;
    attempts(&host, 1).await;
    host.accepted(r#"{"type":"a"}"#).await;
    host.quiet().await;
    let tried = receiver.received().len();
    assert_eq!(tried, 1, "the breaker waits");
    let reloaded = async |config: &str, channels: usize| {
        setup.write_config(config);
        let all = async {
            while host.app.pipeline().plan().channels.len() != channels {
                herald::clock::pause(std::time::Duration::from_millis(5)).await;
            }
        };
        crate::harness::within("the new config", all).await;
    };
    reloaded(&format!("{config}{}", hook("another", &receiver, "")), 2).await;
    // The other channel shows that lanes have seen it.
    host.accepted(r#"{"type":"another"}"#).await;
    receiver.wait_for(tried + 1).await;
    host.quiet().await;
    assert_eq!(receiver.received().len(), tried + 1);
    // A change of its settings may have mended it.
    reloaded(&config.replace("/a\"", "/mended\""), 1).await;
    receiver.wait_for(tried + 2).await;
    clock.advance(seconds(10));
    host.drain().await;
    assert!(receiver.received().iter().any(|received| received.path == "/mended"));
    host.stop().await;
}
