//! The golden cases, on the native build.

#[test]
fn cases() {
    herald_adapter_golden::check::<herald_adapter_slack::Slack>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
