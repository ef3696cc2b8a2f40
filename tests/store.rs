//! The store's own promises, which any other store would have to keep as well.

use bytes::Bytes;
use herald::{
    model::{
        Action, Attempt, DeliveryId, Event, EventType, Exchange, FailReason, Outcome, Selection, SentRequest, State,
        Timing,
    },
    store::{Due, Filter, HopAfter, NewDelivery, NewEvent, Next, Prune, Settled, Settlement, Store, StoreError},
};

fn event(id: &str, at: u64) -> Event {
    Event {
        id: id.to_owned(),
        source: String::new(),
        kind: EventType::new("execution_completed").unwrap(),
        title: "title".to_owned(),
        body: "body".to_owned(),
        url: None,
        project: None,
        subject: Some("s".to_owned()),
        occurred_at: at,
        received_at: at,
        data: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        payload: Bytes::from_static(b"\x00\xff raw"),
    }
}

fn new(id: &str, at: u64, channels: &[&str]) -> NewEvent {
    let deliveries = channels.iter().map(|channel| NewDelivery {
        id: DeliveryId::new(at, rand::random()),
        channel: (*channel).to_owned(),
        sequence: None,
        first: false,
    });
    NewEvent { deliveries: deliveries.collect(), event: event(id, at).into() }
}

fn settlement(due: &Due, number: u32, next: Next) -> Settlement {
    let outcome = if next == Next::Delivered { Outcome::Delivered } else { Outcome::Retry };
    let attempt = Attempt {
        number,
        started_at: 1,
        duration_us: 2,
        outcome,
        reason: None,
        blame: None,
        adapter: None,
        exchanges: Vec::new(),
    };
    let thread = Some(("a".to_owned(), "s".to_owned(), "thread-1".to_owned()));
    Settlement {
        seq: due.seq,
        since: due.delivery.since,
        channel: due.delivery.channel.clone(),
        attempt,
        next,
        now: 50,
        hop: HopAfter::None,
        thread,
        state: None,
        news: Vec::new(),
        failure: None,
        fallback: None,
    }
}

fn ready(settlement: Settlement) -> Vec<std::sync::Arc<Settled>> {
    vec![std::sync::Arc::new(Settled::new(settlement).unwrap())]
}

fn settled(due: &Due, number: u32, next: Next) -> Vec<std::sync::Arc<Settled>> {
    ready(settlement(due, number, next))
}

fn open() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("herald.db")).unwrap();
    (folder, store)
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_no_log_beside_it() {
    for round in 0..100 {
        let (folder, store) = open();
        store.accept(vec![new("e", 10, &["a"])]).await.unwrap();
        drop(store);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["herald.db"], "round {round}");
    }
}

#[tokio::test]
async fn what_is_due_comes_in_order_within_its_window_and_without_what_is_in_hand() {
    let (_folder, store) = open();
    for at in [30_u64, 10, 20, 40] {
        store.accept(vec![new(&format!("e{at}"), at, &["a", "b"])]).await.unwrap();
    }
    let window = store.due("a", 30, vec![], 10).await.unwrap();
    let ids: Vec<&str> = window.due.iter().map(|job| job.event.id.as_str()).collect();
    assert_eq!(ids, ["e10", "e20", "e30"]);
    assert_eq!(window.next_due, Some(40));
    assert_eq!(&window.due[0].event.payload[..], b"\x00\xff raw");
    let window = store.due("a", 100, vec![window.due[0].delivery.id], 2).await.unwrap();
    let ids: Vec<&str> = window.due.iter().map(|job| job.event.id.as_str()).collect();
    assert_eq!(ids, ["e20", "e30"]);
    assert_eq!(window.next_due, Some(100), "there is more now");
    assert!(store.due("nobody", 100, vec![], 10).await.unwrap().due.is_empty());
}

#[tokio::test]
async fn a_settlement_moves_its_delivery_and_leaves_the_reference_to_the_next_of_its_subject() {
    let (_folder, store) = open();
    for id in ["one", "two", "three"] {
        store.accept(vec![new(id, 10 + id.len() as u64, &["a"])]).await.unwrap();
    }
    let jobs = store.due("a", 100, vec![], 10).await.unwrap().due;
    assert_eq!(jobs[0].reference, None);
    store.settle(settled(&jobs[0], 1, Next::Delivered)).await.unwrap();
    store.settle(settled(&jobs[1], 1, Next::Again { at: 500, step: 1 })).await.unwrap();
    let window = store.due("a", 100, vec![], 10).await.unwrap();
    assert_eq!((window.due.len(), window.next_due), (1, Some(500)));
    assert_eq!(window.due[0].reference.as_deref(), Some("thread-1"));
    store.settle(settled(&jobs[1], 2, Next::Failed(FailReason::Exhausted))).await.unwrap();
    let detail = store.delivery(jobs[1].delivery.id).await.unwrap().unwrap();
    assert_eq!((detail.delivery.state, detail.delivery.reason), (State::Failed, Some(FailReason::Exhausted)));
    assert_eq!(detail.attempts.len(), 2);
    let pages = store
        .page(Filter {
            selection: Selection { state: Some(State::Failed), ..Selection::default() },
            limit: 9,
            ..Filter::default()
        })
        .await
        .unwrap();
    assert_eq!(pages.len(), 1);
}

#[tokio::test]
async fn pages_follow_one_another_without_gaps() {
    let (_folder, store) = open();
    for number in 0..25_u64 {
        store.accept(vec![new(&format!("e{number:02}"), 10 + number * 7, &["a"])]).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = store.page(Filter { before, limit: 10, ..Filter::default() }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.delivery.id);
        seen.extend(page.into_iter().map(|listed| listed.delivery.event));
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("e{number:02}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_batch_with_a_double_in_it_is_stored_once() {
    let (_folder, store) = open();
    let batch = vec![new("same", 1, &["a"]), new("same", 2, &["a", "b"])];
    let accepted = store.accept(batch).await.unwrap();
    assert_eq!((accepted[0].duplicate, accepted[1].duplicate), (false, true));
    assert_eq!(accepted[1].deliveries, 1, "the first one's");
    assert!(store.due("b", 100, vec![], 10).await.unwrap().due.is_empty());
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_refused_with_a_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    let refused = |path: &std::path::Path| Store::open(path).err().unwrap();
    std::fs::write(&path, "this is no database, whatever its name says; it is long enough to have a header".repeat(20))
        .unwrap();
    assert!(matches!(refused(&path), StoreError::Foreign(_)));
    let other = folder.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
    assert!(matches!(refused(&other), StoreError::Foreign(_)));
    let newer = folder.path().join("newer.db");
    drop(Store::open(&newer).unwrap());
    rusqlite::Connection::open(&newer).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(refused(&newer), StoreError::Newer { found: 99, .. }));
    let held = folder.path().join("held.db");
    let _store = Store::open(&held).unwrap();
    assert!(matches!(refused(&held), StoreError::InUse(_)));
    assert!(matches!(refused(folder.path()), StoreError::Open { .. }));
}

#[tokio::test]
async fn an_accepted_event_is_there_after_the_store_is_opened_again() {
    let (folder, store) = open();
    store.accept(vec![new("kept", 1, &["a"])]).await.unwrap();
    drop(store);
    let store = Store::open(&folder.path().join("herald.db")).unwrap();
    assert_eq!(store.due("a", 100, vec![], 10).await.unwrap().due[0].event.id, "kept");
}

/// A store as a released version left it, to be opened.
fn fixture(name: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("herald.db");
    std::fs::copy(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").join(name), &path)
        .unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_store_of_every_version_before_is_brought_to_the_newest_with_all_that_is_in_it() {
    let (_folder, path) = fixture("store-1.db");
    let store = Store::open(&path).unwrap();
    let all = store.page(Filter { limit: 100, ..Filter::default() }).await.unwrap();
    let mut states: Vec<_> = all.iter().map(|listed| (listed.delivery.event.as_str(), listed.delivery.state)).collect();
    states.sort_by_key(|(event, _)| *event);
    let (delivered, pending, failed) = (State::Delivered, State::Pending, State::Failed);
    assert_eq!(
        states,
        [
            ("bad-1", failed),
            ("bad-2", pending),
            ("g1", delivered),
            ("gone-1", pending),
            ("good-0", delivered),
            ("good-1", delivered),
            ("good-2", delivered),
        ]
    );
    let detail = store.delivery(all[0].delivery.id).await.unwrap().unwrap();
    assert_eq!((detail.event.id.as_str(), detail.attempts.len()), ("bad-2", 1));
    let channels = store.channels(None).await.unwrap();
    assert!(channels["gone"].disabled.as_ref().unwrap().reason.contains("410"));
    let counts = store.counts().await.unwrap();
    let total: u64 = counts.iter().map(|count| count.count).sum();
    assert_eq!(total, 7);
    store.accept(vec![new("next", u64::MAX >> 2, &["guest"])]).await.unwrap();
    let due = store.due("guest", u64::MAX >> 1, vec![], 10).await.unwrap().due;
    assert_eq!(due[0].reference.as_deref(), Some("thread-7"), "threads go on");
    drop(store);
    is_as_a_new_one(&path);
}

/// What a store was migrated to is what a new one is.
fn is_as_a_new_one(path: &std::path::Path) {
    let tables = |path: &std::path::Path| -> Vec<String> {
        let connection = rusqlite::Connection::open(path).unwrap();
        let mut statement = connection
            .prepare("SELECT type || ' ' || name || ' ' || ifnull(sql, '') FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY 1")
            .unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let (folder, fresh) = open();
    drop(fresh);
    assert_eq!(tables(path), tables(&folder.path().join("herald.db")));
    let connection = rusqlite::Connection::open(path).unwrap();
    let vacuum: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(vacuum, 2, "it gives space back");
    for check in ["integrity_check", "foreign_key_check"] {
        let mut statement = connection.prepare(&format!("PRAGMA {check}")).unwrap();
        let told: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert!(told.is_empty() || told == ["ok"], "{told:?}");
    }
}

#[tokio::test]
async fn a_store_of_version_2_is_read_and_written_and_pruned_as_a_new_one() {
    let (_folder, path) = fixture("store-2.db");
    let store = Store::open(&path).unwrap();
    let all = store.page(Filter { limit: 100, ..Filter::default() }).await.unwrap();
    let delivered: Vec<_> = all.iter().filter(|listed| listed.delivery.state == State::Delivered).collect();
    let (of_two, failed) =
        (delivered.len(), all.iter().filter(|listed| listed.delivery.state == State::Failed).count());
    assert_eq!((all.len(), of_two, failed), (11, 5, 2));
    assert!(delivered.iter().all(|listed| listed.last_attempt.as_ref().unwrap().status == Some(200)));
    // An account from before, with the body that it has of its own.
    let detail = store.delivery(delivered[0].delivery.id).await.unwrap().unwrap();
    let request = &detail.attempts[0].exchanges[0].request;
    assert_eq!(request.body.as_ref().unwrap().as_bytes(), &detail.event.payload[..]);
    assert_eq!(detail.event.data.get(), r#"{"number": 0, "text": "na\u00efve \"quoted\""}"#);
    // Attempts of before and after, of one delivery.
    let due = store.due("bad", u64::MAX >> 1, vec![], 10).await.unwrap().due;
    let due = due.iter().find(|due| due.event.id == "v2-bad-0").unwrap();
    assert_eq!((due.delivery.attempts, due.seq), (1, 14));
    store.settle(settled(due, 2, Next::Delivered)).await.unwrap();
    let detail = store.delivery(due.delivery.id).await.unwrap().unwrap();
    assert_eq!(detail.attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2]);
    let rows = store.accept(vec![new("next", 10, &["a"])]).await.unwrap().remove(0).rows;
    assert_eq!(rows, [Some(17)], "numbers go on");
    store.act(Action::Cancel, store.due("a", 100, vec![], 1).await.unwrap().due[0].delivery.id, 20).await.unwrap();
    let all = Prune { before: u64::MAX, bytes: u64::MAX, rest: 0, thin: None };
    assert_eq!(store.prune(all).await.unwrap().rows, 9);
    drop(store);
    is_as_a_new_one(&path);
    let left = rusqlite::Connection::open(&path).unwrap();
    let count = |table: &str| -> i64 {
        left.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(["deliveries", "attempts", "attempts_2"].map(count), [3, 0, 4]);
    drop(left);
    let store = Store::open(&path).unwrap();
    let rows = store.accept(vec![new("more", 10, &["a"])]).await.unwrap().remove(0).rows;
    assert_eq!(rows, [Some(18)], "what was pruned took its number along");
}

#[tokio::test]
async fn what_is_kept_once_is_told_twice() {
    let (folder, store) = open();
    let payload = r#"{"type":"execution_completed","data":{"a name long enough to be worth it":"\u00e9\"é"}}"#;
    for (id, body, payload, data) in [
        ("same", payload, payload, r#"{"a name long enough to be worth it":"\u00e9\"é"}"#),
        ("other", "[redacted]", payload, r#"{"a name long enough to be worth it":"somewhere else"}"#),
        ("short", "", "", "{}"),
    ] {
        let mut new = new(id, 10, &["a"]);
        let event = std::sync::Arc::get_mut(&mut new.event).unwrap();
        event.payload = payload.into();
        event.data = serde_json::value::RawValue::from_string(data.to_owned()).unwrap();
        let delivery = new.deliveries[0].id;
        store.accept(vec![new]).await.unwrap();
        let due = store.due("a", 100, vec![], 1).await.unwrap().due.remove(0);
        assert_eq!((due.event.data.get(), &due.event.payload[..]), (data, payload.as_bytes()));
        let request = SentRequest {
            method: "POST".to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: Some(body.to_owned()),
        };
        let exchange = Exchange { request, response: None, error: None, timing: Timing::default() };
        let mut settlement = settlement(&due, 1, Next::Delivered);
        let attempt = &mut settlement.attempt;
        attempt.exchanges = vec![exchange];
        let whole = attempt.clone();
        *attempt = attempt.clone().without_payload(payload.as_bytes());
        assert_eq!(attempt.exchanges[0].request.body.is_none(), id != "other");
        store.settle(ready(settlement)).await.unwrap();
        let told = store.delivery(delivery).await.unwrap().unwrap();
        assert_eq!((told.event.data.get(), &told.attempts), (data, &vec![whole]));
    }
    let found: (i64, i64) = rusqlite::Connection::open(folder.path().join("herald.db"))
        .unwrap()
        .query_row("SELECT sum(length(data)), sum(data_at) FROM events", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    assert_eq!(found, (54 + 2, 37));
}

#[tokio::test]
async fn a_store_that_misses_a_table_is_refused_with_a_sentence() {
    let (folder, store) = open();
    drop(store);
    let path = folder.path().join("herald.db");
    rusqlite::Connection::open(&path).unwrap().execute_batch("DROP TABLE attempts").unwrap();
    let refused = Store::open(&path).err().unwrap().to_string();
    assert!(refused.contains("damaged: the table attempts is missing"), "{refused}");
}

#[tokio::test]
async fn an_attempt_that_ends_after_its_delivery_was_pruned_touches_no_other() {
    let (_folder, store) = open();
    store.accept(vec![new("old", 10, &["a"])]).await.unwrap();
    let due = store.due("a", 100, vec![], 10).await.unwrap().due.remove(0);
    store.act(Action::Cancel, due.delivery.id, 20).await.unwrap();
    let all = Prune { before: u64::MAX, bytes: u64::MAX, rest: 0, thin: None };
    assert_eq!(store.prune(all).await.unwrap().rows, 1);
    store.accept(vec![new("young", 30, &["a"])]).await.unwrap();
    store.settle(settled(&due, 1, Next::Delivered)).await.unwrap();
    let left = store.due("a", 100, vec![], 10).await.unwrap().due;
    assert_eq!((left.len(), left[0].event.id.as_str(), left[0].delivery.attempts), (1, "young", 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_told_as_it_is_at_one_moment() {
    let (_folder, store) = open();
    store.accept(vec![new("one", 10, &["a"])]).await.unwrap();
    let due = store.due("a", 100, vec![], 10).await.unwrap().due.remove(0);
    let id = due.delivery.id;
    let settling = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 1..=300 {
                store.settle(settled(&due, number, Next::Again { at: 10, step: 0 })).await.unwrap();
            }
        }
    });
    while !settling.is_finished() {
        let detail = store.delivery(id).await.unwrap().unwrap();
        let shown: Vec<u32> = detail.attempts.iter().map(|attempt| attempt.number).collect();
        let last = detail.delivery.attempts;
        assert_eq!(shown, (last.saturating_sub(99).max(1)..=last).collect::<Vec<_>>(), "the last hundred");
    }
    settling.await.unwrap();
}

#[tokio::test]
async fn who_has_an_event_accepted_is_told_the_rows_of_what_is_due() {
    let (_folder, store) = open();
    let ordered = |id: &str, at| {
        let mut event = new(id, at, &["a", "b"]);
        event.deliveries[0].sequence = Some("s".to_owned());
        event
    };
    let accepted = store.accept(vec![ordered("one", 10), ordered("two", 20), ordered("one", 30)]).await.unwrap();
    let rows: Vec<_> = accepted.iter().map(|accepted| accepted.rows.clone()).collect();
    let mut due = Vec::new();
    for channel in ["a", "b"] {
        let window = store.due(channel, 100, vec![], 10).await.unwrap().due;
        due.push(window.iter().map(|due| due.seq).collect::<Vec<_>>());
    }
    assert_eq!(due.iter().map(Vec::len).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(rows, [vec![Some(due[0][0]), Some(due[1][0])], vec![None, Some(due[1][1])], vec![]]);
}
