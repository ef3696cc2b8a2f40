//! What the built-in adapters make of events and answers: the same cases natively and through the component.

use std::path::{Path, PathBuf};

use herald::adapter::{Options, Registry, golden};
use herald_adapter_slack::Slack;
use herald_adapter_webhook::Webhook;

fn cases(adapter: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters").join(adapter).join("cases")
}

/// Runs all cases of a built-in adapter in the sandbox, and tells every one that fails.
fn through_the_component(name: &str) {
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    let adapter = registry.get(name).unwrap();
    let cases = golden::read(&cases(name)).unwrap();
    assert!(cases.len() >= 15, "only {} cases", cases.len());
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| case.run(&adapter).err().map(|differences| format!("{}:\n{differences}", case.name)))
        .collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert!(!adapter.grows_memory(), "a call that grows the guest's memory costs speed; see the SDK's arena");
}

#[test]
fn slack_renders_and_reads_answers_as_its_golden_cases_say() {
    herald_adapter_golden::check::<Slack>(cases("slack"));
}

#[test]
fn slack_does_so_through_the_component() {
    through_the_component("slack");
}

#[test]
fn webhook_renders_as_its_golden_cases_say() {
    herald_adapter_golden::check::<Webhook>(cases("webhook"));
}

#[test]
fn webhook_does_so_through_the_component() {
    through_the_component("webhook");
}
