//! How long the call on this thread has waited in the host: a processor has nothing to do with that, and it is the call's own
//! doing all the same.

use std::{cell::Cell, time::Duration};

thread_local! {
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The call on this thread has waited for so long.
pub(super) fn note(waited: Duration) {
    WAITED.set(WAITED.get().saturating_add(waited));
}

/// What has been noted on this thread since the last time.
pub(super) fn take() -> Duration {
    WAITED.take()
}
