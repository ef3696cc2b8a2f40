//! An adapter of much code is compiled beside everything else: it holds up no start, no delivery and no other adapter.

use std::fs;

use crate::config_reload::until;
use crate::harness::{Receiver, Setup, TestHost, guests::Guest, within};

const CHANNELS: &str = "[[channel]]\nname = \"large\"\nadapter = \"large\"\n[[route]]\nchannel = \"large\"\n\
                        [[channel]]\nname = \"small\"\nadapter = \"small\"\n[[route]]\nchannel = \"small\"\n";

/// A host's setup with a cache of its own, and the file of an adapter that takes seconds to compile.
fn setup(receiver: &Receiver) -> (Setup, Vec<u8>) {
    let setup = Setup::new(CHANNELS);
    use_own_cache(&setup);
    let large = Guest { functions: 8_000, ..Guest::new("large", &receiver.url("/")) };
    (setup, large.component())
}

fn use_own_cache(setup: &Setup) {
    let own = setup.folder.path().join("cache");
    let text = fs::read_to_string(setup.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with("cache = ")).unwrap().to_owned();
    fs::write(setup.config(), text.replace(&line, &format!("cache = \"{}\"", own.display()))).unwrap();
}

fn put_small(setup: &Setup, receiver: &Receiver, version: &str) {
    let next = setup.folder.path().join("next");
    fs::write(&next, Guest::new(version, &receiver.url("/")).component()).unwrap();
    fs::rename(next, setup.adapters().join("small.wasm")).unwrap();
}

/// Whether it is still being compiled, as the API says.
async fn is_compiling(host: &TestHost) -> bool {
    let (_, answer) = host.get("/v1/adapters").await;
    answer["compiling"] == serde_json::json!(["large"])
}

async fn compiled(host: &TestHost) {
    let registry = host.app.pipeline().registry();
    let mut changes = registry.changes();
    let arrives = changes.wait_for(|_| registry.get("large").is_some());
    // A debug build on a busy machine.
    tokio::time::timeout(std::time::Duration::from_mins(4), arrives).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_of_much_code_holds_up_no_start_no_delivery_and_no_other_adapter() {
    let receiver = Receiver::start().await;
    let (setup, large) = setup(&receiver);
    fs::write(setup.adapters().join("large.wasm"), &large).unwrap();
    put_small(&setup, &receiver, "1");
    let host = setup.start().await;
    assert!(is_compiling(&host).await, "the start has waited for it, or it is too small for this test");
    let (ready, _) = host.get("/readyz").await;
    assert!(ready.is_success(), "{ready}");
    // Deliveries go on, and its own wait for it.
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    assert_eq!(receiver.wait_for(1).await[0].header("x-version"), "1");
    // So do reloads of other adapters.
    put_small(&setup, &receiver, "2");
    host.adapter_version("small", "2").await;
    // And changes of the config.
    setup.write_config(
        &CHANNELS.replace("name = \"small\"", "name = \"other\"").replace("channel = \"small\"", "channel = \"other\""),
    );
    until("the new config", async || host.app.pipeline().plan().channels.contains_key("other")).await;
    assert!(is_compiling(&host).await, "everything was over before it could be held up");
    compiled(&host).await;
    let all = receiver.wait_for(2).await;
    assert_eq!((all[1].text(), all[1].header("x-version")), ("first", "large"));
    assert!(!is_compiling(&host).await);
    host.drain().await;
    host.stop().await;
    use_own_cache(&setup);
    // The next start finds the machine code, and the adapter is there from the first moment.
    let host = setup.start().await;
    let adapter = host.app.pipeline().registry().get("large").expect("it is there at once");
    assert!(adapter.from_cache);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_serves_while_the_next_one_is_compiled_and_a_file_that_changes_meanwhile_is_taken_instead() {
    let receiver = Receiver::start().await;
    let (setup, large) = setup(&receiver);
    put_small(&setup, &receiver, "1");
    fs::write(setup.adapters().join("large.wasm"), Guest::new("before", &receiver.url("/")).component()).unwrap();
    let host = setup.start().await;
    let file = setup.adapters().join("large.wasm");
    let mut changes = host.app.pipeline().registry().changes();
    let published = || host.app.pipeline().registry().published();
    fs::write(&file, &large).unwrap();
    within("the compiling", changes.wait_for(|_| published().compiling.contains("large"))).await.unwrap();
    host.accepted(r#"{"type":"test","id":"meanwhile"}"#).await;
    let versions: Vec<_> = receiver.wait_for(2).await.iter().map(|got| got.header("x-version").to_owned()).collect();
    assert!(versions.contains(&"before".to_owned()), "{versions:?}");
    // What comes now is small, and does not wait for the other's end.
    fs::write(&file, Guest::new("after", &receiver.url("/")).component()).unwrap();
    host.adapter_version("large", "after").await;
    assert!(!published().compiling.contains("large"));
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_the_place_of_a_built_in_adapter_delivers_from_the_first_delivery_on() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n[[route]]\nchannel = \"hook\"\n");
    use_own_cache(&setup);
    let large = Guest { functions: 8_000, ..Guest::new("large", &receiver.url("/")) };
    fs::write(setup.adapters().join("webhook.wasm"), large.component()).unwrap();
    // The built-in adapter would refuse the channel, which has no URL, and the host would not start.
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    let registry = host.app.pipeline().registry();
    let mut changes = registry.changes();
    let arrives = changes.wait_for(|_| registry.get("webhook").is_some_and(|adapter| adapter.id.version == "large"));
    // A debug build on a busy machine.
    tokio::time::timeout(std::time::Duration::from_mins(4), arrives).await.unwrap().unwrap();
    let first = receiver.wait_for(1).await;
    assert_eq!((first[0].text(), first[0].header("x-version")), ("first", "large"));
    host.drain().await;
    host.stop().await;
}
