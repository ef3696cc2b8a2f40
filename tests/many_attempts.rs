//! Who has a delivery tried again and again fills neither the disk nor an answer of the API.

use herald::{clock::Clock, model::State, store::Listed};
use serde_json::{Value, json};

use crate::{
    harness::{
        Received, Receiver, Reply, Setup, TestHost,
        guests::{Act, Guest},
        process::Program,
        seconds, within,
    },
    pacing::hook,
};

const START: u64 = 1_700_000_000_000;
/// As much as is kept of a body, and of headers nearly so.
const LARGE: usize = 64 << 10;

fn large(status: u16) -> Reply {
    Reply::new(status, &"x".repeat(LARGE)).header("x-large", &"y".repeat(30_000))
}

/// Lets the one delivery be tried whenever it is due, until it has ended.
async fn tried_to_its_end(host: &TestHost, clock: &Clock) -> Listed {
    for attempts in 1.. {
        let all = host.until("the next attempt", |all| all[0].delivery.attempts == attempts).await;
        let listed = all.into_iter().next().unwrap();
        let Some(due_at) = listed.delivery.due_at.filter(|_| listed.delivery.state == State::Pending) else {
            return listed;
        };
        clock.advance(std::time::Duration::from_millis(due_at - clock.now()));
    }
    unreachable!()
}

/// The numbers of the attempts that are shown, those that are shown in whole, and what the next page begins before.
async fn page(host: &TestHost, listed: &Listed, query: &str) -> (Vec<u64>, Vec<u64>, Value) {
    let (_, shown) = host.get(&format!("/v1/deliveries/{}{query}", listed.delivery.id)).await;
    assert_eq!(shown["delivery"]["attempts"], listed.delivery.attempts, "{shown}");
    let attempts = shown["attempts"].as_array().unwrap();
    let number = |attempt: &Value| attempt["number"].as_u64().unwrap();
    let is_whole = |attempt: &&Value| {
        let exchange = &attempt["exchanges"][0];
        let parts = [&exchange["request"], &exchange["response"]];
        let is_left_out =
            |part: &Value| part["body"].as_str().unwrap().starts_with("[left out") && part["headers"] == json!([]);
        assert_eq!(exchange["response"]["status"], 429);
        assert!(parts.into_iter().all(is_left_out) || !parts.into_iter().any(is_left_out), "{exchange}");
        !is_left_out(parts[0])
    };
    let whole = attempts.iter().filter(is_whole).map(number).collect();
    (attempts.iter().map(number).collect(), whole, shown["next"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_second_again_and_again_uses_up_the_schedule_and_fills_neither_disk_nor_answers() {
    let receiver = Receiver::start().await;
    for _ in 0..200 {
        receiver.reply(large(429).header("retry-after", "1"));
    }
    let clock = Clock::manual(START);
    let setup = Setup::new(&hook("a", &receiver, "")).clock(clock.clone());
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"e"}"#).await;
    let listed = tried_to_its_end(&host, &clock).await;
    // Fifty that were asked for, then the nine waits of the schedule, which are no shorter for being asked for.
    assert_eq!((listed.delivery.state, listed.delivery.attempts), (State::Failed, 60));
    assert!(
        listed.last_attempt.as_ref().unwrap().reason.as_ref().unwrap().contains("the last attempt of the schedule")
    );
    let took = clock.now() - START;
    assert!((50_000 + 18 * 3_600_000..=50_000 + 30 * 3_600_000).contains(&took), "{took}");

    let all: Vec<u64> = (1..=60).collect();
    let whole: Vec<u64> = (1..=3).chain(41..=60).collect();
    assert_eq!(page(&host, &listed, "").await, (all.clone(), whole, Value::Null));
    let size = host.app.pipeline().store().size().await.unwrap();
    assert!(size < 3 << 20, "{size} bytes for 23 answers of 94 KiB");

    assert_eq!(page(&host, &listed, "?limit=10").await, (all[50..].to_vec(), all[50..].to_vec(), json!(51)));
    assert_eq!(
        page(&host, &listed, "?limit=10&before=51").await,
        (all[40..50].to_vec(), all[40..50].to_vec(), json!(41))
    );
    assert_eq!(page(&host, &listed, "?limit=3&before=4").await, (vec![1, 2, 3], vec![1, 2, 3], Value::Null));
    assert_eq!(page(&host, &listed, "?before=1").await, (vec![], vec![], Value::Null));

    let program = Program::new(setup.folder.path()).variable("HERALD_URL", &host.base);
    let id = listed.delivery.id.to_string();
    let shown = program.run(&["deliveries", "show", &id, "--limit", "2"]).await;
    assert!(shown.lines().contains(&"attempts  60"), "{}", shown.out);
    assert!(!shown.out.contains("\nattempt 58 at") && shown.out.contains("\nattempt 59 at"), "{}", shown.out);
    assert!(shown.err.contains("there are earlier attempts: --before 59"), "{}", shown.err);
    let before = program.run(&["deliveries", "show", &id, "--limit", "2", "--before", "5"]).await;
    assert!(before.out.contains("\nattempt 4 at") && before.out.contains("[left out"), "{}", before.out);
    host.stop().await;
}

/// `retry`, in 100 ms, because of 64 KiB of `x`.
const WANTS_IT_AGAIN_AT_ONCE: Act = Act::Do(
    "(global.set $n (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
     (memory.fill (global.get $n) (i32.const 120) (i32.const 65536))
     (i32.store (global.get $taken) (i32.const 1))
     (i32.store offset=8 (global.get $taken) (global.get $n))
     (i32.store offset=12 (global.get $taken) (i32.const 65536))
     (i32.store offset=16 (global.get $taken) (i32.const 1))
     (i64.store offset=24 (global.get $taken) (i64.const 100))
     (return (global.get $taken))",
);

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_wants_everything_again_at_once_is_held_to_seconds_and_to_the_schedule() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(START);
    let config = "[delivery]\nschedule = [\"1h\", \"1h\"]\njitter = 0.0\n[[channel]]\nname = \"a\"\nadapter = \"again\"\n\
                  [[route]]\nchannel = \"a\"\n";
    let setup = Setup::new(config).clock(clock.clone());
    let guest =
        Guest { interpret: WANTS_IT_AGAIN_AT_ONCE, conversational: true, ..Guest::new("1", &receiver.url("/")) };
    std::fs::write(setup.adapters().join("again.wasm"), guest.component()).unwrap();
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"e"}"#).await;
    let first = host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    assert_eq!(first[0].delivery.due_at, Some(START + 1000), "not after 100 ms");
    let listed = tried_to_its_end(&host, &clock).await;
    assert_eq!((listed.delivery.state, listed.delivery.attempts), (State::Failed, 53));
    assert_eq!(clock.now() - START, 50_000 + 2 * 3_600_000);
    let reason = listed.last_attempt.unwrap().reason.unwrap();
    assert!(reason.len() < 5000 && reason.contains("x…; that was the last attempt"), "{reason}");
    let size = host.app.pipeline().store().size().await.unwrap();
    assert!(size < 1 << 20, "{size} bytes for 53 reasons of 64 KiB");
    host.stop().await;
}

/// Leaves 64 KiB for the next event of the subject.
const LEAVES_TOO_MUCH: Act = Act::Do(
    "(global.set $n (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
     (memory.fill (global.get $n) (i32.const 120) (i32.const 65536))
     (i32.store offset=12 (global.get $taken) (global.get $n))
     (i32.store offset=16 (global.get $taken) (i32.const 65536))
     (return (global.get $taken))",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_is_none_is_not_kept() {
    let receiver = Receiver::start().await;
    let config = "[[channel]]\nname = \"a\"\nadapter = \"leaves\"\n[[route]]\nchannel = \"a\"\n";
    let setup = Setup::new(config);
    let guest = Guest { interpret: LEAVES_TOO_MUCH, conversational: true, ..Guest::new("1", &receiver.url("/")) };
    std::fs::write(setup.adapters().join("leaves.wasm"), guest.component()).unwrap();
    let host = setup.start().await;
    for id in ["first", "second"] {
        host.accepted(format!(r#"{{"type":"a","id":"{id}","subject":"s"}}"#)).await;
        let all = host.drain().await;
        assert_eq!(all[0].delivery.state, State::Delivered);
    }
    // A reference would have been posted in the place of the id.
    let received = receiver.received();
    assert_eq!(received.iter().map(Received::text).collect::<Vec<_>>(), ["first", "second"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pending_stays_in_a_full_store_and_what_makes_its_attempts_large_goes() {
    let receiver = Receiver::start().await;
    for _ in 0..40 {
        receiver.reply(large(500));
    }
    let clock = Clock::manual(START);
    let config = format!(
        "[store]\nmax_size = \"1 MiB\"\n[delivery]\nschedule = [\"30d\"]\nbreaker_failures = 0\n{}",
        hook("a", &receiver, "")
    );
    let setup = Setup::new(&config).clock(clock.clone());
    let host = setup.start().await;
    for _ in 0..40 {
        host.accepted(r#"{"type":"a"}"#).await;
    }
    let is_tried = |listed: &Listed| listed.delivery.attempts == 1;
    host.until("an attempt each", |all| all.len() == 40 && all.iter().all(is_tried)).await;
    let store = host.app.pipeline().store().clone();
    assert!(store.size().await.unwrap() > 3 << 20);
    let small = async {
        while store.size().await.unwrap() > 1 << 20 {
            clock.advance(seconds(60));
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    };
    within("the store to become small", small).await;
    let all = host.deliveries().await;
    assert_eq!(all.len(), 40);
    assert!(all.iter().all(|listed| listed.delivery.state == State::Pending && is_tried(listed)));
    let shown = host.show(&all[39]).await;
    let response = &shown["attempts"][0]["exchanges"][0]["response"];
    assert_eq!(response["status"], 500);
    assert!(response["body"].as_str().unwrap().contains("`store.max_size`"), "{response}");
    drop(store);
    host.stop().await;
}
