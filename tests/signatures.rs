//! Files of adapters that somebody must have signed.

use std::{fs, io::Cursor, path::PathBuf};

use herald::{adapter::digest, app, config::Sources};
use minisign::KeyPair;

use crate::harness::{Receiver, Setup, TestHost, guests::Guest, within};

const CHANNEL: &str =
    "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\nevents = [\"test\"]\n";

fn key() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().unwrap()
}

/// What `minisign -S -t COMMENT` writes.
fn sign_with(key: &KeyPair, bytes: &[u8], comment: &str) -> String {
    minisign::sign(None, &key.sk, Cursor::new(bytes), Some(comment), None).unwrap().into_string()
}

fn sign(key: &KeyPair, bytes: &[u8]) -> String {
    sign_with(key, bytes, "of a test")
}

/// A config that wants signatures by one of these. The section `adapters` is open at the end of what the harness writes
/// before, so that this has to come in the middle.
fn setup(keys: &[&KeyPair]) -> Setup {
    let setup = Setup::new(CHANNEL);
    want(&setup, keys);
    setup
}

fn want(setup: &Setup, keys: &[&KeyPair]) {
    let keys: Vec<String> = keys.iter().map(|key| key.pk.to_base64()).collect();
    let text = fs::read_to_string(setup.config()).unwrap();
    let wanted = format!("folder = \"adapters\"\nsigned_by = {keys:?}\n");
    fs::write(setup.config(), text.replacen("folder = \"adapters\"\n", &wanted, 1)).unwrap();
}

fn signature(setup: &Setup) -> PathBuf {
    setup.adapters().join("guest.wasm.minisig")
}

/// By rename: whole or not at all.
fn put(setup: &Setup, name: &str, bytes: impl AsRef<[u8]>) {
    let next = setup.folder.path().join("next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, setup.adapters().join(name)).unwrap();
}

/// Waits until the guest is refused in these words.
async fn refused(host: &TestHost, words: &str) {
    let registry = host.app.pipeline().registry();
    let reason = || registry.published().refused.get("guest").map(|refused| refused.error.to_string());
    let mut changes = registry.changes();
    let arrives = changes.wait_for(|_| reason().is_some_and(|reason| reason.contains(words)));
    within(&format!("a refusal with `{words}`, not {:?}", reason()), arrives).await.unwrap();
    assert_eq!(host.adapter("refused", "guest").await.unwrap()["step"], "signature");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_without_a_good_signature_is_not_loaded_and_the_version_that_works_goes_on() {
    let receiver = Receiver::start().await;
    let [first, second] = ["1", "2"].map(|version| Guest::new(version, &receiver.url("/")).component());
    let (ours, another, theirs) = (key(), key(), key());
    let setup = setup(&[&another, &ours]);
    put(&setup, "guest.wasm", &first);
    put(&setup, "guest.wasm.minisig", sign(&ours, &first));
    let host = setup.start().await;
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "1");
    // The signature that lies there is the first one's.
    put(&setup, "guest.wasm", &second);
    refused(&host, "is not of this content").await;
    let good = sign(&ours, &second);
    let of_old = good.replacen("\nRU", "\nRW", 1);
    for (bad, words) in [
        (sign(&theirs, &second), "is by none of the 2 keys of adapters.signed_by"),
        ("junk".to_owned(), "is damaged, or none of minisign's"),
        (String::new(), "is damaged, or none of minisign's"),
        (good.replace("of a test", "of a guest"), "is not of this content"),
        (good.chars().take(60).collect(), "is damaged, or none of minisign's"),
        (of_old, "is of the kind of old: make it again"),
    ] {
        put(&setup, "guest.wasm.minisig", bad);
        refused(&host, words).await;
    }
    fs::remove_file(signature(&setup)).unwrap();
    refused(&host, "it is not signed: adapters.signed_by wants guest.wasm.minisig beside it").await;
    host.accepted(r#"{"type":"test"}"#).await;
    assert_eq!(receiver.wait_for(1).await[0].header("x-version"), "1");
    // It may come after the file.
    put(&setup, "guest.wasm.minisig", &good);
    host.adapter_version("guest", "2").await;
    assert!(host.adapter("refused", "guest").await.is_none());
    // What is built in needs none.
    assert!(host.adapter("adapters", "webhook").await.is_some());
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_signed_under_another_name_does_not_take_this_ones_place() {
    let receiver = Receiver::start().await;
    let [first, other] = ["1", "other"].map(|version| Guest::new(version, &receiver.url("/")).component());
    let ours = key();
    let setup = setup(&[&ours]);
    // As minisign does it by itself.
    let comment = |name: &str| format!("timestamp:1795824000\tfile:{name}\thashed");
    put(&setup, "guest.wasm", &first);
    put(&setup, "guest.wasm.minisig", sign_with(&ours, &first, &comment("guest.wasm")));
    let host = setup.start().await;
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "1");
    put(&setup, "guest.wasm.minisig", sign_with(&ours, &other, &comment("other.wasm")));
    put(&setup, "guest.wasm", &other);
    refused(&host, "is for a file of another name, other.wasm: put the right file there").await;
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "1");
    host.stop().await;
    // The copy of the good version is held to the name that it has in the folder.
    let host = setup.start().await;
    let adapter = host.adapter("adapters", "guest").await.unwrap();
    assert!(adapter["version"] == "1" && adapter["origin"]["last-good"].is_string(), "{adapter}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_version_needs_its_signature_too() {
    let receiver = Receiver::start().await;
    let first = Guest::new("1", &receiver.url("/")).component();
    let (ours, others) = (key(), key());
    let setup = setup(&[&ours]);
    put(&setup, "guest.wasm", &first);
    put(&setup, "guest.wasm.minisig", sign(&ours, &first));
    setup.start().await.stop().await;
    // Its signature is kept with it …
    put(&setup, "guest.wasm", "broken");
    let host = setup.start().await;
    let adapter = host.adapter("adapters", "guest").await.unwrap();
    assert!(adapter["digest"] == digest(&first) && adapter["origin"]["last-good"].is_string(), "{adapter}");
    host.stop().await;
    // … and helps nobody whose key is not wanted any more.
    setup.write_config(CHANNEL);
    want(&setup, &[&others]);
    let host = setup.start().await;
    assert!(host.adapter("adapters", "guest").await.is_none());
    host.stop().await;
}

#[test]
fn check_tells_of_a_file_that_is_not_signed() {
    let setup = setup(&[&key()]);
    put(&setup, "guest.wasm", Guest::new("1", "http://127.0.0.1/").component());
    let file = Some(setup.config());
    let sources = Sources { file, env: Vec::new(), flags: Vec::new(), variable: &|_| None };
    let problems = match app::check(&sources) {
        Ok((problems, _)) => problems.to_string(),
        Err(error) => error.to_string(),
    };
    assert!(
        problems.contains("adapters.guest: it is not signed: adapters.signed_by wants guest.wasm.minisig"),
        "{problems}"
    );
}
