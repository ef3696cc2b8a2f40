//! Old events that are delivered again, and bulk work that outlasts its host.

use std::{collections::BTreeSet, path::Path};

use herald::{
    clock::Clock,
    model::State,
    store::{Filter, Listed, Store},
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    harness::{
        Receiver, Setup, TestHost,
        process::{Program, Running},
        seconds, within,
    },
    operating::{NOW, delivery, done, event, found, ids, order, ordered, refused, tried},
    pacing::hook,
};

/// Waits until a config that was written is in use.
async fn in_use(host: &TestHost, channels: &[&str]) {
    within("the new config", async {
        while host.app.pipeline().plan().channels.keys().ne(channels) {
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_makes_new_deliveries_by_the_routes_of_now_or_on_one_channel() {
    let receiver = Receiver::start().await;
    let (a, b) = (hook("a", &receiver, ""), hook("b", &receiver, ""));
    let setup = Setup::new(&format!("{a}{b}"));
    let host = setup.start().await;
    tried(&host, &receiver, 200, "a", "e1").await;
    let first = delivery(&host, "e1").await;
    // The routes change: what led to `a` leads to `c` and `b`.
    let c = hook("c", &receiver, "").replace("[\"c\"]", "[\"a\"]");
    setup.write_config(&format!(
        "{}{b}{c}[[route]]\nevents = \"a\"\nchannel = \"b\"\n",
        a.replace("[\"a\"]", "[\"x\"]")
    ));
    in_use(&host, &["a", "b", "c"]).await;
    let new = ordered(&host, "/v1/events/e1/replay").await;
    let new: Vec<String> = serde_json::from_value(new["deliveries"].clone()).unwrap();
    host.drain().await;
    let paths = |from: usize| -> BTreeSet<String> {
        receiver.received().into_iter().skip(from).map(|received| received.path).collect()
    };
    assert_eq!(
        (new.len(), new.contains(&first), paths(1)),
        (2, false, BTreeSet::from(["/b", "/c"].map(str::to_owned)))
    );
    let sent: BTreeSet<_> = receiver.received().iter().map(|one| one.header("herald-delivery-id").to_owned()).collect();
    assert_eq!(sent, new.iter().cloned().chain([first]).collect(), "each with an id of its own");
    let one = ordered(&host, "/v1/events/e1/replay?channel=a").await;
    assert_eq!(one["deliveries"].as_array().unwrap().len(), 1);
    host.drain().await;
    assert_eq!(paths(3), BTreeSet::from(["/a".to_owned()]));
    // And it is the same event still.
    assert_eq!(host.accepted(event("a", "e1")).await, json!({ "id": "e1", "deliveries": 1, "duplicate": true }));
    assert_eq!(ids(&receiver), ["e1"; 4]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_can_not_be_made_says_why() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, ""));
    let host = setup.start().await;
    host.accepted(event("nobody", "unrouted")).await;
    for source in ["/one", "/two"] {
        let cloud = json!({ "specversion": "1.0", "id": "twin/1", "source": source, "type": "a" });
        host.post_as("application/cloudevents+json", cloud.to_string(), &[]).await;
    }
    host.drain().await;
    for (path, status, code, part) in [
        ("none/replay", 404, "not_found", "there is no event `none`"),
        ("unrouted/replay", 409, "no_route", "no route leads the event `unrouted` anywhere now; name the channel"),
        ("unrouted/replay?channel=b", 404, "not_found", "there is no channel `b`"),
        ("unrouted/replay?source=/one", 404, "not_found", "none from the source \"/one\""),
        ("unrouted/replay?type=a", 400, "bad_query", "the parameters are source and channel"),
        ("twin%2F1/replay", 409, "several_events", "2 events `twin/1`, from the sources \"/one\", \"/two\""),
    ] {
        let (found, found_code, told) = refused(&host, &format!("/v1/events/{path}")).await;
        assert_eq!((found, found_code.as_str()), (status, code), "{path}");
        assert!(told.contains(part), "{path}: {told}");
    }
    assert_eq!(receiver.received().len(), 2);
    ordered(&host, "/v1/events/twin%2F1/replay?source=/two").await;
    ordered(&host, "/v1/events/unrouted/replay?source=&channel=a").await;
    host.drain().await;
    let sent: BTreeSet<_> =
        receiver.received().into_iter().skip(2).map(|one| one.json()["source"].to_string()).collect();
    assert_eq!(sent, BTreeSet::from(["\"/two\"", "null"].map(str::to_owned)));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_replay_takes_exactly_the_events_that_its_filter_says() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(NOW);
    let setup = Setup::new(&hook("a", &receiver, "")).clock(clock.clone());
    let host = setup.start().await;
    for hour in 0..4 {
        for (kind, project) in [("a", "p"), ("other", "p"), ("another", "q")] {
            let id = format!("{kind}{hour}");
            host.accepted(json!({ "type": kind, "id": id, "project": project }).to_string()).await;
        }
        clock.advance(seconds(3600));
    }
    host.drain().await;
    ordered(&host, "/v1/channels/a/disable").await;
    for (filter, expected) in [
        ("type=*other&channel=a&since=2h", &["another2", "another3", "other2", "other3"][..]),
        ("project=q&channel=a&until=3h", &["another0"]),
        // By the routes of now, which want one type only.
        ("since=1h", &["a3"]),
        ("project=p&since=3h&until=2h", &["a1"]),
        ("type=nothing*", &[]),
        ("all=true", &["a0", "a1", "a2", "a3"]),
    ] {
        let job = done(&host, &format!("/v1/events/replay?{filter}")).await;
        assert_eq!((&job["changed"], &job["action"]), (&json!(expected.len()), &json!("replay")), "{filter}: {job}");
        assert_eq!(found(&host, "state=pending").await, expected, "{filter}");
        done(&host, "/v1/deliveries/cancel?channel=a").await;
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_brings_no_channel_what_herald_told_of_it() {
    let receiver = Receiver::start().await;
    let catch_all = |name: &str| hook(name, &receiver, "").replace(&format!("[\"{name}\"]"), "[\"*\"]");
    let setup = Setup::new(&format!("{}{}", catch_all("a"), catch_all("b")));
    let host = setup.start().await;
    ordered(&host, "/v1/channels/a/disable").await;
    let told = host.drain().await;
    let told: Vec<_> = told.iter().map(|one| (one.delivery.kind.as_str(), one.delivery.channel.as_str())).collect();
    assert_eq!(told, [("herald.channel_disabled", "b")]);
    let id = receiver.received()[0].header("herald-delivery-id").to_owned();
    let event = host.get(&format!("/v1/deliveries/{id}")).await.1["event"]["id"].as_str().unwrap().to_owned();
    assert_eq!(ordered(&host, &format!("/v1/events/{event}/replay")).await["deliveries"].as_array().unwrap().len(), 1);
    assert_eq!(done(&host, "/v1/events/replay?type=herald.*").await["changed"], 1);
    host.drain().await;
    assert!(receiver.received().iter().all(|one| one.path == "/b") && receiver.received().len() == 3);
    host.stop().await;
}

/// Begins bulk work, after some that comes first, and kills the host in the middle of it. How often it was begun.
async fn interrupted(program: &Program<'_>, first: Option<&str>, path: &str, store: &Path) -> usize {
    let http = crate::harness::http();
    // A machine that is quicker than this test has done it all by then, and does it once more.
    for times in 1..20 {
        if let Some(first) = first {
            let host = program.serve(&[]).await;
            answer(http.post(format!("{}{first}", host.url()))).await;
            ended(&host).await;
            host.stop().await;
        }
        let host = program.serve(&[]).await;
        let look = rusqlite::Connection::open(store).unwrap();
        let before = worked(&look);
        let order = tokio::spawn(http.post(format!("{}{path}", host.url())).send());
        within("the first step", async {
            while worked(&look) == before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        host.signal(Signal::KILL);
        host.ended().await;
        // Answered or not.
        let _ = order.await;
        let store = Store::open(store).unwrap();
        let (job, _) = store.jobs(false).await.unwrap().remove(0);
        if job.ended_at.is_none() {
            assert!(job.looked_at > 0 && job.looked_at < job.of, "{job:?}");
            return times;
        }
    }
    panic!("it was never caught in the middle");
}

async fn answer(request: reqwest::RequestBuilder) -> Value {
    let text = request.send().await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// How much bulk work has done something, by the store itself: it is quick.
fn worked(store: &rusqlite::Connection) -> u32 {
    store.query_row("SELECT count(*) FROM jobs WHERE changed > 0", [], |row| row.get(0)).unwrap()
}

/// Waits until no bulk work is left.
async fn ended(host: &Running) {
    within("the end of all bulk work", async {
        loop {
            let jobs = answer(crate::harness::http().get(format!("{}/v1/jobs", host.url()))).await;
            if jobs["jobs"].as_array().unwrap().iter().all(|job| job["ended_at"].is_u64()) {
                return;
            }
        }
    })
    .await;
}

/// Starts a host, which goes on with the bulk work that is left.
async fn finished(program: &Program<'_>) -> Running {
    let host = program.serve(&[]).await;
    ended(&host).await;
    host
}

async fn all(store: &Path) -> Vec<Listed> {
    let store = Store::open(store).unwrap();
    store.page(Filter { limit: 100_000, ..Filter::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_that_a_kill_interrupts_goes_on_after_the_next_start_and_does_each_once() {
    const EVENTS: usize = 4000;
    let receiver = Receiver::start().await;
    let setup = Setup::new(&hook("a", &receiver, ""));
    let store = setup.folder.path().join("herald.db");
    let host = setup.start().await;
    for batch in 0..EVENTS / 500 {
        let events: Vec<Value> =
            (0..500).map(|number| json!({ "type": "x", "id": (batch * 500 + number).to_string() })).collect();
        host.accepted(json!(events).to_string()).await;
    }
    order(&host, "/v1/channels/a/disable", r#"{"reason":"a test"}"#).await;
    host.stop().await;
    let program = Program::new(setup.folder.path());
    // Events: each gets one delivery for each time that they were replayed.
    let times = interrupted(&program, None, "/v1/events/replay?type=x&channel=a", &store).await;
    finished(&program).await.stop().await;
    let made = all(&store).await;
    let mut counts = std::collections::BTreeMap::new();
    for one in &made {
        *counts.entry(one.delivery.event.clone()).or_insert(0) += 1;
    }
    assert!(counts.len() == EVENTS && counts.values().all(|count| *count == times), "{} of {times}", counts.len());
    // Deliveries: they are cancelled and retried, and then each is sent once.
    let cancel = Some("/v1/deliveries/cancel?channel=a");
    interrupted(&program, cancel, "/v1/deliveries/retry?channel=a&state=cancelled", &store).await;
    let host = finished(&program).await;
    let jobs = answer(crate::harness::http().get(format!("{}/v1/jobs", host.url()))).await;
    assert_eq!(jobs["jobs"][0]["changed"], made.len(), "{}", jobs["jobs"][0]);
    host.stop().await;
    assert!(all(&store).await.iter().all(|one| one.delivery.state == State::Pending));
    assert_eq!(receiver.received().len(), 0);
    let host = setup.start().await;
    ordered(&host, "/v1/channels/a/enable").await;
    let sent = receiver.wait_for(made.len()).await;
    host.drain().await;
    let sent: BTreeSet<_> = sent.iter().map(|one| one.header("herald-delivery-id").to_owned()).collect();
    assert_eq!((sent.len(), receiver.received().len()), (made.len(), made.len()), "each once");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bulk_work_can_be_stopped_and_what_it_has_done_stays_done() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&crate::pacing::hook("a", &receiver, ""));
    let host = setup.start().await;
    host.app.pipeline().disable("a", "so that nothing is delivered").await.unwrap();
    let events = vec![r#"{"type":"a"}"#; 3000].join(",");
    host.accepted(format!("[{events}]")).await;
    let post = async |path: &str| {
        let answer = host.http.post(format!("{}{path}", host.base)).send().await.unwrap();
        serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap()
    };
    let job = post("/v1/deliveries/cancel?channel=a").await;
    let id = job["job"]["id"].as_str().unwrap().to_owned();
    let stopped = post(&format!("/v1/jobs/{id}/stop")).await;
    assert!(stopped["job"]["ended_at"].is_u64(), "{stopped}");
    // It may have come to its end before.
    if stopped["job"]["stopped"] == "by hand" {
        let all = host.deliveries().await;
        let cancelled = all.iter().filter(|one| one.delivery.state == herald::model::State::Cancelled).count() as u64;
        assert_eq!(stopped["job"]["changed"], cancelled);
    }
    let again = post(&format!("/v1/jobs/{id}/stop")).await;
    assert_eq!(again["job"]["ended_at"], stopped["job"]["ended_at"]);
    host.stop().await;
}
