//! The golden cases, on the native build, and the schema of the settings.

#[test]
fn cases() {
    herald_adapter_golden::check::<herald_adapter_board::Board>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}

#[test]
fn schema() {
    herald_channel::schema::check::<herald_adapter_board::Board>(env!("CARGO_MANIFEST_DIR"));
}
