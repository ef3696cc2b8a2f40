//! What a new version of an adapter brings with it: what the one before has failed is tried again.

use std::fs;

use herald::model::{FailReason, State};

use crate::harness::{
    Receiver, Setup, TestHost,
    guests::{Act, Guest},
};

/// A result that says: this event can't be said here.
const REFUSES: Act = Act::Do(
    "(i32.store (global.get $rendered) (i32.const 1)) (i32.store offset=4 (global.get $rendered) (i32.const 1)) \
     (i32.store offset=12 (global.get $rendered) (i32.const 0)) (global.get $rendered) return",
);

fn channel(name: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"{name}\"\n[[route]]\nchannel = \"{name}\"\nevents = [\"test\"]\n"
    )
}

/// By rename: whole or not at all.
fn put(setup: &Setup, name: &str, guest: &Guest) {
    let next = setup.folder.path().join("next");
    fs::write(&next, guest.component()).unwrap();
    fs::rename(next, setup.adapters().join(format!("{name}.wasm"))).unwrap();
}

/// Waits until what is on the channel has had so many attempts and has failed as `adapter`.
async fn failed(host: &TestHost, channel: &str, attempts: u32) {
    host.until("a failure", |all| {
        let of_channel = all.iter().map(|listed| &listed.delivery).filter(|delivery| delivery.channel == channel);
        let ends: Vec<_> = of_channel.map(|delivery| (delivery.attempts, delivery.reason)).collect();
        !ends.is_empty() && ends.iter().all(|end| *end == (attempts, Some(FailReason::Adapter)))
    })
    .await;
}

async fn jobs(host: &TestHost) -> Vec<serde_json::Value> {
    host.get("/v1/jobs").await.1["jobs"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_version_failed_is_delivered_when_a_good_one_arrives() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let good = Guest::new("9", &url);
    let setup = Setup::new(&(channel("traps") + &channel("refuses")));
    put(&setup, "refuses", &Guest { render: REFUSES, ..Guest::new("1", &url) });
    put(&setup, "traps", &Guest { render: Act::Trap, ..Guest::new("1", &url) });
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"waits"}"#).await;
    failed(&host, "traps", 1).await;
    failed(&host, "refuses", 1).await;
    // Each version tries it once: one that is as bad changes nothing.
    put(&setup, "traps", &Guest { render: Act::Trap, ..Guest::new("2", &url) });
    failed(&host, "traps", 2).await;
    put(&setup, "refuses", &good);
    host.adapter_version("refuses", "9").await;
    put(&setup, "traps", &good);
    let received = receiver.wait_for(1).await;
    assert_eq!((received[0].text(), received[0].header("x-version")), ("waits", "9"));
    let all = host.drain().await;
    let of = |name: &str| all.iter().map(|listed| &listed.delivery).find(|delivery| delivery.channel == name).unwrap();
    assert_eq!((of("traps").state, of("traps").attempts), (State::Delivered, 3));
    // A judgement is no failure: what the adapter refused stays refused.
    assert_eq!((of("refuses").state, of("refuses").attempts), (State::Failed, 1));
    let jobs = jobs(&host).await;
    assert!(jobs.len() == 2 && jobs.iter().all(|job| job["selection"]["channel"] == "traps"), "{jobs:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_came_while_the_host_was_down_tries_what_the_one_before_failed() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let setup = Setup::new(&channel("traps"));
    put(&setup, "traps", &Guest { render: Act::Trap, ..Guest::new("1", &url) });
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"waits"}"#).await;
    failed(&host, "traps", 1).await;
    host.stop().await;
    // The same version is no news.
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"another"}"#).await;
    failed(&host, "traps", 1).await;
    host.stop().await;
    put(&setup, "traps", &Guest::new("2", &url));
    let host = setup.start().await;
    receiver.wait_for(2).await;
    let all = host.drain().await;
    assert!(all.iter().all(|listed| listed.delivery.attempts == 2), "{all:?}");
    host.stop().await;
}

/// Version 1 has delivered; version 2, which traps, is there now, and three events were posted.
async fn with_a_trapping_version(setup: &Setup, receiver: &Receiver) -> TestHost {
    put(setup, "guest", &Guest::new("1", &receiver.url("/")));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    receiver.wait_for(1).await;
    put(setup, "guest", &Guest { render: Act::Trap, ..Guest::new("2", &receiver.url("/")) });
    host.adapter_version("guest", "2").await;
    post(&host, ["a", "b", "c"]).await;
    host
}

async fn post(host: &TestHost, ids: [&str; 3]) {
    for id in ids {
        host.accepted(format!(r#"{{"type":"test","id":"{id}"}}"#)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_its_first_calls_gives_its_place_back_and_what_it_failed_is_delivered() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&channel("guest"));
    let host = with_a_trapping_version(&setup, &receiver).await;
    let reason = host.refusal("guest").await;
    assert!(reason.starts_with("3 of its first 3 calls failed; the last one: `render` trapped"), "{reason}");
    assert!(reason.contains("; version 1 (sha256:"), "{reason}");
    receiver.wait_for(4).await;
    assert!(receiver.received().iter().all(|request| request.header("x-version") == "1"));
    host.drain().await;
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "1");
    let refused = host.adapter("refused", "guest").await.unwrap();
    assert_eq!((&refused["step"], &refused["message"]), (&"calls".into(), &reason.into()));
    // Another file gets its chance.
    put(&setup, "guest", &Guest::new("3", &receiver.url("/")));
    host.adapter_version("guest", "3").await;
    assert!(host.adapter("refused", "guest").await.is_none());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_rolled_back_to_the_one_before_it_that_worked_though_that_was_new_itself() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&channel("guest"));
    let version = |version: &str, render| Guest { render, ..Guest::new(version, &receiver.url("/")) };
    put(&setup, "guest", &version("1", Act::Trap));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    failed(&host, "guest", 1).await;
    put(&setup, "guest", &Guest::new("2", &receiver.url("/")));
    host.adapter_version("guest", "2").await;
    post(&host, ["a", "b", "c"]).await;
    receiver.wait_for(4).await;
    put(&setup, "guest", &version("3", Act::Trap));
    host.adapter_version("guest", "3").await;
    post(&host, ["d", "e", "f"]).await;
    host.adapter_version("guest", "2").await;
    let received = receiver.wait_for(7).await;
    assert!(received.iter().all(|one| one.header("x-version") == "2"));
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_version_that_is_still_there_at_a_start_gives_its_place_back_again() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&channel("guest"));
    let host = with_a_trapping_version(&setup, &receiver).await;
    receiver.wait_for(4).await;
    host.drain().await;
    host.stop().await;
    let host = setup.start().await;
    // Nothing of the start before is known but the last version that has proven itself.
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "2");
    post(&host, ["d", "e", "f"]).await;
    let received = receiver.wait_for(7).await;
    assert!(received.iter().all(|request| request.header("x-version") == "1"));
    let adapter = host.adapter("adapters", "guest").await.unwrap();
    assert!(adapter["version"] == "1" && adapter["origin"]["last-good"].is_string(), "{adapter}");
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_fails_in_the_place_of_a_built_in_adapter_gives_it_back() {
    let setup = Setup::new(
        "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://127.0.0.1:1\"\n\
         [[route]]\nchannel = \"c\"\nevents = [\"test\"]\n",
    );
    put(&setup, "webhook", &Guest { render: Act::Trap, ..Guest::new("0", "") });
    let host = setup.start().await;
    host.adapter_version("webhook", "0").await;
    post(&host, ["a", "b", "c"]).await;
    host.refusal("webhook").await;
    assert_eq!(host.adapter("adapters", "webhook").await.unwrap()["origin"], "built-in");
    host.stop().await;
}
