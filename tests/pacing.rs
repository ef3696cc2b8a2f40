//! How fast and in which order a channel's deliveries go out.

use std::collections::{BTreeMap, BTreeSet};

use herald::{clock::Clock, model::State};

use crate::harness::{
    Received, Receiver, Reply, Setup,
    guests::{Act, Guest},
    seconds,
};

/// A `webhook` channel that gets the events of the type of its name; `more` is TOML for it.
pub fn hook(name: &str, receiver: &Receiver, more: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n{more}\n[channel.settings]\nurl = \"{}\"\n\
         [[route]]\nevents = [\"{name}\"]\nchannel = \"{name}\"\n",
        receiver.url(&format!("/{name}"))
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channels_rate_is_kept_and_its_burst_goes_at_once() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&hook("a", &receiver, "rate = \"30/min\"\nburst = 3")).clock(clock.clone());
    let host = setup.start().await;
    let events: Vec<_> = (0..8).map(|number| format!(r#"{{"type":"a","id":"e{number}"}}"#)).collect();
    host.accepted(format!("[{}]", events.join(","))).await;
    for count in 3..8 {
        host.until("an attempt each", |all| settled(all) == count).await;
        clock.advance(std::time::Duration::from_millis(1999));
        host.quiet().await;
        assert_eq!(receiver.received().len(), count, "one each two seconds");
        clock.advance(std::time::Duration::from_millis(1));
        receiver.wait_for(count + 1).await;
    }
    host.drain().await;
    host.stop().await;
}

fn settled(all: &[herald::store::Listed]) -> usize {
    all.iter().filter(|listed| listed.delivery.state == State::Delivered).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_its_concurrency_is_under_way_on_a_channel_and_others_go_on() {
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    slow.hold();
    let setup = Setup::new(&format!("{}{}", hook("a", &slow, "concurrency = 3"), hook("b", &quick, "")));
    let host = setup.start().await;
    for _ in 0..20 {
        host.accepted(r#"[{"type":"a"},{"type":"b"}]"#).await;
    }
    quick.wait_for(20).await;
    slow.wait_for(3).await;
    host.until("the quick ones", |all| settled(all) == 20).await;
    assert_eq!(slow.received().len(), 3);
    slow.release();
    host.drain().await;
    assert_eq!(slow.received().len(), 20);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_of_one_subject_go_out_one_at_a_time_in_order_and_others_in_parallel() {
    let receiver = Receiver::start().await;
    let config = format!(
        "[delivery]\nschedule = [{}]\nbreaker_failures = 0\n{}",
        ["\"1ms\""; 30].join(","),
        hook("a", &receiver, "ordered = true\nconcurrency = 8")
    );
    let (subjects, each) = (5, 12);
    // Which answers are bad is left to chance; what must hold does not depend on it.
    for _ in 0..subjects * each * 4 {
        receiver.reply(Reply::new(if rand::random_bool(0.6) { 200 } else { 500 }, ""));
    }
    let setup = Setup::new(&config);
    let host = setup.start().await;
    receiver.hold();
    for number in 0..each {
        let events: Vec<_> = (0..subjects)
            .map(|subject| format!(r#"{{"type":"a","subject":"s{subject}","data":{{"n":{number}}}}}"#))
            .collect();
        host.accepted(format!("[{}]", events.join(","))).await;
    }
    // While none is answered the first of each subject is under way, and no second one though there would be room: a new
    // subject comes before all of these.
    receiver.wait_for(subjects).await;
    host.accepted(r#"{"type":"a","subject":"new","data":{"n":0}}"#).await;
    let first: Vec<_> = receiver.wait_for(subjects + 1).await.iter().map(Received::json).collect();
    assert!(first.iter().all(|body| body["data"]["n"] == 0), "{first:?}");
    let of: BTreeSet<_> = first.iter().filter_map(|body| body["subject"].as_str()).collect();
    assert_eq!((of.len(), &first[subjects]["subject"]), (subjects + 1, &"new".into()), "{first:?}");
    receiver.release();
    host.drain().await;
    let mut next: BTreeMap<String, u64> = BTreeMap::new();
    for received in receiver.received() {
        let body = received.json();
        let subject = body["subject"].as_str().unwrap().to_owned();
        let next = next.entry(subject.clone()).or_default();
        assert_eq!(body["data"]["n"], *next, "{subject}: each waits for the one before it");
        *next += u64::from(received.status == 200);
    }
    assert_eq!(next.remove("new"), Some(1));
    assert!(next.len() == subjects && next.values().all(|next| *next == each as u64), "{next:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_earlier_one_of_its_subject_goes_on_when_that_is_given_up() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&hook("a", &receiver, "ordered = true")).clock(clock.clone());
    receiver.reply(Reply::new(500, ""));
    receiver.reply(Reply::new(404, ""));
    let host = setup.start().await;
    for id in ["first", "second"] {
        host.accepted(format!(r#"{{"type":"a","subject":"s","id":"{id}"}}"#)).await;
    }
    host.accepted(r#"{"type":"a","subject":"other","id":"third"}"#).await;
    // The first fails for now, so that the second waits; one of another subject does not.
    let all = host.until("the others", |all| all.iter().map(|one| one.delivery.attempts).sum::<u32>() == 2).await;
    let second = all.iter().find(|one| one.delivery.event == "second").unwrap();
    assert_eq!((second.delivery.attempts, second.delivery.due_at), (0, None));
    clock.advance(seconds(10));
    host.drain().await;
    assert_eq!(receiver.received().len(), 4);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_is_older_than_its_channel_wants_it_is_not_sent() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&hook("a", &receiver, "max_age = \"1h\"")).clock(clock.clone());
    receiver.reply(Reply::new(429, "").header("retry-after", "3000"));
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"tried"}"#).await;
    host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    // The pause ends within the hour of the first, not of its next wait; a second one waits all that time.
    host.accepted(r#"{"type":"a","id":"waits"}"#).await;
    receiver.reply(Reply::new(500, ""));
    clock.advance(seconds(3601));
    let all = host.drain().await;
    let reasons: Vec<_> = all.iter().map(|one| one.last_attempt.as_ref().unwrap().reason.clone().unwrap()).collect();
    assert!(reasons.iter().all(|reason| reason.contains("older than the channel's `max_age` of 1h")), "{reasons:?}");
    assert_eq!(receiver.received().len(), 1, "nothing was sent");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_has_a_schedule_of_its_own() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let exponential = "exponential = { first = \"10s\", factor = 3, longest = \"60s\", retries = 3 }";
    let config = format!("[delivery]\njitter = 0.0\n{}", hook("a", &receiver, exponential));
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..4 {
        receiver.reply(Reply::new(500, ""));
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"a"}"#).await;
    for (attempts, wait) in [(1, 10), (2, 30), (3, 60)] {
        let all = host.until("an attempt", |all| all[0].delivery.attempts == attempts).await;
        assert_eq!(all[0].delivery.due_at, Some(clock.now() + wait * 1000));
        clock.advance(seconds(wait));
    }
    assert_eq!(host.drain().await[0].delivery.state, State::Failed);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_adapter_spins_leaves_the_others_their_turn() {
    let receiver = Receiver::start().await;
    let spins = "[[channel]]\nname = \"spins\"\nadapter = \"guest\"\nconcurrency = 64\n\
                 [[route]]\nevents = [\"spins\"]\nchannel = \"spins\"\n";
    let setup = Setup::new(&format!("{spins}{}", hook("a", &receiver, "")));
    let guest = Guest { render: Act::Spin, ..Guest::new("1", &receiver.url("/")) };
    std::fs::write(setup.adapters().join("guest.wasm"), guest.component()).unwrap();
    let host = setup.start().await;
    let events = |kind: &str, count| format!("[{}]", vec![format!("{{\"type\":\"{kind}\"}}"); count].join(","));
    host.accepted(events("spins", 200)).await;
    host.accepted(events("a", 200)).await;
    // The calls that spin take 200 seconds of a thread: the others are not waited for as long.
    host.until("the others", |all| settled(all) == 200).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_grown_too_old_uses_up_nothing_of_the_rate() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&hook("a", &receiver, "rate = \"1/min\"\nmax_age = \"10s\"")).clock(clock.clone());
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"first"}"#).await;
    receiver.wait_for(1).await;
    let late: Vec<_> = (0..20).map(|number| format!(r#"{{"type":"a","id":"late{number}"}}"#)).collect();
    host.accepted(format!("[{}]", late.join(","))).await;
    clock.advance(seconds(60));
    host.accepted(r#"{"type":"a","id":"fresh"}"#).await;
    let all = host.drain().await;
    let delivered: Vec<_> = all.iter().filter(|one| one.delivery.state == State::Delivered).collect();
    let ids: Vec<_> = delivered.iter().map(|one| one.delivery.event.as_str()).collect();
    assert_eq!(ids, ["fresh", "first"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_waits_for_the_end_of_an_attempt_that_was_cancelled() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let setup = Setup::new(&hook("a", &receiver, "ordered = true"));
    let host = setup.start().await;
    host.accepted(r#"[{"type":"a","subject":"s","id":"first"},{"type":"a","subject":"s","id":"second"}]"#).await;
    receiver.wait_for(1).await;
    let all = host.deliveries().await;
    let first = all.iter().find(|one| one.delivery.event == "first").unwrap();
    let pipeline = host.app.pipeline();
    pipeline.act(herald::model::Action::Cancel, first.delivery.id).await.unwrap();
    // Another subject shows that the lane has looked again.
    host.accepted(r#"{"type":"a","subject":"other","id":"third"}"#).await;
    receiver.wait_for(2).await;
    assert_eq!(receiver.received()[1].json()["id"], "third");
    receiver.release();
    host.drain().await;
    assert_eq!(receiver.received()[2].json()["id"], "second");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_during_the_last_attempt_is_another_attempt() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&format!("[delivery]\nschedule = []\n{}", hook("a", &receiver, ""))).clock(clock.clone());
    receiver.reply(Reply::new(500, ""));
    receiver.hold();
    let host = setup.start().await;
    host.accepted(r#"{"type":"a"}"#).await;
    receiver.wait_for(1).await;
    let id = host.deliveries().await[0].delivery.id;
    // Its schedule begins a moment later.
    clock.advance(std::time::Duration::from_millis(2));
    host.app.pipeline().act(herald::model::Action::Retry, id).await.unwrap();
    receiver.release();
    let all = host.drain().await;
    assert_eq!((all[0].delivery.state, all[0].delivery.attempts), (State::Delivered, 2));
    host.stop().await;
}
