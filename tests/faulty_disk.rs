//! The disk below the store fails: it is full, broken, read-only, or has lost what it was given. Linux only, as faults are
//! made by `LD_PRELOAD` and a folder that refuses even root is one of /proc.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use herald::clock::pause;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    crash::{channels, drain, schedule},
    harness::{
        Dice, Receiver, Setup,
        faults::{self, Faults},
        ledger::{Ledger, ROUTES, webhook},
        process::{Program, Running},
        rounds, within,
    },
};

/// One channel, `c`, that gets everything.
fn setup(receiver: &Receiver) -> Setup {
    Setup::new(&format!("{}[[route]]\nchannel = \"c\"\n", webhook("c", &receiver.url("/c"))))
}

/// The event `n`, or what came instead of a 202.
async fn post(host: &Running, n: usize) -> Result<(), Value> {
    let (status, answer) = host.post(json!({ "type": "test", "id": format!("e{n}") }).to_string()).await;
    match status {
        StatusCode::ACCEPTED => Ok(()),
        StatusCode::SERVICE_UNAVAILABLE => Err(answer),
        other => panic!("{other}: {answer}"),
    }
}

/// The ids of the deliveries that have come, however often.
fn came(receiver: &Receiver) -> BTreeSet<String> {
    receiver.received().iter().map(|one| one.header("herald-delivery-id").to_owned()).collect()
}

async fn ready(host: &Running) {
    host.until("/readyz", |status, _| status == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_disk_does_not_take_is_answered_with_503_and_accepted_when_it_takes_it() {
    let receiver = Receiver::start().await;
    let setup = setup(&receiver);
    let faults = Faults::new(setup.folder.path());
    let host = faults.around(Program::new(setup.folder.path())).serve(&[]).await;
    for (n, fault) in faults::ALL.iter().enumerate() {
        post(&host, n).await.unwrap();
        faults.begin(fault);
        let refused = post(&host, 100 + n).await.unwrap_err();
        assert_eq!(refused["code"], "store_unavailable", "{fault}: {refused}");
        let reason = refused["message"].as_str().unwrap();
        assert!(reason.contains(if *fault == "ENOSPC" { "full" } else { "disk" }), "{fault}: {refused}");
        faults.end();
        ready(&host).await;
        // The same again: an application does what it is told.
        post(&host, 100 + n).await.unwrap();
    }
    host.drained().await;
    assert_eq!(host.deliveries("state=delivered").await.unwrap().len(), 2 * faults::ALL.len());
    assert_eq!(came(&receiver).len(), 2 * faults::ALL.len());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_turns_readiness_off_and_stops_no_delivery_that_is_pending() {
    const PENDING: usize = 100;
    let receiver = Receiver::start().await;
    receiver.hold();
    let setup = setup(&receiver);
    let faults = Faults::new(setup.folder.path());
    let program = faults.around(Program::new(setup.folder.path()));
    let host = program.serve(&[]).await;
    for n in 0..PENDING {
        post(&host, n).await.unwrap();
    }
    receiver.wait_for(1).await;
    faults.begin("ENOSPC");
    let refused = post(&host, PENDING).await.unwrap_err();
    assert_eq!(refused["code"], "store_unavailable", "{refused}");
    let not = host.until("/readyz", |status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert_eq!(not["status"], "store_unavailable", "{not}");
    assert!(not["reason"].as_str().unwrap().contains("full"), "{not}");
    // No settlement can be written, and that keeps nothing back.
    receiver.release();
    within("all that is pending", async {
        while came(&receiver).len() < PENDING {
            pause(Duration::from_millis(20)).await;
        }
    })
    .await;
    post(&host, PENDING).await.unwrap_err();
    faults.end();
    ready(&host).await;
    post(&host, PENDING).await.unwrap();
    host.drained().await;
    assert_eq!(host.deliveries("state=delivered").await.unwrap().len(), PENDING + 1);
    assert_eq!(came(&receiver).len(), PENDING + 1, "doubles carry the same delivery id");
    host.stop().await;
    // What was settled late is settled for good.
    let requests = receiver.received().len();
    drain(&program).await;
    assert_eq!(receiver.received().len(), requests);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_with_202_is_lost_when_the_disk_fails_and_the_host_is_killed() {
    let mut dice = Dice::throw();
    let receiver = Receiver::moody(dice.fork()).await;
    let setup = Setup::new(&format!("{}{}{ROUTES}", schedule(), channels(&receiver)));
    let faults = Faults::new(setup.folder.path());
    let (program, ledger) = (faults.around(Program::new(setup.folder.path())), Ledger::new(30));
    for fault in faults::ALL.iter().cycle().take(rounds(12)) {
        let host = program.serve(&[]).await;
        let (url, mut applications) = (host.url(), dice.fork());
        let end = async {
            pause(dice.up_to(300)).await;
            faults.begin(fault);
            pause(dice.up_to(300)).await;
            // Killed while it lasts, or after it has passed.
            if dice.one_in(2) {
                faults.end();
                pause(dice.up_to(300)).await;
                host.kill().await;
            } else {
                host.kill().await;
                faults.end();
            }
        };
        tokio::join!(end, ledger.post_until_gone(&url, &mut applications));
    }
    receiver.calm();
    drain(&program).await;
    println!("{:?}", ledger.judge(&receiver.received()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_where_nobody_can_write_is_refused_with_a_sentence() {
    let setup = Setup::new("");
    for path in ["/proc/herald.db", "/proc/herald/herald.db"] {
        let refused = Program::new(setup.folder.path()).run(&["serve", "--store", path]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.starts_with(&format!("error: cannot open the store {path}: ")), "{refused:?}");
        assert!(refused.err.contains("set `store.path` to a file that this user can write"), "{refused:?}");
    }
}

/// What a host says of a store that it can't use, at its start or when it has seen all of it.
async fn said_of_a_damaged_store(program: &Program<'_>) -> String {
    let mut host = program.launch(&[]);
    if !host.ready().await {
        let (code, log) = host.ended().await;
        assert_eq!(code, Some(1), "{log:#?}");
        let said = log.join("\n");
        assert!(!said.contains("panicked"), "{said}");
        return said;
    }
    // Each of these finds out, unless the host has found out by itself.
    let _ = host.deliveries("").await;
    let _ = post(&host, 1000).await;
    let not = host.until("/readyz", |status, _| status == StatusCode::SERVICE_UNAVAILABLE).await;
    host.kill().await;
    not["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_named_as_damaged_with_what_to_do() {
    let receiver = Receiver::start().await;
    let setup = setup(&receiver);
    let program = Program::new(setup.folder.path());
    let host = program.serve(&[]).await;
    for first in (0..500).step_by(50) {
        let list: Vec<Value> = (first..first + 50).map(|n| json!({ "type": "test", "id": format!("e{n}") })).collect();
        assert_eq!(host.post(Value::Array(list).to_string()).await.0, StatusCode::ACCEPTED);
    }
    host.drained().await;
    host.stop().await;
    let store = setup.folder.path().join("herald.db");
    let good = fs::read(&store).unwrap();
    let third = good.len() / 3;
    let garbage: Vec<u8> = (0..third).map(|at| u8::try_from(at * 167 % 251).unwrap()).collect();
    let (mut middle, mut first) = (good.clone(), good.clone());
    middle[third..2 * third].copy_from_slice(&garbage);
    first[100..4096].copy_from_slice(&garbage[..3996]);
    for (what, bytes) in [
        ("pages in the middle are overwritten", &middle[..]),
        ("the second half is gone", &good[..good.len() / 2]),
        ("the first page is overwritten behind its header", &first[..]),
    ] {
        replace(&store, bytes);
        let said = said_of_a_damaged_store(&program).await;
        println!("{what}: {said}");
        assert!(said.contains("damaged") && said.contains("backup"), "{what}: {said}");
    }
}

fn replace(store: &Path, bytes: &[u8]) {
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(PathBuf::from(format!("{}{suffix}", store.display())));
    }
    fs::write(store, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_disabled_and_enabled_on_disk_or_not_at_all() {
    let receiver = Receiver::start().await;
    let setup = setup(&receiver);
    let faults = Faults::new(setup.folder.path());
    let program = faults.around(Program::new(setup.folder.path()));
    let host = program.serve(&[]).await;
    let (_, channels) = host.get("/v1/channels").await;
    let name = channels["channels"][0]["name"].as_str().unwrap().to_owned();
    let order = async |host: &Running, what: &str| {
        let url = format!("{}/v1/channels/{name}/{what}", host.url());
        crate::harness::http().post(url).send().await.unwrap().status()
    };
    let disabled = async |host: &Running| !host.get("/v1/channels").await.1["channels"][0]["waits"].is_null();
    faults.begin("ENOSPC");
    assert_eq!(order(&host, "disable").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!disabled(&host).await, "it was refused");
    faults.end();
    ready(&host).await;
    assert_eq!(order(&host, "disable").await, StatusCode::NO_CONTENT);
    faults.begin("ENOSPC");
    assert_eq!(order(&host, "enable").await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(disabled(&host).await, "it was refused");
    faults.end();
    host.kill().await;
    let host = program.serve(&[]).await;
    assert!(disabled(&host).await, "it was on disk");
    assert_eq!(order(&host, "enable").await, StatusCode::NO_CONTENT);
    post(&host, 1).await.unwrap();
    host.drained().await;
    host.stop().await;
}
