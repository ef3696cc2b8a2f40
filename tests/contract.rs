//! What was built against the first contract keeps working, and there is one contract.

use std::{fs, path::Path};

use herald::adapter::{Options, Origin, Registry};
use serde_json::json;

use crate::harness::{Receiver, SAMPLE, Setup, process::Program};

/// Built against `herald:channel@0.1.0` as it was first: never built again.
const FIRST: &[u8] = include_bytes!("fixtures/contract-0.1.0.wasm");

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_was_built_against_the_first_contract_renders_and_delivers() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&format!(
        "[[channel]]\nname = \"c\"\nadapter = \"first\"\nsettings = {{ url = \"{}\", key = \"k-1\" }}\n\
         [[route]]\nchannel = \"c\"\n",
        receiver.url("/board")
    ));
    let file = setup.adapters().join("first.wasm");
    fs::write(&file, FIRST).unwrap();
    fs::write(setup.folder.path().join("event.json"), SAMPLE).unwrap();
    let settings = r#"{"url": "https://board.example/", "key": "k-1"}"#;
    let program = Program::new(setup.folder.path());
    let rendered =
        program.json(&["render", "adapters/first.wasm", "--settings", settings, "--event", "event.json"]).await;
    assert_eq!(rendered["headers"][1], json!(["x-board-key", "[secret /key]"]), "{rendered}");
    let host = setup.start().await;
    host.accepted(SAMPLE).await;
    host.drain().await;
    let received = receiver.received();
    assert_eq!((received.len(), received[0].header("x-board-key")), (1, "k-1"));
    assert_eq!(received[0].json(), rendered["body"]["json"]);
    host.stop().await;
}

#[test]
fn the_fixture_is_of_the_first_contract() {
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    let adapter = registry.load("first", FIRST, Origin::File("first.wasm".into())).unwrap();
    assert_eq!(adapter.exports_named, ["herald:channel/adapter@0.1.0"]);
}

#[test]
fn the_contract_in_every_template_is_the_one_contract() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("wit/channel.wit")).unwrap();
    let mut seen = 0;
    for template in fs::read_dir(root.join("examples/adapters")).unwrap() {
        let folder = template.unwrap().path().join("wit");
        if !folder.is_dir() {
            continue;
        }
        let copy = fs::read_to_string(folder.join("channel.wit")).unwrap();
        assert!(copy == contract, "{} is not wit/channel.wit: copy that there", folder.display());
        seen += 1;
    }
    assert!(seen > 0);
}
