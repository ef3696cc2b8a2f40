//! What the store costs: `cargo bench -p herald --bench store`, with `-- --fill 1000000` on a store that holds so many
//! delivered events already, and `-- --seconds 10` or `-- --producers 16`.
//!
//! 64 producers have an event of 1.5 KB accepted, each with one delivery, and settle it with the account of one exchange.
//! Prints the CPU time that each event costs by thread, the bytes that it wrote, and how long the answers took.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_precision_loss, missing_docs)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use herald::{
    model::{AdapterId, Attempt, DeliveryId, Event, EventType, Exchange, Outcome, Response, SentRequest, Timing},
    store::{HopAfter, NewDelivery, NewEvent, Next, Settled, Settlement, Store},
};
use serde_json::value::RawValue;

/// As a machine-learning platform sends it.
const DATA: &str = r#"{"valohai.execution-id":"0181a3a0-6e6e-7b1c-8b1d-2f2d5b6f0a42","valohai.execution-counter":42,"valohai.execution-title":"training","valohai.execution-status":"complete","valohai.execution-duration":724.18,"valohai.execution-ctime":"2026-11-02T09:02:11.000Z","valohai.execution-qtime":"2026-11-02T09:02:12.000Z","valohai.execution-stime":"2026-11-02T09:03:00.000Z","valohai.execution-etime":"2026-11-02T09:15:04.118Z","valohai.commit-identifier":"8f6d3c1b0a9e7d5c4b3a29181706f5e4d3c2b1a0","valohai.environment-name":"aws-eu-west-1-g4dn-xlarge","valohai.project-name":"acme/fraud","valohai.creator-name":"ada@acme.example","outputs":["model.onnx","metrics.json","confusion.png"],"metadata":{"accuracy":0.934,"loss":0.112,"epochs":20}}"#;
const TITLE: &str = "Execution #42 of training completed";
const BODY: &str = "The execution finished after 12 minutes on a g4dn.xlarge with exit code 0. Final accuracy was 0.934 after 20 epochs.";
const URL: &str = "https://app.valohai.com/p/acme/fraud/execution/0181a3a0-6e6e-7b1c-8b1d-2f2d5b6f0a42/";
const PROJECT: &str = "016f3203-4a8c-969e-078c-52ab66947746";

fn option(name: &str) -> Option<u64> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).and_then(|value| value.parse().ok())
}

fn has(name: &str) -> bool {
    std::env::args().any(|argument| argument == name)
}

fn main() {
    // `cargo test --benches` only wants to know that it builds and runs.
    let seconds = option("--seconds").unwrap_or(if has("--bench") { 5 } else { 0 });
    let producers = option("--producers").unwrap_or(64);
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("herald.db");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(&path).unwrap();
        if let Some(rows) = option("--fill") {
            let before = Meter::read();
            let begun = now();
            run(&store, 1024, Until::Count(rows)).await;
            let took = begun.elapsed();
            let size = store.size().await.unwrap();
            println!(
                "filled with {rows} in {:.0} s, {} bytes each in the file",
                took.as_secs_f64(),
                size / rows.max(1)
            );
            before.report(rows, took);
        }
        // What the first events cost: connections, pages.
        run(&store, producers, Until::Count(2000)).await;
        let before = Meter::read();
        let begun = now();
        let mut answers = run(&store, producers, Until::Time(begun + Duration::from_secs(seconds))).await;
        let took = begun.elapsed();
        let events = answers.len().max(1) as u64;
        answers.sort_unstable();
        let at =
            |part: usize| answers.get(answers.len() * part / 1000).copied().unwrap_or_default().as_secs_f64() * 1e3;
        println!(
            "{events} events, {:.0}/s; accept p50 {:.2} ms, p99 {:.2} ms, most {:.1} ms; log {} KiB",
            events as f64 / took.as_secs_f64(),
            at(500),
            at(990),
            at(999),
            fs::metadata(folder.path().join("herald.db-wal")).map_or(0, |log| log.len() / 1024),
        );
        before.report(events, took);
    });
}

#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

#[derive(Clone, Copy)]
enum Until {
    Count(u64),
    Time(Instant),
}

/// Has events accepted and settles them; how long each answer to an acceptance took.
async fn run(store: &Store, producers: u64, until: Until) -> Vec<Duration> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let (left, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let tasks = (0..producers).map(|_| {
        let (store, left, over) = (store.clone(), left.clone(), over.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !over.load(Ordering::Relaxed) {
                match until {
                    Until::Count(count) if left.fetch_add(1, Ordering::Relaxed) >= count => break,
                    Until::Time(end) if now() >= end => over.store(true, Ordering::Relaxed),
                    _ => {}
                }
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                let at = 1_790_000_000_000 + number / 10;
                let id = DeliveryId::new(at, rand::random());
                let event = Arc::new(event(number, at));
                let delivery = NewDelivery { id, channel: "hook".to_owned(), sequence: None, first: false };
                let begun = now();
                let accepted =
                    store.accept(vec![NewEvent { event: event.clone(), deliveries: vec![delivery] }]).await.unwrap();
                answers.push(begun.elapsed());
                let row = accepted[0].rows[0].unwrap();
                let settled = Settled::new(settlement(row, id, &event)).unwrap();
                store.settle(vec![Arc::new(settled)]).await.unwrap();
            }
            answers
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    answers
}

fn event(number: u64, at: u64) -> Event {
    let payload = format!(
        r#"{{"id":"run-{number}","type":"execution_completed","title":"{TITLE}","body":"{BODY}","url":"{URL}","project":"{PROJECT}","time":"2026-11-02T09:15:04.118Z","data":{DATA}}}"#
    );
    Event {
        id: format!("run-{number}"),
        source: String::new(),
        kind: EventType::new("execution_completed").unwrap(),
        title: TITLE.to_owned(),
        body: BODY.to_owned(),
        url: Some(URL.to_owned()),
        project: Some(PROJECT.to_owned()),
        subject: Some("0181a3a0-6e6e-7b1c-8b1d-2f2d5b6f0a42".to_owned()),
        occurred_at: at,
        received_at: at,
        data: RawValue::from_string(DATA.to_owned()).unwrap(),
        payload: Bytes::from(payload),
    }
}

fn settlement(seq: i64, id: DeliveryId, event: &Arc<Event>) -> Settlement {
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let request = SentRequest {
        method: "POST".to_owned(),
        url: "https://hooks.example.com/in".to_owned(),
        headers: vec![
            header("content-type", "application/json"),
            header("webhook-id", &id.to_string()),
            header("webhook-timestamp", "1790000000"),
            header("webhook-signature", "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4="),
            header("herald-delivery-id", &id.to_string()),
            header("user-agent", "Herald/0.1.0"),
            header("accept", "*/*"),
        ],
        body: Some(String::from_utf8(event.payload.to_vec()).unwrap()),
    };
    let response = Response {
        status: 200,
        headers: vec![header("content-length", "2"), header("date", "Mon, 02 Nov 2026 09:15:04 GMT")],
        body: "ok".to_owned(),
    };
    let exchange = Exchange {
        request,
        response: Some(Arc::new(response)),
        error: None,
        timing: Timing { connect_us: None, first_byte_us: Some(812), total_us: 830 },
    };
    let attempt = Attempt {
        number: 1,
        started_at: event.received_at,
        duration_us: 900,
        outcome: Outcome::Delivered,
        reason: None,
        blame: None,
        adapter: Some(AdapterId {
            name: "webhook".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        }),
        exchanges: vec![exchange],
    }
    .without_payload(&event.payload);
    Settlement {
        seq,
        since: event.received_at,
        attempt,
        next: Next::Delivered,
        now: event.received_at + 2,
        hop: HopAfter::None,
        thread: None,
        channel: "hook".to_owned(),
        state: None,
        news: Vec::new(),
        failure: None,
        fallback: None,
    }
}

/// CPU time by thread's name, and bytes handed to the disk.
struct Meter {
    threads: BTreeMap<String, u64>,
    written: u64,
}

impl Meter {
    fn read() -> Self {
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir("/proc/self/task").unwrap().flatten() {
            let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
            let nanos = read("schedstat").split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok());
            *threads.entry(read("comm").trim().to_owned()).or_default() += nanos.unwrap_or_default();
        }
        let io = fs::read_to_string(Path::new("/proc/self/io")).unwrap_or_default();
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Self { threads, written: written.and_then(|bytes| bytes.parse().ok()).unwrap_or_default() }
    }

    /// What was used since, by event.
    fn report(&self, events: u64, took: Duration) {
        let after = Self::read();
        let each = |now: u64, before: u64| (now - before) as f64 / events as f64;
        let threads: BTreeMap<_, _> = after
            .threads
            .iter()
            .map(|(name, nanos)| (name, each(*nanos, self.threads.get(name).copied().unwrap_or_default()) / 1e3))
            .filter(|(_, micros)| *micros > 0.05)
            .collect();
        let told: Vec<_> = threads.iter().map(|(name, micros)| format!("{name} {micros:.1}")).collect();
        println!(
            "  CPU us an event: {}; {:.0} bytes an event written; {:.1} s",
            told.join(", "),
            each(after.written, self.written),
            took.as_secs_f64()
        );
    }
}
