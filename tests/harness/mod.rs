//! A host in this process or as a program, a receiver that does what it is told, guests made to order, and faults.

// The benches use a part of it.
#![allow(dead_code, unused_imports)]

mod closed;
mod dice;
// `LD_PRELOAD` and /proc are Linux's.
#[cfg(target_os = "linux")]
pub mod faults;
pub mod guests;
mod host;
pub mod hostile;
pub mod hostile_guests;
pub mod ledger;
#[cfg(target_os = "linux")]
pub mod preload;
pub mod process;
pub mod proxy;
mod receiver;
pub mod tls;

use std::{future::Future, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub use closed::Closed;
pub use dice::{Dice, rounds};
pub use host::{Setup, TestHost, http, seconds, shared_cache};
pub use receiver::{Received, Receiver, Reply};

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

/// All that is answered to these bytes, until the host closes the connection.
pub async fn raw(address: SocketAddr, said: &str) -> String {
    let mut stream = within("a connection", TcpStream::connect(address)).await.unwrap();
    within("the request to be taken", stream.write_all(said.as_bytes())).await.unwrap();
    let mut heard = Vec::new();
    within("the end of the connection", stream.read_to_end(&mut heard)).await.unwrap();
    String::from_utf8(heard).unwrap()
}
