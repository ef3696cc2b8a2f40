//! What has ended is kept for a time and within a size; what is pending is always kept.

use herald::{clock::Clock, model::State};

use crate::{
    harness::{Receiver, Reply, Setup, seconds},
    pacing::hook,
};

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_thirty_days_ago_is_taken_away_and_what_is_pending_stays() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let config = format!(
        "[delivery]\nschedule = [\"30d\", \"30d\"]\njitter = 0.0\ndisable_after = \"\"\n{}",
        hook("a", &receiver, "")
    );
    let setup = Setup::new(&config).clock(clock.clone());
    for status in [200, 200, 404, 500] {
        receiver.reply(Reply::new(status, ""));
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"a","id":"earlier"}"#).await;
    host.drain().await;
    clock.advance(seconds(120));
    for id in ["delivered", "rejected", "pending"] {
        host.accepted(format!(r#"{{"type":"a","id":"{id}"}}"#)).await;
        host.until("the attempt", |all| all[0].delivery.event == id && all[0].delivery.attempts == 1).await;
    }
    host.accepted(r#"{"type":"unrouted","id":"unrouted"}"#).await;
    clock.advance(seconds(29 * 86_400));
    host.accepted(r#"{"type":"a","id":"later"}"#).await;
    host.until("the later one", |all| all[0].delivery.state == State::Delivered).await;
    assert_eq!(host.deliveries().await.len(), 5);
    // What ended two minutes earlier goes, and that is when the others would go if it were their time.
    clock.advance(seconds(86_400 - 60));
    let ids = async || host.deliveries().await.into_iter().map(|one| one.delivery.event).collect::<Vec<_>>();
    let earlier = async {
        while ids().await.iter().any(|id| id == "earlier") {
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    };
    crate::harness::within("the earlier one to go", earlier).await;
    assert_eq!(ids().await, ["later", "pending", "rejected", "delivered"], "a minute before");
    let store = host.app.pipeline().store().clone();
    let gone = async {
        while host.deliveries().await.len() > 2 || !store.events("unrouted".to_owned()).await.unwrap().is_empty() {
            // It is looked at once a minute.
            clock.advance(seconds(60));
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    };
    crate::harness::within("the old ones to go", gone).await;
    assert_eq!(ids().await, ["later", "pending"]);
    // Its id is free again, and it is another event.
    assert_eq!(host.accepted(r#"{"type":"a","id":"delivered"}"#).await["duplicate"], false);
    let (_, channels) = host.get("/v1/channels").await;
    assert!(channels["channels"][0]["deliveries"]["failed"].is_null(), "{channels}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_grows_beyond_its_size_loses_its_oldest_and_gives_the_space_back() {
    let receiver = Receiver::start().await;
    let config = format!("[store]\nmax_size = \"1 MiB\"\n{}", hook("a", &receiver, ""));
    let setup = Setup::new(&config).clock(Clock::manual(1_700_000_000_000));
    let host = setup.start().await;
    let body = "x".repeat(20_000);
    for number in 0..200 {
        host.accepted(format!(r#"{{"type":"a","id":"e{number}","body":"{body}"}}"#)).await;
    }
    host.drain().await;
    let store = host.app.pipeline().store().clone();
    assert!(store.size().await.unwrap() > 8 << 20, "two copies of each body");
    let file = rusqlite::Connection::open(setup.folder.path().join("herald.db")).unwrap();
    let free = || file.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0)).unwrap();
    let small = async {
        while store.size().await.unwrap() > 1 << 20 || free() > 256 {
            setup.clock.advance(seconds(60));
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    };
    crate::harness::within("the store to become small", small).await;
    let left = host.deliveries().await;
    assert!(!left.is_empty() && left.len() < 60, "{}", left.len());
    assert_eq!(left[0].delivery.event, "e199", "the newest stay");
    drop((store, file));
    host.stop().await;
    let length = std::fs::metadata(setup.folder.path().join("herald.db")).unwrap().len();
    assert!(length < 3 << 20, "{length}");
}
