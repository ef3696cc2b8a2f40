//! Receivers that do what no good receiver does: each attempt ends in time and under the right name, and no worker is
//! left behind. What they cost the other channels is measured by `cargo xtask measure isolation`.

use std::{collections::BTreeMap, fmt::Write};

use herald::{
    clock::Clock,
    model::{State, TransportError},
    store::Listed,
};
use serde_json::Value;

use crate::harness::{
    Receiver, Setup, TestHost,
    hostile::{ALL, Hostile},
    seconds, within,
};

/// At once on a channel, and deliveries of each: one has to wait until another has let go of its worker.
const CONCURRENCY: usize = 2;
const DELIVERIES: usize = 3;
/// The timeout of each exchange is three seconds. What is not ended by it goes on, for longer than any test takes.
const LONGEST_US: u64 = 30_000_000;
/// A label that is longer than DNS can carry: it is refused without asking anybody.
const NOWHERE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.invalid";

/// How an exchange ends.
enum Ends {
    /// In this error, with these words in its sentence.
    In(TransportError, &'static str),
    /// In one of these: it depends on how far the request was when the receiver spoke.
    InEither([TransportError; 2]),
    /// With an answer: the status, and how much of the body is kept.
    With(u16, usize),
}

fn ends(name: &str) -> Ends {
    use Ends::{In, InEither, With};
    use TransportError::{Connect, Dns, Protocol, Reset, Timeout, Tls};
    match name {
        "nowhere" => In(Dns, ".invalid:443 does not resolve: invalid dns name"),
        "refuses" => In(Connect, "connection refused by 127.0.0.1:"),
        "never-accepts" => In(Timeout, "time was up while connecting to 127.0.0.1:"),
        "silent" | "drips-headers" => In(Timeout, "time was up while waiting for the response's headers from 127."),
        "drips-body" => In(Timeout, "time was up while reading the response's body from 127.0.0.1:"),
        "endless-body" => With(200, 64 * 1024),
        "endless-body-refused" => With(503, 64 * 1024),
        "answers-early" | "answers-twice" => With(503, 4),
        "continues" | "many-headers" => With(200, 2),
        "endless-headers" | "endless-header" | "far-too-many-headers" => {
            In(Protocol, "did not answer with proper HTTP: its headers are too long or too many")
        }
        "endless-1xx" => In(Protocol, "sent interim answers (1xx) without end"),
        "endless-chunk-extension" => In(Protocol, "did not answer with proper HTTP: chunk extensions over limit"),
        "endless-trailers" => In(Protocol, "did not answer with proper HTTP: chunk trailers"),
        "switches-protocols" => In(Protocol, "switched to another protocol (101) without being asked to"),
        "closes-at-once" | "closes-unanswered" | "resets" | "cut-in-status-line" | "cut-in-headers"
        | "resets-in-headers" => In(Reset, "closed the connection before it answered"),
        "cut-in-body" | "cut-in-chunk" | "resets-in-body" => {
            In(Reset, "closed the connection in the middle of the response")
        }
        "garbage" | "http-0.9" | "http-2-unasked" | "tls-alert" => {
            In(Protocol, "did not answer with proper HTTP: invalid HTTP version parsed")
        }
        "greets" => InEither([Protocol, Reset]),
        "two-lengths" | "negative-length" => In(Protocol, "with proper HTTP: invalid content-length parsed"),
        "nul-in-header" => In(Protocol, "did not answer with proper HTTP: invalid HTTP header parsed"),
        "status-of-four-digits" => In(Protocol, "did not answer with proper HTTP: invalid HTTP status-code parsed"),
        "broken-chunk" => In(Protocol, "did not answer with proper HTTP: Invalid chunk size line: missing size digit"),
        "tls-hangs" => In(Timeout, "(TCP or TLS)"),
        "tls-closes" | "tls-resets" => In(Tls, "failed: the other end closed the connection in the handshake"),
        "tls-is-plain" => In(Tls, "failed: the other end does not speak TLS on this port"),
        other => panic!("nobody has said how `{other}` ends"),
    }
}

/// A channel for each receiver, and one whose receiver has no address. `good` is where those send whose own receivers
/// can't turn good.
fn config(receivers: &[Hostile], good: Option<&Receiver>) -> String {
    let mut text = format!("[delivery]\ntimeout = \"3s\"\njitter = 0.0\nconcurrency = {CONCURRENCY}\n");
    let hostile = receivers.iter().map(|one| (one.behaviour.name, one.url(), one.behaviour.https));
    for (name, url, lost) in hostile.chain([("nowhere", format!("https://{NOWHERE}/"), true)]) {
        // Whoever answers before the body is there needs a body that takes its time.
        let event = if name == "answers-early" { "large" } else { "small" };
        let url = good.filter(|_| lost).map_or(url, |good| good.url("/"));
        write!(
            text,
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n\
             [[route]]\nchannel = \"{name}\"\nevents = [\"{event}\"]\n"
        )
        .unwrap();
    }
    text
}

async fn post(host: &TestHost) {
    host.accepted(r#"{"type":"small"}"#).await;
    host.accepted(format!(r#"{{"type":"large","body":"{}"}}"#, "x".repeat(900_000))).await;
}

/// Whether the first attempt ended as it should; if not, what is wrong.
async fn wrong(host: &TestHost, listed: &Listed) -> Option<String> {
    let shown = host.show(listed).await;
    let (attempt, name) = (&shown["attempts"][0], &listed.delivery.channel);
    let exchange = &attempt["exchanges"][0];
    let fits = match ends(name) {
        Ends::In(kind, words) => {
            let said = exchange["error"][1].as_str().unwrap_or_default();
            let reason = attempt["reason"].as_str().unwrap_or_default();
            exchange["error"][0] == kind.as_str() && said.contains(words) && reason.contains(said)
        }
        Ends::InEither(kinds) => kinds.iter().any(|kind| exchange["error"][0] == kind.as_str()),
        Ends::With(status, length) => {
            let body = exchange["response"]["body"].as_str().unwrap_or_default();
            exchange["error"] == Value::Null && exchange["response"]["status"] == status && body.len() == length
        }
    };
    let in_time = attempt["duration_us"].as_u64().unwrap() < LONGEST_US;
    (!fits || !in_time).then(|| format!("{name}: {} µs, {exchange:.1000}", attempt["duration_us"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hostile_receiver_ends_in_its_named_error_in_time_and_leaves_no_worker_behind() {
    let (good, clock) = (Receiver::start().await, Clock::manual(1_700_000_000_000));
    let mut receivers: Vec<Hostile> = ALL.iter().map(|behaviour| Hostile::start(*behaviour).unwrap()).collect();
    let setup = Setup::new(&config(&receivers, None)).clock(clock.clone());
    let host = setup.start().await;
    for _ in 0..DELIVERIES {
        post(&host).await;
    }
    let all = host.until("an attempt of each", |all| all.iter().all(|listed| listed.delivery.attempts == 1)).await;
    assert_eq!(all.len(), (ALL.len() + 1) * DELIVERIES);
    let mut problems = Vec::new();
    for listed in &all {
        problems.extend(wrong(&host, listed).await);
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));

    // The same channels, their receivers turned good: what is pending is delivered, and what is new, too.
    for receiver in &mut receivers {
        receiver.turn_good().unwrap();
    }
    setup.write_config(&config(&receivers, Some(&good)));
    within("the new config", async {
        let settings = || host.app.pipeline().plan().channels["nowhere"].settings.clone();
        while settings()["url"] != good.url("/") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    clock.advance(seconds(5));
    post(&host).await;
    let mut delivered = BTreeMap::<String, usize>::new();
    for listed in host.drain().await {
        assert_eq!(listed.delivery.state, State::Delivered, "{listed:?}");
        *delivered.entry(listed.delivery.channel).or_default() += 1;
    }
    assert!(delivered.len() == ALL.len() + 1 && delivered.values().all(|count| *count == DELIVERIES + 1));
    host.stop().await;
}
