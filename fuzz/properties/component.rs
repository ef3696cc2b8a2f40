//! Files in the adapters folder: each is loaded, or refused with the step and the reason, within its limits.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use herald::adapter::{Limits, Options, Origin, Registry};

/// As small as they may be, so that an input takes little time.
static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let limits = Limits { time: Duration::from_millis(100), memory: 4 << 20, functions: 1000, ..Limits::default() };
    // What is built in is larger than that, and not meant.
    let limits_of = ["slack", "webhook", "board"].map(|name| (name.to_owned(), Limits::default())).into();
    Registry::open(Options { limits, limits_of, ..Options::default() }, Vec::new()).expect("an engine")
});

/// Compiles the built-in adapters, so that the first input is not timed with that.
pub fn prepare() {
    LazyLock::force(&REGISTRY);
}

/// Panics when the property does not hold.
pub fn check(bytes: &[u8]) {
    if let Err(refused) = REGISTRY.load("fuzzed", bytes, Origin::File(PathBuf::from("fuzzed.wasm"))) {
        assert!(!refused.step.is_empty() && !refused.message.is_empty(), "refused without a reason");
    }
}
