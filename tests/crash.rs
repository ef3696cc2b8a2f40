//! The program is killed in the middle of everything, again and again. What was answered with 202 is received all the
//! same, by those who want it and by nobody else. `HERALD_CRASH_ROUNDS` and `HERALD_CRASH_SEED` are in CONTRIBUTING.md.

use std::{collections::BTreeSet, fs, path::Path};

use herald::clock::pause;

use crate::harness::{
    Dice, Receiver, Setup,
    guests::Guest,
    ledger::{Ledger, ROUTES, webhook},
    process::Program,
    rounds,
};

/// Attempts follow one another so fast that kills meet them, and so often that chance exhausts no delivery.
pub(crate) fn schedule() -> String {
    format!("[delivery]\nschedule = [{}]\n", ["\"50ms\""; 40].join(", "))
}

/// The three channels of [`ROUTES`], each at its path.
pub(crate) fn channels(receiver: &Receiver) -> String {
    ["all", "red", "project"].map(|name| webhook(name, &receiver.url(&format!("/{name}")))).concat()
}

/// One life of the host, which ends at a moment that it does not know. Mostly events are posted meanwhile, and the moment
/// may be right after a 202; else it is one of the start, or of the first deliveries.
pub(crate) async fn life(program: &Program<'_>, ledger: &Ledger, dice: &mut Dice) {
    if dice.one_in(4) {
        let host = program.launch(&[]);
        pause(dice.up_to(400)).await;
        return host.kill().await;
    }
    let host = program.serve(&[]).await;
    let (url, mut applications) = (host.url(), dice.fork());
    let end = async {
        pause(dice.up_to(600)).await;
        if dice.one_in(2) {
            ledger.next_accepted().await;
        }
        host.kill().await;
    };
    tokio::join!(end, ledger.post_until_gone(&url, &mut applications));
}

/// Runs the host until nothing is pending, and stops it. Nothing has failed then.
pub(crate) async fn drain(program: &Program<'_>) {
    let host = program.serve(&[]).await;
    host.drained().await;
    assert_eq!(host.deliveries("state=failed").await, Ok(vec![]));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_answered_with_202_is_received_whenever_the_host_is_killed() {
    let mut dice = Dice::throw();
    let receiver = Receiver::moody(dice.fork()).await;
    let setup = Setup::new(&format!("{}{}{ROUTES}", schedule(), channels(&receiver)));
    let (program, ledger) = (Program::new(setup.folder.path()), Ledger::new(30));
    for _ in 0..rounds(50) {
        life(&program, &ledger, &mut dice).await;
    }
    receiver.calm();
    drain(&program).await;
    let tally = ledger.judge(&receiver.received());
    println!("{tally:?}");
    assert!(tally.answered > rounds(50), "hardly anything was posted: {tally:?}");
}

/// Puts a file in its place: at once, or so that a kill or a start may find half of it.
async fn put(file: &Path, bytes: &[u8], dice: &mut Dice) {
    if dice.one_in(2) {
        fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
        pause(dice.up_to(10)).await;
        fs::write(file, bytes).unwrap();
    } else {
        let next = file.with_extension("next");
        fs::write(&next, bytes).unwrap();
        fs::rename(next, file).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_while_adapters_and_config_change_all_the_time_loses_nothing() {
    let mut dice = Dice::throw();
    let receiver = Receiver::moody(dice.fork()).await;
    let config = |concurrency: usize| {
        let all = format!("[[channel]]\nname = \"all\"\nadapter = \"guest\"\nconcurrency = {concurrency}\n");
        let others = ["red", "project"].map(|name| webhook(name, &receiver.url(&format!("/{name}")))).concat();
        format!("{}{all}{others}{ROUTES}", schedule())
    };
    let setup = Setup::new(&config(1));
    let guest = setup.adapters().join("guest.wasm");
    let component = |version: usize| Guest::new(&version.to_string(), &receiver.url("/all")).component();
    fs::write(&guest, component(0)).unwrap();
    let mut restless = dice.fork();
    let change_all_the_time = async {
        for version in 1.. {
            // Too fast for it to settle, or slow enough for it to be taken.
            let wait = if restless.one_in(2) { 10 } else { 150 };
            pause(restless.up_to(wait)).await;
            setup.write_config(&config(1 + restless.below(8)));
            put(&guest, &component(version), &mut restless).await;
        }
    };
    let cache = setup.folder.path().join("cache");
    let program = Program::new(setup.folder.path()).variable("HERALD_ADAPTERS__CACHE", cache.to_str().unwrap());
    let ledger = Ledger::new(30);
    let lives = async {
        for _ in 0..rounds(15) {
            life(&program, &ledger, &mut dice).await;
        }
    };
    tokio::select! {
        () = lives => {}
        () = change_all_the_time => {}
    }
    receiver.calm();
    drain(&program).await;
    let received = receiver.received();
    println!("{:?}", ledger.judge(&received));
    let versions: BTreeSet<_> =
        received.iter().filter(|one| one.path == "/all").map(|one| one.header("x-version")).collect();
    assert!(versions.len() > 3, "hardly anything was reloaded: {versions:?}");
}
