//! A million deliveries that wait for a dead receiver. Memory is read from /proc, so this is for Linux.

use std::time::Duration;

use rusqlite::Connection;

use crate::{
    harness::{Closed, Receiver, Setup, process::Program, process::Running},
    pacing::hook,
};

const PENDING: u32 = 1_000_000;

/// Events with a pending delivery each on the channel `dead`, as accepting them one by one would leave them.
fn fill(path: &std::path::Path) {
    let store = Connection::open(path).unwrap();
    store.execute_batch("PRAGMA synchronous=OFF; PRAGMA cache_size=-200000; BEGIN").unwrap();
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {PENDING})");
    store
        .execute_batch(&format!(
            "{numbers} INSERT INTO events (id, source, type, title, body, occurred_at, received_at, data, payload, deliveries)
               SELECT 'e' || i, '', 'dead', 'title', '', 1, 1, '{{}}', CAST('{{\"type\":\"dead\"}}' AS BLOB), 1 FROM n;
             {numbers} INSERT INTO deliveries (id, event, channel, due_at, created_at, updated_at)
               SELECT CAST(printf('%016d', i) AS BLOB), i, 'dead', 1, 1, 1 FROM n;
             INSERT INTO counts VALUES ('dead', 0, {PENDING}); COMMIT; PRAGMA wal_checkpoint(TRUNCATE)"
        ))
        .unwrap();
}

/// In KiB.
fn memory(host: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", host.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_pending_deliveries_of_a_dead_channel_delay_neither_the_start_nor_the_others_nor_fill_memory() {
    let receiver = Receiver::start().await;
    let dead = Closed::new();
    let config = format!(
        "[delivery]\nbreaker_failures = 0\n{}{}",
        hook("dead", &receiver, "").replace(&receiver.address.to_string(), &dead.to_string()),
        hook("good", &receiver, "")
    );
    let setup = Setup::new(&config);
    let program = Program::new(setup.folder.path());
    let empty = program.serve(&[]).await;
    let before = memory(&empty);
    empty.stop().await;
    fill(&setup.folder.path().join("herald.db"));
    // The quickest of three starts: the machine is busy with other tests.
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let begun = herald::clock::Stopwatch::start();
        let host = program.serve(&[]).await;
        quickest = quickest.min(begun.elapsed());
        host.stop().await;
    }
    assert!(quickest < Duration::from_secs(1), "ready after {quickest:?}");
    let host = program.serve(&[]).await;
    let client = crate::harness::http();
    for _ in 0..200 {
        let post = client.post(format!("{}/v1/events", host.url())).body(r#"{"type":"good"}"#);
        assert_eq!(post.send().await.unwrap().status(), 202);
    }
    receiver.wait_for(200).await;
    let grown = memory(&host).saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB more than with nothing pending");
    let (_, channels) = host.get("/v1/channels").await;
    assert_eq!(channels["channels"][0]["deliveries"]["pending"], PENDING, "{channels}");
    host.stop().await;
}
