//! A host in this process, a receiver that does what it is told, and guests made to order.

// The benches use a part of it.
#![allow(dead_code, unused_imports)]

pub mod guests;
mod host;
pub mod hostile;
pub mod process;
mod receiver;
pub mod tls;

use std::{future::Future, time::Duration};

pub use host::{Setup, TestHost, http, seconds};
pub use receiver::{Receiver, Reply};

/// Nothing in a test takes that long unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The event of the issue and the README, as it is posted.
pub const SAMPLE: &str = include_str!("../../examples/events/execution_completed.json");

/// Waits for something, and says what it was when it does not come.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let Ok(value) = tokio::time::timeout(DEADLINE, future).await else {
        panic!("waited {DEADLINE:?} in vain for: {what}");
    };
    value
}
