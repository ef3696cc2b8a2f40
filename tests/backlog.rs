//! A million deliveries that wait for a dead receiver. Memory is read from /proc, so this is for Linux.

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

/// Bytes that it has read so far.
fn read(host: &Running) -> u64 {
    let told = std::fs::read_to_string(format!("/proc/{}/io", host.id())).unwrap();
    told.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_pending_deliveries_of_a_dead_channel_delay_neither_the_start_nor_the_others_nor_fill_memory() {
    let receiver = Receiver::start().await;
    let dead = Closed::new();
    let config = |rate: &str| {
        format!(
            "[delivery]\nbreaker_failures = 0\n{}{}",
            hook("dead", &receiver, rate).replace(&receiver.address.to_string(), &dead.to_string()),
            hook("good", &receiver, "")
        )
    };
    // At first one attempt a day, so that what is read is what the start takes.
    let setup = Setup::new(&config("rate = \"1/d\""));
    // What a process reads is told only of one that is not hidden.
    let program = Program::new(setup.folder.path()).variable("HERALD_SERVER__CORE_DUMPS", "true");
    let empty = program.serve(&[]).await;
    let (memory_before, read_before) = (memory(&empty), read(&empty));
    empty.stop().await;
    let store = setup.folder.path().join("herald.db");
    fill(&store);
    let host = program.serve(&[]).await;
    let taken = read(&host).saturating_sub(read_before);
    host.stop().await;
    let whole = std::fs::metadata(&store).unwrap().len();
    assert!(taken < 8 << 20 && whole > 100 << 20, "the start has read {taken} bytes more, of a store of {whole}");
    setup.write_config(&config(""));
    let host = program.serve(&[]).await;
    let client = crate::harness::http();
    for _ in 0..200 {
        let post = client.post(format!("{}/v1/events", host.url())).body(r#"{"type":"good"}"#);
        assert_eq!(post.send().await.unwrap().status(), 202);
    }
    receiver.wait_for(200).await;
    let grown = memory(&host).saturating_sub(memory_before);
    assert!(grown < 64 << 10, "{grown} KiB more than with nothing pending");
    let (_, channels) = host.get("/v1/channels").await;
    assert_eq!(channels["channels"][0]["deliveries"]["pending"], PENDING, "{channels}");
    host.stop().await;
}
