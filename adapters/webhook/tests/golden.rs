//! The golden cases, on the native build.

#[test]
fn cases() {
    herald_adapter_golden::check::<herald_adapter_webhook::Webhook>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}
