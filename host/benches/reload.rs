//! From an adapter file's last write to the first delivery by the new version: `cargo bench -p herald --bench reload`.
//!
//! A real host with a real receiver; the board adapter (89 KB) made different each time, so that it is compiled each time.
//! Prints medians, and what the time is made of.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs, dead_code)]

use std::time::{Duration, Instant};

use herald::adapter::{BOARD, Options, Origin, Registry, digest};

#[path = "../../tests/harness/mod.rs"]
mod harness;

use harness::{Receiver, Setup};

const ROUNDS: u8 = 30;

fn main() {
    // `cargo test --benches` only wants to know that it builds and runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 2 };
    tokio::runtime::Runtime::new().unwrap().block_on(measure(rounds));
}

#[allow(clippy::disallowed_methods)]
async fn measure(rounds: u8) {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&format!(
        "[[channel]]\nname = \"board\"\nadapter = \"board\"\n[channel.settings]\nurl = \"{}\"\nkey = \"k\"\n\
         [[route]]\nchannel = \"board\"\n",
        receiver.url("/")
    ));
    let file = setup.adapters().join("board.wasm");
    std::fs::write(&file, BOARD[0]).unwrap();
    let host = setup.start().await;
    let (mut published, mut delivered, mut compiled) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let bytes = different(round);
        let wanted = digest(&bytes);
        let registry = host.app.pipeline().registry();
        let mut changes = registry.changes();
        std::fs::write(&file, &bytes).unwrap();
        let written = Instant::now();
        let publish = changes.wait_for(|_| registry.get("board").is_some_and(|adapter| adapter.id.digest == wanted));
        let mut publish = std::pin::pin!(publish);
        let mut seen = None;
        // Events come all the while, one after another.
        loop {
            let before = receiver.received().len();
            host.accepted(r#"{"type":"test"}"#).await;
            receiver.wait_for(before + 1).await;
            let now = written.elapsed();
            if seen.is_none() && futures_ready(publish.as_mut()).await {
                seen = Some(now);
            }
            let newest = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
            let by = newest[0].last_attempt.as_ref().unwrap().adapter.as_ref().unwrap();
            if by.digest == wanted {
                published.push(seen.unwrap_or(now));
                delivered.push(now);
                break;
            }
        }
        let fresh = Registry::open(Options::default(), Vec::new()).unwrap();
        let start = Instant::now();
        fresh.load("board", &bytes, Origin::BuiltIn).unwrap();
        compiled.push(start.elapsed());
    }
    host.stop().await;
    println!("from the last write of an adapter of {} bytes, {rounds} rounds:", BOARD[0].len());
    print("first delivery by the new version", &mut delivered);
    print("  seen to be published by", &mut published);
    print("  of that, load: compile, pre-instantiate, describe", &mut compiled);
    println!(
        "  the rest: the file standing still for 20 ms, the notification, reading, hashing, caching, one delivery"
    );
}

async fn futures_ready<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
    tokio::time::timeout(Duration::ZERO, future).await.is_ok()
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort();
    let (least, median, most) = (times[0], times[times.len() / 2], times[times.len() - 1]);
    println!("{what:52} min {least:>9.1?}  median {median:>9.1?}  max {most:>9.1?}");
}

/// The same component with another custom section: other bytes, another digest, not in the cache.
fn different(round: u8) -> Vec<u8> {
    let mut bytes = BOARD[0].to_vec();
    // Section 0, its size, the name's length, the name, a byte of content.
    bytes.extend([0, 7, 5, b'r', b'o', b'u', b'n', b'd', round]);
    bytes
}
