//! The clock that a script sees: it stands at the moment that the host has named for the call.

use std::cell::Cell;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// Sets it, in milliseconds since the Unix epoch.
pub fn set(now: u64) {
    NOW.set(now);
}

/// What QuickJS asks, in microseconds.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn __rquickjs_host_now_us() -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 2255")]
    let micros = NOW.get().saturating_mul(1000) as f64;
    micros
}
