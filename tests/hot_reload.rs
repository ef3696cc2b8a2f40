//! Adapters come, change and go while the host runs; what is bad never displaces what is good.

use std::{collections::BTreeMap, fs, path::Path};

use crate::harness::{
    Receiver, Setup, TestHost,
    guests::{Act, Guest, of_another_world},
    within,
};

/// A channel of the type `guest`, with a route for everything.
const GUEST: &str = "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[channel.settings]\nsize = 3\n\
                     [[route]]\nchannel = \"c\"\n";

struct Bench {
    setup: Setup,
    receiver: Receiver,
    host: TestHost,
}

/// A host that serves version 1 of a guest.
async fn bench() -> Bench {
    let receiver = Receiver::start().await;
    let setup = Setup::new(GUEST);
    put(&setup, "guest.wasm", &Guest::new("1", &receiver.url("/")).component());
    let host = setup.start().await;
    Bench { setup, receiver, host }
}

impl Bench {
    fn guest(&self, version: &str) -> Guest {
        Guest::new(version, &self.receiver.url("/"))
    }

    /// Puts a file in the place of the good one and returns why it is refused; version 1 goes on.
    async fn refused(&self, bytes: &[u8]) -> String {
        put(&self.setup, "guest.wasm", bytes);
        let reason = self.host.refusal("guest").await;
        assert_eq!(self.delivered_by("still").await, "1", "the good version goes on");
        let shown = self.host.adapter("refused", "guest").await.unwrap();
        assert_eq!(shown["message"], reason, "the API shows the reason");
        reason
    }

    /// Posts an event and tells the version that delivered it.
    async fn delivered_by(&self, id: &str) -> String {
        let before = self.receiver.received().len();
        self.host.accepted(format!(r#"{{"type":"test","id":"{id}-{before}"}}"#)).await;
        self.receiver.wait_for(before + 1).await[before].header("x-version").to_owned()
    }
}

/// By rename: whole or not at all.
fn put(setup: &Setup, name: &str, bytes: &[u8]) {
    let next = setup.folder.path().join("next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, setup.adapters().join(name)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_copied_into_the_folder_is_a_channel_type_without_a_restart() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(GUEST);
    let host = setup.start().await;
    // The channel's adapter is not there yet: what comes meanwhile waits for it.
    host.accepted(r#"{"type":"test","id":"early"}"#).await;
    fs::write(setup.adapters().join("guest.wasm"), Guest::new("1", &receiver.url("/")).component()).unwrap();
    let received = receiver.wait_for(1).await;
    assert_eq!((received[0].text(), received[0].header("x-version")), ("early", "1"));
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_serves_the_next_delivery() {
    let bench = bench().await;
    assert_eq!(bench.delivered_by("a").await, "1");
    // In place, as `cp` writes.
    fs::write(bench.setup.adapters().join("guest.wasm"), bench.guest("2").component()).unwrap();
    bench.host.adapter_version("guest", "2").await;
    assert_eq!(bench.delivered_by("b").await, "2");
    // By rename, as editors write.
    put(&bench.setup, "guest.wasm", &bench.guest("3").component());
    bench.host.adapter_version("guest", "3").await;
    assert_eq!(bench.delivered_by("c").await, "3");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replacing_an_adapter_under_load_loses_nothing_and_doubles_nothing() {
    const EVENTS: usize = 600;
    let bench = bench().await;
    let mut every_5_ms = tokio::time::interval(std::time::Duration::from_millis(5));
    for number in 0..EVENTS {
        every_5_ms.tick().await;
        bench.host.accepted(format!(r#"{{"type":"test","id":"e{number}"}}"#)).await;
        if number % 150 == 75 {
            let version = (number / 150 + 2).to_string();
            fs::write(bench.setup.adapters().join("guest.wasm"), bench.guest(&version).component()).unwrap();
        }
    }
    bench.host.adapter_version("guest", "5").await;
    let deliveries = bench.host.drain().await;
    assert_eq!(deliveries.len(), EVENTS);
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for received in bench.receiver.received() {
        versions.entry(received.text().to_owned()).or_default().push(received.header("x-version").to_owned());
    }
    assert_eq!(versions.len(), EVENTS, "nothing is lost");
    assert!(versions.values().all(|by| by.len() == 1), "nothing is doubled");
    // The version that the log names is the one that sent it.
    for listed in &deliveries {
        let adapter = listed.last_attempt.as_ref().unwrap().adapter.as_ref().unwrap();
        assert_eq!(versions[&listed.delivery.event], std::slice::from_ref(&adapter.version));
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_takes_its_channel_type_away_and_deliveries_wait_for_it() {
    let bench = bench().await;
    assert_eq!(bench.delivered_by("a").await, "1");
    fs::remove_file(bench.setup.adapters().join("guest.wasm")).unwrap();
    let registry = bench.host.app.pipeline().registry();
    let mut changes = registry.changes();
    within("the removal", changes.wait_for(|_| registry.get("guest").is_none())).await.unwrap();
    bench.host.accepted(r#"{"type":"test","id":"waits"}"#).await;
    put(&bench.setup, "guest.wasm", &bench.guest("2").component());
    let received = bench.receiver.wait_for(2).await;
    assert_eq!((received[1].text(), received[1].header("x-version")), ("waits", "2"));
    bench.host.drain().await;
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_copy_is_refused_while_the_old_one_serves() {
    let bench = bench().await;
    let whole = bench.guest("2").component();
    // In the middle of the core module: half of the file may be where a section ends, and good.
    let reason = bench.refused(&whole[..whole.len() / 4]).await;
    assert!(reason.contains("not a valid component"), "{reason}");
    // The rest of it arrives.
    put(&bench.setup, "guest.wasm", &whole);
    bench.host.adapter_version("guest", "2").await;
    assert!(bench.host.adapter("refused", "guest").await.is_none(), "the refusal is over");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_adapter_is_refused_with_a_sentence_that_says_why() {
    let bench = bench().await;
    let core = wat::parse_str("(module)").unwrap();
    let empty_world = of_another_world("package a:b; world w {}", "w", "(module)");
    let other_version = of_another_world(
        "package herald:channel@0.9.0; interface adapter { f: func(); } world w { export adapter; }",
        "w",
        r#"(module (func (export "herald:channel/adapter@0.9.0#f")))"#,
    );
    let other_types = of_another_world(
        "package herald:channel@0.1.0; interface adapter { describe: func(); render: func(); } world w { export adapter; }",
        "w",
        r#"(module (func (export "herald:channel/adapter@0.1.0#describe")) (func (export "herald:channel/adapter@0.1.0#render")))"#,
    );
    let sockets = of_another_world(
        "package wasi:sockets@0.2.0; interface network { f: func(); } world w { import network; }",
        "w",
        r#"(module (import "wasi:sockets/network@0.2.0" "f" (func)) (func (export "run") (call 0)))"#,
    );
    for (bytes, expected) in [
        (b"#!/bin/sh".to_vec(), "not a WebAssembly component"),
        (Vec::new(), "the file is empty"),
        (core, "a core WebAssembly module, not a component"),
        (empty_world, "does not export herald:channel/adapter@0.1.0"),
        (other_version, "exports herald:channel/adapter@0.9.0; this host speaks 0.1: rebuild it with the wit/"),
        (other_types, "its exports do not have the types of the contract"),
        (
            sockets,
            "imports wasi:sockets/network@0.2.0; wasi:sockets is not available to adapters: return a request instead",
        ),
    ] {
        let mut changes = bench.host.app.pipeline().registry().changes();
        changes.borrow_and_update();
        put(&bench.setup, "guest.wasm", &bytes);
        within(expected, changes.changed()).await.unwrap();
        let reason = bench.host.refusal("guest").await;
        assert!(reason.contains(expected), "{expected}: {reason}");
        assert_eq!(bench.delivered_by("still").await, "1");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_traps_or_spins_in_describe_is_refused() {
    let bench = bench().await;
    let trap = Guest { describe: Act::Trap, ..bench.guest("2") };
    let reason = bench.refused(&trap.component()).await;
    assert!(reason.contains("`describe` trapped"), "{reason}");
    let spin = Guest { describe: Act::Spin, ..bench.guest("3") };
    let mut changes = bench.host.app.pipeline().registry().changes();
    changes.borrow_and_update();
    put(&bench.setup, "guest.wasm", &spin.component());
    within("the refusal of a spinning guest", changes.changed()).await.unwrap();
    let reason = bench.host.refusal("guest").await;
    assert!(reason.contains("ran longer than its limit of 1s"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_a_live_channel_fails_is_refused_until_the_channel_fits() {
    let bench = bench().await;
    let picky =
        Guest { schema: r#"{"type":"object","properties":{"size":{"type":"string"}}}"#.to_owned(), ..bench.guest("2") };
    let reason = bench.refused(&picky.component()).await;
    assert!(reason.contains("channel `c` would not work with version 2: settings/size: "), "{reason}");
    bench.setup.write_config(&GUEST.replace("size = 3", "size = \"three\""));
    bench.host.adapter_version("guest", "2").await;
    assert_eq!(bench.delivered_by("b").await, "2");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_example_beside_the_file_must_come_true_before_it_is_published() {
    let bench = bench().await;
    let case = bench.setup.adapters().join("guest.cases/posts-the-id");
    fs::create_dir_all(&case).unwrap();
    let event = r#"{"id":"e1","type":"test","title":"t","body":"","occurred_at":0,"data":{}}"#;
    fs::write(case.join("event.json"), event).unwrap();
    fs::write(case.join("settings.json"), "{}").unwrap();
    let request = serde_json::json!({
        "method": "POST", "url": bench.receiver.url("/"), "headers": [["x-version", "3"]], "body": {"text": "e1"},
    });
    fs::write(case.join("request.json"), request.to_string()).unwrap();
    let reason = bench.refused(&bench.guest("2").component()).await;
    assert!(reason.contains("example `posts-the-id`: request/headers/0/1:\n  expected \"3\""), "{reason}");
    put(&bench.setup, "guest.wasm", &bench.guest("3").component());
    bench.host.adapter_version("guest", "3").await;
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_replaces_nothing() {
    let bench = bench().await;
    let path = bench.setup.adapters().join("guest.wasm");
    // Works for root, too: a folder is no file.
    let link = bench.setup.folder.path().join("link");
    std::os::unix::fs::symlink(bench.setup.folder.path(), &link).unwrap();
    fs::rename(link, path).unwrap();
    let reason = bench.host.refusal("guest").await;
    assert!(reason.contains("directory"), "{reason}");
    assert_eq!(bench.delivered_by("still").await, "1");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_folder_takes_the_place_of_a_built_in_one_until_it_is_removed() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("");
    let host = setup.start().await;
    let built_in = host.adapter("adapters", "slack").await.unwrap();
    assert_eq!(built_in["origin"], "built-in");
    put(&setup, "slack.wasm", &Guest::new("99", &receiver.url("/")).component());
    host.adapter_version("slack", "99").await;
    fs::remove_file(setup.adapters().join("slack.wasm")).unwrap();
    host.adapter_version("slack", built_in["version"].as_str().unwrap()).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_version_serves_after_a_restart_with_a_broken_file() {
    let bench = bench().await;
    assert_eq!(bench.delivered_by("a").await, "1");
    bench.host.stop().await;
    fs::write(bench.setup.adapters().join("guest.wasm"), b"broken").unwrap();
    let host = bench.setup.start().await;
    let adapter = host.adapter("adapters", "guest").await.unwrap();
    assert_eq!(adapter["version"], "1");
    assert!(adapter["origin"]["last-good"].is_string(), "{adapter}");
    assert!(host.adapter("refused", "guest").await.is_some());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_made_anew_is_watched_again() {
    let bench = bench().await;
    let folder = bench.setup.adapters();
    fs::rename(&folder, bench.setup.folder.path().join("old")).unwrap();
    fs::create_dir(&folder).unwrap();
    put(&bench.setup, "guest.wasm", &bench.guest("2").component());
    bench.host.adapter_version("guest", "2").await;
    put(&bench.setup, "guest.wasm", &bench.guest("3").component());
    bench.host.adapter_version("guest", "3").await;
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_and_foreign_files_are_left_alone() {
    let setup = Setup::new("");
    for name in [".guest.wasm.swp", ".half.wasm", "notes.txt", "precompiled.cwasm", "bad name.wasm"] {
        fs::write(setup.adapters().join(name), "junk").unwrap();
    }
    let host = setup.start().await;
    assert_eq!(host.get("/v1/adapters").await.1["refused"], serde_json::json!([]));
    assert!(Path::new(&setup.adapters()).exists());
    host.stop().await;
}
