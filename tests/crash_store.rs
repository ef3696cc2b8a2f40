//! The program is killed, and its files are copied, while the store is at work: pruning, migrating, writing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use herald::{
    clock::{Stopwatch, pause},
    store::Store,
};
use reqwest::StatusCode;
use rusqlite::Connection;
use serde_json::Value;

use crate::{
    crash::{channels, drain, life, schedule},
    harness::{
        Dice, Receiver, Setup,
        ledger::{Ledger, ROUTES, webhook},
        process::{Program, Running},
        rounds, within,
    },
};

/// Deliveries by channel and state; what there is none of does not stand in it.
type Counts = BTreeMap<(String, String), u64>;

/// As `GET /v1/channels` says.
async fn counts(host: &Running) -> Counts {
    let (_, answer) = host.get("/v1/channels").await;
    let mut counts = Counts::new();
    for channel in answer["channels"].as_array().unwrap_or_else(|| panic!("{answer}")) {
        for (state, count) in channel["deliveries"].as_object().unwrap() {
            counts.insert((channel["name"].as_str().unwrap().to_owned(), state.clone()), count.as_u64().unwrap());
        }
    }
    counts.retain(|_, count| *count > 0);
    counts
}

/// As the pages of `GET /v1/deliveries` have it.
async fn counted(host: &Running) -> Counts {
    let mut counts = Counts::new();
    for delivery in host.deliveries("").await.unwrap() {
        let text = |key: &str| delivery[key].as_str().unwrap().to_owned();
        *counts.entry((text("channel"), text("state"))).or_default() += 1;
    }
    counts
}

/// Waits until the two agree, which they need not while something changes between the questions.
async fn counts_agree(host: &Running) -> Counts {
    within("the counts of the channels to agree with the pages of deliveries", async {
        loop {
            let (before, pages, after) = (counts(host).await, counted(host).await, counts(host).await);
            if before == pages && pages == after {
                return pages;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_pruning_loses_nothing_that_is_pending() {
    let mut dice = Dice::throw();
    let (receiver, silent) = (Receiver::moody(dice.fork()).await, Receiver::start().await);
    // What goes there stays pending, far longer than anything that has ended is kept.
    silent.hold();
    let hooks = [("all", &receiver), ("red", &receiver), ("project", &silent)];
    let hooks = hooks.map(|(name, to)| webhook(name, &to.url(&format!("/{name}")))).concat();
    let setup = Setup::new(&format!("[store]\nkeep = \"1s\"\n{}{hooks}{ROUTES}", schedule()));
    // What is posted again after it was pruned is a new event.
    let (program, ledger) = (Program::new(setup.folder.path()), Ledger::new(30).only_once());
    for _ in 0..rounds(10) {
        // Long enough to have something to prune.
        for _ in 0..3 {
            life(&program, &ledger, &mut dice).await;
        }
        let host = program.serve(&[]).await;
        let counts = counts_agree(&host).await;
        let pending = counts.get(&("project".to_owned(), "pending".to_owned())).copied().unwrap_or_default();
        let (least, most) = ledger.deliveries("project");
        assert!((least as u64..=most as u64).contains(&pending), "{pending} pending, not {least} to {most}");
        host.kill().await;
    }
    receiver.calm();
    silent.release();
    drain(&program).await;
    println!("{:?}", ledger.judge(&[receiver.received(), silent.received()].concat()));
    let host = program.serve(&[]).await;
    host.until("/v1/deliveries", |_, answer| answer["deliveries"].as_array().is_some_and(Vec::is_empty)).await;
    assert_eq!(counts(&host).await, Counts::new());
    host.stop().await;
}

/// How many deliveries are put into the store of the first version.
const MORE: usize = 20_000;

/// A store as the first version wrote it, a moment ago, with more in it: delivered ones with their attempts, and pending
/// ones.
fn enlarged_store_1(path: &Path) {
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/store-1.db"), path).unwrap();
    let store = Connection::open(path).unwrap();
    store
        .execute_batch(&format!(
            "PRAGMA synchronous = OFF;
             BEGIN;
             UPDATE events SET received_at = unixepoch() * 1000;
             UPDATE deliveries SET (due_at, created_at, updated_at) = (SELECT t, t, t FROM (SELECT unixepoch() * 1000 AS t));
             CREATE TEMP TABLE more AS
               WITH RECURSIVE n (i) AS (SELECT 1001 UNION ALL SELECT i + 1 FROM n LIMIT {MORE}) SELECT i FROM n;
             INSERT INTO events SELECT i, 'more-' || i, '', type, title, body, url, project, 's' || i % 50, occurred_at,
               received_at, data, payload, 1 FROM more JOIN events ON id = 'good-0';
             INSERT INTO deliveries SELECT i, randomblob(16), i, 'good', i % 2, NULL, i % 2, 0, due_at, created_at, updated_at
               FROM more JOIN deliveries ON seq = 2;
             INSERT INTO attempts SELECT i, 1, record FROM more JOIN attempts ON delivery = 2 WHERE i % 2 = 1;
             COMMIT;"
        ))
        .unwrap();
}

fn version(store: &Path) -> i64 {
    Connection::open(store).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
}

/// The same of what a killed host has left, which is for the next one to tidy up: a copy is looked at.
fn version_left(store: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    replace(store, &copy);
    for suffix in ["-wal", "-journal"] {
        let _ = fs::copy(beside(store, suffix), beside(&copy, suffix));
    }
    version(&copy)
}

fn beside(store: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", store.display()))
}

/// Puts a store in the place of another and of what lies beside it.
fn replace(from: &Path, to: &Path) {
    // The journal is there after a kill while the file is rebuilt: it would be played back into the other store.
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(to, suffix));
    }
    fs::copy(from, to).unwrap();
}

/// Deliveries by id: event, channel, state, attempts.
fn everything(deliveries: &[Value]) -> BTreeSet<String> {
    let keys = ["id", "event", "channel", "state", "reason", "attempts", "due_at", "created_at"];
    deliveries.iter().map(|delivery| format!("{:?}", keys.map(|key| &delivery[key]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_migrating_leaves_a_store_that_migrates_at_the_next_start() {
    let mut dice = Dice::throw();
    // Nothing is delivered here: there is no such adapter.
    let channels =
        ["good", "bad", "gone", "guest"].map(|n| format!("[[channel]]\nname = \"{n}\"\nadapter = \"none\"\n"));
    let setup = Setup::new(&channels.concat());
    let program = Program::new(setup.folder.path());
    let (first, path) = (setup.folder.path().join("first.db"), setup.folder.path().join("herald.db"));
    let newest = {
        let new = setup.folder.path().join("new.db");
        drop(Store::open(&new).unwrap());
        version(&new)
    };
    enlarged_store_1(&first);
    // Once without a kill: what must be there, and how long it takes.
    replace(&first, &path);
    let watch = Stopwatch::start();
    let host = program.serve(&[]).await;
    let takes = u64::try_from(watch.elapsed().as_millis()).unwrap();
    let (expected, expected_counts) = (everything(&host.deliveries("").await.unwrap()), counts(&host).await);
    assert_eq!(expected.len(), 7 + MORE);
    host.stop().await;
    let (mut old, mut new) = (0, 0);
    for _ in 0..rounds(20) {
        // What a whole step leaves, and nothing between.
        let found = version_left(&path);
        assert!((1..=newest).contains(&found), "schema {found}");
        if found == newest {
            new += 1;
            replace(&first, &path);
        } else {
            old += 1;
        }
        let host = program.launch(&[]);
        pause(dice.up_to(takes)).await;
        host.kill().await;
    }
    println!("a start takes {takes} ms; {old} kills came before the migration was through, {new} after");
    let host = program.serve(&[]).await;
    assert_eq!(counts_agree(&host).await, expected_counts);
    assert_eq!(everything(&host.deliveries("").await.unwrap()), expected);
    host.stop().await;
    assert_eq!(version(&path), newest);
    let check: String =
        Connection::open(&path).unwrap().query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

/// Copies a store as a backup does that knows nothing of databases: piece by piece, while it is written to.
async fn copy_mid_write(from: &Path, to: &Path, dice: &mut Dice) {
    // As fast as can be, or as slowly as a large file goes.
    let longest = if dice.one_in(3) { 0 } else { 200 };
    for suffix in ["", "-wal"] {
        let mut from = fs::File::open(beside(from, suffix)).unwrap();
        let mut to = fs::File::create(beside(to, suffix)).unwrap();
        let half = from.metadata().unwrap().len() / 2;
        std::io::copy(&mut Read::by_ref(&mut from).take(half), &mut to).unwrap();
        pause(dice.up_to(longest)).await;
        std::io::copy(&mut from, &mut to).unwrap();
        pause(dice.up_to(longest)).await;
    }
}

/// What a host says that does not take a store; nothing when it serves all that is in it.
async fn refusal(program: &Program<'_>, ledger: &Ledger) -> Option<String> {
    let mut host = program.launch(&[]);
    if !host.ready().await {
        let (code, log) = host.ended().await;
        let sentence = log.join("\n");
        let named = sentence.contains(program.folder().to_str().unwrap());
        assert!(code == Some(1) && named, "{code:?}: {sentence}");
        return Some(sentence);
    }
    let sentence = |answer: Value| answer["message"].as_str().unwrap().to_owned();
    let deliveries = within("everything to be delivered, or a sentence that says why not", async {
        loop {
            let (status, readiness) = host.get("/readyz").await;
            match host.deliveries("state=pending").await {
                _ if status != StatusCode::OK => break Err(readiness["reason"].as_str().unwrap().to_owned()),
                Ok(pending) if pending.is_empty() => break host.deliveries("").await.map_err(sentence),
                Ok(_) => pause(Duration::from_millis(20)).await,
                Err(answer) => break Err(sentence(answer)),
            }
        }
    })
    .await;
    host.kill().await;
    for delivery in deliveries.as_ref().unwrap_or(&vec![]) {
        let (event, channel) = (delivery["event"].as_str().unwrap(), delivery["channel"].as_str().unwrap());
        assert!(ledger.knows(event, channel), "nobody posted this: {delivery}");
    }
    deliveries.err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_the_files_taken_mid_write_opens_or_is_refused_with_a_sentence() {
    let mut dice = Dice::throw();
    let (receiver, calm) = (Receiver::moody(dice.fork()).await, Receiver::start().await);
    let setup = Setup::new(&format!("{}{}{ROUTES}", schedule(), channels(&receiver)));
    let copies: Vec<Setup> =
        (0..rounds(10)).map(|_| Setup::new(&format!("{}{}{ROUTES}", schedule(), channels(&calm)))).collect();
    let store = |setup: &Setup| setup.folder.path().join("herald.db");
    // Large enough for checkpoints to come all the time.
    let ledger = Ledger::new(0).padded(4000);
    let host = Program::new(setup.folder.path()).serve(&[]).await;
    let (url, mut applications) = (host.url(), dice.fork());
    let copying = async {
        for copy in &copies {
            pause(dice.up_to(300)).await;
            copy_mid_write(&store(&setup), &store(copy), &mut dice).await;
        }
        host.kill().await;
    };
    tokio::join!(copying, ledger.post_until_gone(&url, &mut applications));
    let mut refused = 0;
    for copy in &copies {
        let Some(sentence) = refusal(&Program::new(copy.folder.path()), &ledger).await else { continue };
        refused += 1;
        assert!(!sentence.contains("panicked"), "{sentence}");
        assert!(sentence.contains("damaged"), "{sentence}");
    }
    println!("{refused} of {} copies were refused", copies.len());
}
