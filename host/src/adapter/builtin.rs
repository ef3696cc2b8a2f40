//! The adapters that are compiled in, so that nobody needs a guest toolchain to start.

/// A name and a component.
pub(super) type BuiltIn = (&'static str, &'static [u8]);

/// The channel types that every host has.
pub(super) const ALL: [BuiltIn; 2] = [
    ("slack", include_bytes!("../../../adapters/prebuilt/slack.wasm")),
    ("webhook", include_bytes!("../../../adapters/prebuilt/webhook.wasm")),
];

/// Two versions of one small adapter, for `herald demo` to change before the user's eyes.
pub const BOARD: [&[u8]; 2] = [
    include_bytes!("../../../adapters/prebuilt/board-1.0.0.wasm"),
    include_bytes!("../../../adapters/prebuilt/board-1.1.0.wasm"),
];

/// The engines of adapters that are a file of text: JavaScript, and templates in TOML.
pub(super) const SCRIPT_ENGINE: &[u8] = include_bytes!("../../../adapters/prebuilt/script.wasm");
/// See [`SCRIPT_ENGINE`].
pub(super) const TEMPLATE_ENGINE: &[u8] = include_bytes!("../../../adapters/prebuilt/template.wasm");
