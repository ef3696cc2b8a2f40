//! What is accepted goes to its channel from memory as long as there is room, and by way of the store beyond that: once.

use std::collections::BTreeSet;

use herald::{clock::Clock, model::State};
use tokio::io::AsyncWriteExt;

use crate::{
    harness::{Receiver, Reply, Setup},
    operating::ordered,
    pacing::hook,
};

fn events(from: u32, to: u32) -> String {
    let events: Vec<_> = (from..to).map(|number| format!(r#"{{"type":"a","id":"e{number}"}}"#)).collect();
    format!("[{}]", events.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_memory_holds_is_delivered_once_and_in_order() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 1"));
    let host = setup.start().await;
    // The first is held, and so is what comes after; part of it is accepted when there is no more room.
    for batch in 0..15 {
        host.accepted(events(batch * 100, (batch + 1) * 100)).await;
    }
    receiver.release();
    // More comes while the channel catches up.
    for batch in 15..20 {
        host.accepted(events(batch * 100, (batch + 1) * 100)).await;
    }
    let received = receiver.wait_for(2000).await;
    host.drain().await;
    let order: Vec<_> = received.iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(order, (0..2000).map(|number| format!("e{number}")).collect::<Vec<_>>());
    assert_eq!(receiver.received().len(), 2000);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_many_posts_at_once_are_delivered_once() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 4"));
    let host = setup.start().await;
    let posts = (0..8).map(|post| {
        let host = &host;
        async move {
            for number in 0..100 {
                host.accepted(events(post * 1000 + number, post * 1000 + number + 1)).await;
            }
        }
    });
    futures_util::future::join_all(posts).await;
    let received = receiver.wait_for(800).await;
    host.drain().await;
    assert_eq!(receiver.received().len(), 800);
    let ids: BTreeSet<_> = received.iter().map(|one| one.json()["id"].to_string()).collect();
    assert_eq!(ids.len(), 800);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_while_it_waits_in_memory_is_not_sent() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 1"));
    let host = setup.start().await;
    host.accepted(events(0, 1)).await;
    receiver.wait_for(1).await;
    host.accepted(events(1, 4)).await;
    let cancelled = host.deliveries().await.into_iter().find(|one| one.delivery.event == "e2").unwrap();
    ordered(&host, &format!("/v1/deliveries/{}/cancel", cancelled.delivery.id)).await;
    receiver.release();
    let all = host.drain().await;
    assert_eq!(all.iter().filter(|one| one.delivery.state == State::Cancelled).count(), 1);
    let ids: Vec<_> = receiver.received().iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, ["e0", "e1", "e3"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_whose_sender_hangs_up_before_the_answer_is_delivered_like_any_other() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, ""));
    let host = setup.start().await;
    // The channel has asked the store for all there is.
    host.accepted(events(0, 1)).await;
    host.drain().await;
    for number in 1..200 {
        let body = events(number, number + 1);
        let mut stream = tokio::net::TcpStream::connect(host.base.trim_start_matches("http://")).await.unwrap();
        let head = format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        // Now and then after a moment, so that some are in the middle of their commit.
        for _ in 0..number % 50 {
            tokio::task::yield_now().await;
        }
        drop(stream);
    }
    host.accepted(events(900, 901)).await;
    let all = host.drain().await;
    assert!(all.len() > 2, "none but the first and the last was accepted");
    assert_eq!(receiver.received().len(), all.len());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_due_again_comes_before_what_is_accepted_after_that() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::new(503, "busy"));
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 1\nschedule = [\"10s\"]")).clock(clock.clone());
    let host = setup.start().await;
    host.accepted(events(0, 1)).await;
    host.until("a failed attempt", |all| all.iter().any(|listed| listed.delivery.attempts == 1)).await;
    receiver.hold();
    host.accepted(events(1, 50)).await;
    receiver.wait_for(2).await;
    // By now it is due, and comes before what is accepted after that.
    clock.advance(std::time::Duration::from_mins(1));
    for batch in 1..6 {
        host.accepted(events(batch * 100, (batch + 1) * 100)).await;
    }
    receiver.release();
    let received = receiver.wait_for(551).await;
    let again = received.iter().rposition(|one| one.json()["id"] == "e0").unwrap();
    assert_eq!(again, 50, "after those that were accepted before it was due");
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_cannot_be_written_keeps_no_other_waiting() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 8"));
    let host = setup.start().await;
    // Somebody else's hand is in the file: the outcome of the first delivery is refused by it.
    let file = rusqlite::Connection::open(setup.folder.path().join("herald.db")).unwrap();
    file.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    let first = 1 << 20;
    let refuse = format!(
        "CREATE TRIGGER refuse BEFORE INSERT ON attempts WHEN NEW.seq = {first} + 1 BEGIN SELECT RAISE(ABORT, 'no'); END"
    );
    file.execute_batch(&refuse).unwrap();
    host.accepted(events(0, 50)).await;
    receiver.wait_for(50).await;
    let state = |all: &[herald::store::Listed], state| all.iter().filter(|one| one.delivery.state == state).count();
    let all = host.until("49 outcomes", |all| state(all, State::Delivered) == 49).await;
    let pending = all.iter().find(|one| one.delivery.state == State::Pending).unwrap();
    assert_eq!(pending.delivery.event, "e0");
    // What comes later is written, too.
    host.accepted(events(50, 60)).await;
    host.until("10 more", |all| state(all, State::Delivered) == 59).await;
    assert_eq!(receiver.received().len(), 60, "none was sent twice");
    file.execute_batch("DROP TRIGGER refuse").unwrap();
    host.until("the last", |all| state(all, State::Delivered) == 60).await;
    assert_eq!(receiver.received().len(), 60, "nor was the one");
    host.stop().await;
}
