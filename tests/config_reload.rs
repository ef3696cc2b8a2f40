//! The config file changes while the host runs: a good change is applied whole, a bad one not at all.

use std::{fs, time::Duration};

use herald::{clock::Clock, model::State};
use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Setup, TestHost, within};

/// A webhook channel, with a route for everything.
fn channel(name: &str, url: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n\
         [[route]]\nchannel = \"{name}\"\n"
    )
}

/// The names of the channels that run.
fn channels(host: &TestHost) -> Vec<String> {
    host.app.pipeline().plan().channels.keys().cloned().collect()
}

/// Looks again and again, since a reload tells nobody in this process that it is done.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let mut look = tokio::time::interval(Duration::from_millis(5));
    within(what, async {
        while !condition().await {
            look.tick().await;
        }
    })
    .await;
}

/// What `/healthz` says of the config file once it is not `before`.
async fn health_after(host: &TestHost, before: &Value) -> Value {
    let mut health = Value::Null;
    until("another account of the config", async || {
        health = host.get("/healthz").await.1["config"].clone();
        health != *before
    })
    .await;
    health
}

/// How many deliveries an event would have now. The event is routed nowhere else afterwards.
async fn deliveries_of(host: &TestHost, id: &str) -> Value {
    host.accepted(format!(r#"{{"type":"t","id":"{id}"}}"#)).await["deliveries"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_change_is_applied_whole_without_a_restart() {
    let receiver = Receiver::start().await;
    let a = channel("a", &receiver.url("/a"));
    let setup = Setup::new(&a);
    let host = setup.start().await;
    let started = host.address();
    assert_eq!(deliveries_of(&host, "1").await, 1);
    receiver.wait_for(1).await;
    // A new channel with its route, and another address for the old one, in one change.
    let both = [channel("a", &receiver.url("/changed")), channel("b", &receiver.url("/b"))].concat();
    setup.write_config(&both);
    until("the new channel", async || channels(&host) == ["a", "b"]).await;
    assert_eq!(deliveries_of(&host, "2").await, 2);
    let mut paths: Vec<_> = receiver.wait_for(3).await.into_iter().skip(1).map(|one| one.path).collect();
    paths.sort();
    assert_eq!(paths, ["/b", "/changed"]);
    // And in place, as `echo >>` writes.
    fs::write(setup.config(), fs::read_to_string(setup.config()).unwrap().replace("/changed", "/again")).unwrap();
    let address = async || {
        let tested = host.app.pipeline().test("a").await.unwrap().unwrap().to_string();
        host.get(&format!("/v1/deliveries/{tested}?wait=30")).await.1.to_string().contains("/again")
    };
    until("the channel's new address", address).await;
    assert_eq!((host.address(), host.get("/healthz").await.1["config"]["applied"].clone()), (started, json!(true)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_channel_keeps_what_is_pending_and_delivers_it_when_it_comes_back() {
    let receiver = Receiver::start().await;
    let both = [channel("a", &receiver.url("/a")), channel("b", &receiver.url("/b"))].concat();
    let setup = Setup::new(&both).clock(Clock::manual(1_700_000_000_000));
    let host = setup.start().await;
    // What `a` has to do is put off: its receiver asks for a minute.
    receiver.reply(Reply::new(503, "").header("retry-after", "60"));
    host.app.pipeline().test("a").await.unwrap();
    host.until("the first attempt", |all| all.iter().all(|one| one.delivery.attempts == 1)).await;
    setup.write_config(&channel("b", &receiver.url("/b")));
    until("the removal", async || channels(&host) == ["b"]).await;
    setup.clock.advance(Duration::from_secs(61));
    assert_eq!(deliveries_of(&host, "1").await, 1, "nothing new goes to `a`");
    host.until("the delivery on `b`", |all| all.iter().any(|one| one.delivery.state == State::Delivered)).await;
    let pending = |all: &[herald::store::Listed]| {
        all.iter()
            .filter(|one| one.delivery.state == State::Pending)
            .map(|one| one.delivery.channel.clone())
            .collect::<Vec<_>>()
    };
    host.quiet().await;
    assert_eq!(pending(&host.deliveries().await), ["a"]);
    setup.write_config(&both);
    until("the return", async || channels(&host) == ["a", "b"]).await;
    let all = host.drain().await;
    assert!(all.iter().all(|one| one.delivery.state == State::Delivered), "{all:?}");
    let paths: Vec<_> = receiver.received().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/a", "/b", "/a"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_removed_in_the_middle_of_a_delivery_does_it_once() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&channel("a", &receiver.url("/a")));
    let host = setup.start().await;
    receiver.hold();
    assert_eq!(deliveries_of(&host, "1").await, 1);
    receiver.wait_for(1).await;
    setup.write_config("");
    until("the removal", async || channels(&host).is_empty()).await;
    setup.write_config(&channel("a", &receiver.url("/a")));
    until("the return", async || channels(&host) == ["a"]).await;
    // Another event on the channel that came back: its lane has looked for what is due.
    assert_eq!(deliveries_of(&host, "2").await, 1);
    let settled = host.until("the second delivery to begin", |_| receiver.received().len() >= 2);
    let (_, ()) = tokio::join!(settled, async {
        receiver.wait_for(2).await;
        receiver.release();
    });
    host.drain().await;
    let bodies: Vec<_> = receiver.received().iter().map(|one| one.json()["id"].clone()).collect();
    assert_eq!(bodies, [json!("1"), json!("2")], "nothing is doubled");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_changes_nothing_and_is_reported_until_it_is_mended() {
    let receiver = Receiver::start().await;
    let a = channel("a", &receiver.url("/a"));
    let setup = Setup::new(&a);
    let host = setup.start().await;
    let clean = json!({ "applied": true, "problems": [] });
    assert_eq!(host.get("/healthz").await.1["config"], clean);
    let mut last = clean.clone();
    let b = channel("b", &receiver.url("/b"));
    for (change, reason) in [
        // Each has a good part: a new channel. None of it may be used.
        (format!("{a}{b}[[route]]\nchannel = \"nobody\"\n"), "there is no channel `nobody`"),
        (format!("{a}{b}[[channel]\n"), "herald.toml:"),
        (
            format!("{b}{}", a.replace("[channel.settings]", "[channel.settings]\nmethod = \"GET\"")),
            "channel.a.settings.method",
        ),
        (
            format!("{a}{}", b.replace("url = ", "url = { env = \"HERALD_TEST_NOT_SET\" } #")),
            "HERALD_TEST_NOT_SET is not set",
        ),
    ] {
        setup.write_config(&change);
        last = health_after(&host, &last).await;
        assert_eq!(last["applied"], false, "{last}");
        assert!(last["problems"].to_string().contains(reason), "{reason:?} is not in {last}");
        assert_eq!(channels(&host), ["a"], "{reason}");
        assert_eq!(host.get("/readyz").await.0, 200, "it goes on");
        assert_eq!(deliveries_of(&host, reason).await, 1);
    }
    // A config file that is gone for a moment, as between two writes, is no change.
    fs::remove_file(setup.config()).unwrap();
    host.app.reload();
    assert_eq!(channels(&host), ["a"]);
    setup.write_config(&[a, b].concat());
    until("the mended config", async || channels(&host) == ["a", "b"]).await;
    until("a clean account", async || host.get("/healthz").await.1["config"] == clean).await;
    host.drain().await;
    assert_eq!(receiver.received().len(), 4, "every event, by the channel that stayed");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_files_new_value_is_used_when_the_config_is_read_again() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(
        &channel("a", &receiver.url("/a"))
            .replace("[[route]]", "headers = { authorization = { file = \"token\" } }\n[[route]]"),
    );
    let token = setup.folder.path().join("token");
    fs::write(&token, "old\n").unwrap();
    let host = setup.start().await;
    deliveries_of(&host, "1").await;
    assert_eq!(receiver.wait_for(1).await[0].header("authorization"), "old");
    fs::write(&token, "new\n").unwrap();
    host.app.reload();
    let used = || {
        let plan = host.app.pipeline().plan();
        plan.channels["a"].settings["headers"]["authorization"].clone()
    };
    until("the new value", async || used() == "new").await;
    deliveries_of(&host, "2").await;
    assert_eq!(receiver.wait_for(2).await[1].header("authorization"), "new");
    // An empty one is a problem, and the one before stays.
    fs::write(&token, "").unwrap();
    host.app.reload();
    let health = health_after(&host, &json!({ "applied": true, "problems": [] })).await;
    assert!(health["problems"][0].as_str().unwrap().contains("channel.a.settings.headers.authorization"), "{health}");
    deliveries_of(&host, "3").await;
    assert_eq!(receiver.wait_for(3).await[2].header("authorization"), "new");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_requests_may_go_changes_with_the_config() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&channel("a", &receiver.url("/a")));
    let host = setup.start().await;
    let config = fs::read_to_string(setup.config()).unwrap();
    let outbound = async |from: &str, to: &str| {
        let before = fs::read_to_string(setup.config()).unwrap();
        assert!(before.contains(from));
        fs::write(setup.config(), before.replace(from, to)).unwrap();
        // A channel of another name tells that the change has arrived.
        let name = format!("n{}", to.len());
        fs::write(setup.config(), fs::read_to_string(setup.config()).unwrap() + &channel(&name, "https://example.com"))
            .unwrap();
        until("the change", async || channels(&host).contains(&name)).await;
    };
    let tested = async || {
        let id = host.app.pipeline().test("a").await.unwrap().unwrap();
        let shown = host.get(&format!("/v1/deliveries/{id}?wait=30")).await.1;
        (shown["delivery"]["state"].clone(), shown["delivery"]["reason"].clone())
    };
    assert_eq!(tested().await, (json!("delivered"), Value::Null));
    outbound("allow_http = [\"127.0.0.1\"]", "allow_http = []").await;
    assert_eq!(tested().await, (json!("failed"), json!("blocked")), "plain http is not allowed any more");
    fs::write(setup.config(), &config).unwrap();
    until("the change back", async || channels(&host) == ["a"]).await;
    assert_eq!(tested().await, (json!("delivered"), Value::Null));
    outbound("allow_addresses = [\"127.0.0.0/8\"]", "allow_addresses = []").await;
    assert_eq!(tested().await, (json!("failed"), json!("blocked")), "loopback is not allowed any more");
    assert_eq!(receiver.received().len(), 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_changes_holds_for_the_next_attempt() {
    let receiver = Receiver::start().await;
    let a = channel("a", &receiver.url("/a"));
    let setup = Setup::new(&format!("[delivery]\nschedule = [\"30 days\"]\njitter = 0\n{a}"))
        .clock(Clock::manual(1_700_000_000_000));
    let host = setup.start().await;
    receiver.reply(Reply::new(500, ""));
    receiver.reply(Reply::new(500, ""));
    let first = |all: &[herald::store::Listed]| all.first().map(|one| (one.delivery.attempts, one.delivery.due_at));
    host.app.pipeline().test("a").await.unwrap();
    let all = host.until("the first attempt", |all| first(all).is_some_and(|(attempts, _)| attempts == 1)).await;
    assert_eq!(first(&all).unwrap().1, Some(1_700_000_000_000 + 30 * 86_400_000));
    setup.write_config(&format!("[delivery]\nschedule = [\"1s\", \"10s\"]\njitter = 0\n{a}"));
    let policy = || host.app.pipeline().plan().channels["a"].policy.schedule.len();
    until("the new schedule", async || policy() == 2).await;
    setup.clock.advance(Duration::from_hours(30 * 24));
    let all = host.until("the second attempt", |all| first(all).is_some_and(|(attempts, _)| attempts == 2)).await;
    assert_eq!(first(&all).unwrap().1, Some(setup.clock.now() + 10_000));
    host.stop().await;
}
