//! What people do with what is stored while the host runs: retry, cancel, replay, one by one and in bulk; and channels that
//! are disabled by hand or not configured any more.

use std::collections::BTreeSet;

use herald::{clock::Clock, model::State};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    harness::{Receiver, Reply, Setup, TestHost, seconds, within},
    pacing::hook,
};

pub const NOW: u64 = 1_700_000_000_000;
const HOUR: u64 = 3600;

/// Posts an order with a body, or with none.
pub async fn order(host: &TestHost, path: &str, body: &str) -> (StatusCode, Value) {
    let request = host.http.post(format!("{}{path}", host.base)).body(body.to_owned());
    let response = within("an answer", request.send()).await.unwrap();
    let (status, text) = (response.status(), within("its body", response.text()).await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// An order that is carried out.
pub async fn ordered(host: &TestHost, path: &str) -> Value {
    let (status, answer) = order(host, path, "").await;
    assert!(status.is_success(), "{path}: {status} {answer}");
    answer
}

/// One that is not: the status, the code and the hint.
pub async fn refused(host: &TestHost, path: &str) -> (u16, String, String) {
    let (status, answer) = order(host, path, "").await;
    assert!(answer["message"].is_string(), "{path}: {answer}");
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    (status.as_u16(), text("code"), format!("{}; {}", text("message"), text("hint")))
}

/// Begins bulk work and waits for its end.
pub async fn done(host: &TestHost, path: &str) -> Value {
    let (status, begun) = order(host, path, "").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{path}: {begun}");
    let id = begun["job"]["id"].as_str().unwrap().to_owned();
    within(&format!("the end of {path}"), async {
        loop {
            let (_, answer) = host.get(&format!("/v1/jobs/{id}")).await;
            if !answer["job"]["ended_at"].is_null() {
                return answer["job"].clone();
            }
        }
    })
    .await
}

/// The events of the deliveries that a list finds, sorted.
pub async fn found(host: &TestHost, query: &str) -> Vec<String> {
    let (status, list) = host.get(&format!("/v1/deliveries?limit=500&{query}")).await;
    assert_eq!(status, StatusCode::OK, "{query}: {list}");
    let mut events: Vec<String> =
        list["deliveries"].as_array().unwrap().iter().map(|one| one["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    events
}

/// The id of the delivery of an event.
pub async fn delivery(host: &TestHost, event: &str) -> String {
    let (_, list) = host.get(&format!("/v1/deliveries?event={event}")).await;
    list["deliveries"][0]["id"].as_str().unwrap_or_else(|| panic!("no delivery of {event}: {list}")).to_owned()
}

pub fn event(kind: &str, id: &str) -> String {
    json!({ "type": kind, "id": id }).to_string()
}

pub fn ids(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|one| one.json()["id"].as_str().unwrap().to_owned()).collect()
}

/// Accepts an event and waits for its first attempt, which is answered like that.
pub async fn tried(host: &TestHost, receiver: &Receiver, status: u16, kind: &str, id: &str) {
    receiver.reply(Reply::new(status, ""));
    host.accepted(event(kind, id)).await;
    host.until("the attempt", |all| all.iter().any(|one| one.delivery.event == id && one.delivery.attempts == 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_makes_a_delivery_due_now_and_before_all_others_of_its_channel() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 1")).clock(Clock::manual(NOW));
    let host = setup.start().await;
    tried(&host, &receiver, 404, "a", "failed").await;
    tried(&host, &receiver, 500, "a", "later").await;
    receiver.hold();
    host.accepted(event("a", "first")).await;
    receiver.wait_for(3).await;
    for id in ["second", "third"] {
        host.accepted(event("a", id)).await;
    }
    // One has failed, the other one would be due in five seconds, and the clock stands still.
    for (id, attempts) in [("later", 1), ("failed", 1)] {
        let shown = ordered(&host, &format!("/v1/deliveries/{}/retry", delivery(&host, id).await)).await;
        let (state, made) = (&shown["delivery"]["state"], shown["attempts"].as_array().unwrap().len());
        assert_eq!((state, made, &shown["event"]["id"]), (&json!("pending"), attempts, &json!(id)), "{shown}");
        assert_eq!((&shown["delivery"]["reason"], &shown["delivery"]["due_at"]), (&Value::Null, &json!(NOW)));
    }
    receiver.release();
    host.drain().await;
    assert_eq!(ids(&receiver), ["failed", "later", "first", "failed", "later", "second", "third"]);
    let shown = host.get(&format!("/v1/deliveries/{}", delivery(&host, "failed").await)).await.1;
    assert_eq!((&shown["delivery"]["state"], &shown["attempts"][1]["number"]), (&json!("delivered"), &json!(2)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_is_not_tried_again_unless_somebody_retries_it() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let setup = Setup::new(&hook("a", &receiver, "concurrency = 1")).clock(clock.clone());
    let host = setup.start().await;
    tried(&host, &receiver, 500, "a", "tried").await;
    receiver.hold();
    host.accepted(event("a", "first")).await;
    receiver.wait_for(2).await;
    host.accepted(event("a", "second")).await;
    for id in ["tried", "second"] {
        let id = delivery(&host, id).await;
        let shown = ordered(&host, &format!("/v1/deliveries/{id}/cancel")).await;
        assert_eq!((&shown["delivery"]["state"], &shown["waits"]), (&json!("cancelled"), &Value::Null), "{shown}");
    }
    receiver.release();
    host.drain().await;
    clock.advance(seconds(48 * HOUR));
    tried(&host, &receiver, 200, "a", "last").await;
    assert_eq!(ids(&receiver), ["tried", "first", "last"]);
    ordered(&host, &format!("/v1/deliveries/{}/retry", delivery(&host, "second").await)).await;
    host.drain().await;
    assert_eq!(ids(&receiver), ["tried", "first", "last", "second"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_in_the_middle_of_an_attempt_stays_so_unless_it_was_taken() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, "")).clock(Clock::manual(NOW));
    let host = setup.start().await;
    receiver.hold();
    for (count, status, state) in [(1, 500, "cancelled"), (2, 200, "delivered")] {
        receiver.hold();
        receiver.reply(Reply::new(status, ""));
        host.accepted(event("a", state)).await;
        receiver.wait_for(count).await;
        let id = delivery(&host, state).await;
        ordered(&host, &format!("/v1/deliveries/{id}/cancel")).await;
        receiver.release();
        let shown = host.get(&format!("/v1/deliveries/{id}?wait=30")).await.1;
        let account = (&shown["delivery"]["state"], &shown["delivery"]["attempts"], shown["attempts"].as_array());
        assert_eq!((account.0, account.1, account.2.unwrap().len()), (&json!(state), &json!(1), 1), "{shown}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_can_be_neither_retried_nor_cancelled() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, ""));
    let host = setup.start().await;
    tried(&host, &receiver, 200, "a", "delivered").await;
    tried(&host, &receiver, 404, "a", "failed").await;
    let (delivered, failed) = (delivery(&host, "delivered").await, delivery(&host, "failed").await);
    for (path, hint) in [
        (format!("{delivered}/retry"), "is delivered: it can't be retried; to send it once more, replay its event"),
        (format!("{delivered}/cancel"), "is delivered: it can't be cancelled; only what is pending"),
        (format!("{failed}/cancel"), "is failed: it can't be cancelled"),
    ] {
        let (status, code, told) = refused(&host, &format!("/v1/deliveries/{path}")).await;
        assert_eq!((status, code.as_str()), (409, "not_in_this_state"), "{path}");
        assert!(told.contains(hint), "{told}");
    }
    for (path, status) in [
        ("dlv_01kb0c6zj3v5t8w2n4x7q9r1se/retry", 404),
        ("dlv_01kb0c6zj3v5t8w2n4x7q9r1se/cancel", 404),
        ("x/retry", 400),
        (format!("{failed}/retry?now=1").as_str(), 400),
    ] {
        assert_eq!(refused(&host, &format!("/v1/deliveries/{path}")).await.0, status, "{path}");
    }
    assert_eq!(receiver.received().len(), 2);
    host.stop().await;
}

/// What a filter must find.
struct Failed {
    id: String,
    channel: &'static str,
    kind: &'static str,
    project: Option<&'static str>,
    reason: &'static str,
    hour: u64,
}

/// Failed deliveries of every sort, in the course of six hours, on channels that are then disabled.
async fn failures(host: &TestHost, receiver: &Receiver, clock: &Clock) -> Vec<Failed> {
    let mut all = Vec::new();
    for hour in 0..6 {
        for (number, (channel, kind, project, reason)) in [
            ("a", "a.deploy_failed", None, "rejected"),
            ("a", "a.deploy_done", Some("p"), "exhausted"),
            ("b", "b.deploy_failed", Some("p"), "exhausted"),
            ("b", "b.billing", None, "rejected"),
        ]
        .into_iter()
        .enumerate()
        {
            let id = format!("e{hour}{number}");
            receiver.reply(Reply::new(if reason == "rejected" { 404 } else { 500 }, ""));
            host.accepted(json!({ "type": kind, "id": id, "project": project }).to_string()).await;
            let failed = |one: &herald::store::Listed| one.delivery.state == State::Failed;
            host.until("its failure", |all| all.iter().any(|one| one.delivery.event == id && failed(one))).await;
            all.push(Failed { id, channel, kind, project, reason, hour });
        }
        clock.advance(seconds(HOUR));
    }
    for channel in ["a", "b"] {
        ordered(host, &format!("/v1/channels/{channel}/disable")).await;
    }
    all
}

fn both(receiver: &Receiver) -> String {
    let both = format!("[delivery]\nschedule = []\n{}{}", hook("a", receiver, ""), hook("b", receiver, ""));
    both.replace("[\"a\"]", "[\"a.*\"]").replace("[\"b\"]", "[\"b.*\"]")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_retry_takes_exactly_what_its_filter_says() {
    type Holds = fn(&Failed) -> bool;
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let setup = Setup::new(&both(&receiver)).clock(clock.clone());
    let host = setup.start().await;
    let all = failures(&host, &receiver, &clock).await;
    // It is six o'clock; 22:13:20 UTC was at nought.
    let filters: [(&str, Holds); 9] = [
        ("channel=a&reason=rejected&since=2h", |one| one.channel == "a" && one.reason == "rejected" && one.hour >= 4),
        ("type=*_failed&project=p&until=5h", |one| one.kind == "b.deploy_failed" && one.hour < 1),
        ("project=p&since=2023-11-14T23:13:20Z&until=2023-11-15T01:13:20.000Z", |one| {
            one.project.is_some() && (1..3).contains(&one.hour)
        }),
        ("since=2023-11-15T03:13:20%2B02:00&until=2h+30m", |one| one.hour == 3),
        ("type=a.deploy_done", |one| one.kind == "a.deploy_done"),
        ("type=deploy", |_| false),
        ("channel=b&reason=rejected", |one| one.channel == "b" && one.reason == "rejected"),
        ("reason=blocked", |_| false),
        ("all=true", |_| true),
    ];
    let mut pending = BTreeSet::new();
    for (filter, holds) in filters {
        let expected: Vec<String> = all.iter().filter(|one| holds(one)).map(|one| one.id.clone()).collect();
        let new: Vec<String> = expected.iter().filter(|id| !pending.contains(*id)).cloned().collect();
        assert_eq!(found(&host, &format!("state=failed&{}", filter.replace("all=true", ""))).await, new, "{filter}");
        let job = done(&host, &format!("/v1/deliveries/retry?{filter}")).await;
        assert_eq!((&job["changed"], &job["looked_at"], &job["of"]), (&json!(new.len()), &json!(24), &json!(24)));
        assert_eq!((&job["action"], &job["selection"]["state"]), (&json!("retry"), &json!("failed")), "{filter}");
        pending.extend(new);
        assert_eq!(found(&host, "state=pending").await, pending.iter().cloned().collect::<Vec<_>>(), "{filter}");
    }
    assert_eq!(receiver.received().len(), 24);
    for channel in ["a", "b"] {
        ordered(&host, &format!("/v1/channels/{channel}/enable")).await;
    }
    let delivered = |one: &herald::store::Listed| one.delivery.state == State::Delivered && one.delivery.attempts == 2;
    assert!(host.drain().await.iter().all(delivered), "each once");
    let (_, jobs) = host.get("/v1/jobs").await;
    let listed: Vec<_> = jobs["jobs"].as_array().unwrap().iter().map(|job| job["changed"].as_u64().unwrap()).collect();
    assert_eq!((listed.len(), listed.iter().sum::<u64>()), (9, 24), "the newest first: {jobs}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_cancel_stops_what_is_pending_and_nothing_else() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let setup = Setup::new(&both(&receiver)).clock(clock.clone());
    let host = setup.start().await;
    failures(&host, &receiver, &clock).await;
    for id in ["a1", "a2", "b1"] {
        host.accepted(event(&id.replace(['1', '2'], ".new"), id)).await;
    }
    let job = done(&host, "/v1/deliveries/cancel?channel=a").await;
    assert_eq!((&job["changed"], &job["action"]), (&json!(2), &json!("cancel")), "{job}");
    assert_eq!(found(&host, "state=cancelled").await, ["a1", "a2"]);
    assert_eq!(found(&host, "state=pending").await, ["b1"]);
    assert_eq!(found(&host, "state=failed").await.len(), 24);
    // What was cancelled comes back when somebody asks for it.
    assert_eq!(done(&host, "/v1/deliveries/retry?state=cancelled&type=a.new").await["changed"], 2);
    assert_eq!(done(&host, "/v1/deliveries/cancel?all=true&state=pending").await["changed"], 3);
    assert_eq!(found(&host, "state=cancelled").await, ["a1", "a2", "b1"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_that_nothing_narrows_is_refused() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, ""));
    let host = setup.start().await;
    tried(&host, &receiver, 404, "a", "failed").await;
    for (path, status, part) in [
        ("deliveries/retry", 400, "narrow it by channel, reason, type, project, since or until, or say all=true"),
        ("deliveries/retry?state=failed", 400, "that would be everything there is"),
        ("deliveries/retry?all=false", 400, "all=true"),
        ("deliveries/retry?all=yes", 400, "true or false"),
        ("deliveries/cancel", 400, "all=true"),
        ("events/replay", 400, "narrow it by type, project, since or until"),
        ("events/replay?channel=a", 400, "all=true"),
        ("deliveries/retry?chanel=a", 400, "there is no parameter `chanel`; the parameters are channel, state,"),
        ("deliveries/retry?channel=a&channel=b", 400, "`channel` is given twice"),
        ("deliveries/retry?channel=", 404, "there is no channel ``"),
        ("deliveries/cancel?channel=b", 404, "there is no channel `b`"),
        ("events/replay?type=a&channel=b", 404, "there is no channel `b`"),
        ("deliveries/retry?channel=a&state=delivered", 400, "replay the events"),
        ("deliveries/retry?channel=a&state=lost", 400, "pending, delivered, failed and cancelled"),
        ("deliveries/retry?reason=tired", 400, "rejected, exhausted, adapter and blocked"),
        ("deliveries/retry?reason=rejected&state=pending", 400, "only what has failed has a reason"),
        ("deliveries/cancel?channel=a&state=failed", 400, "what is failed can't be cancelled"),
        ("deliveries/cancel?channel=a&reason=rejected", 400, "only what has failed has a reason"),
        ("deliveries/retry?since=yesterday", 400, "`since=yesterday` is no time; give a time, "),
        ("deliveries/retry?since=1h&until=2h", 400, "`since` is not before `until`"),
    ] {
        let (found, code, told) = refused(&host, &format!("/v1/{path}")).await;
        assert_eq!((found, code.as_str()), (status, if status == 404 { "not_found" } else { "bad_query" }), "{path}");
        assert!(told.contains(part), "{path}: {told}");
    }
    assert_eq!(host.get("/v1/jobs").await.1, json!({ "jobs": [] }));
    assert_eq!(host.get("/v1/jobs/job_01kb0c6zj3v5t8w2n4x7q9r1se").await.0, StatusCode::NOT_FOUND);
    assert_eq!(host.get("/v1/jobs/x").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(receiver.received().len(), 1);
    host.stop().await;
}
