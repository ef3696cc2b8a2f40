//! The pure stages of one event's way, each by itself and many times over, for `cargo xtask measure instructions` to count.
//!
//! Nothing here reads a clock, draws a random number or waits, so that the count is the same each time.

use std::{collections::BTreeSet, hint::black_box, time::Duration};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use herald::{
    model::{
        AdapterId, Attempt, Auth, Blame, Body, Breaker, Event, Exchange, Health, Outcome, Pattern, Policy, Request,
        Response, Route, Sign, Timing, Tried, Verdict, Wait, judge_by_status,
    },
    outbound::{self, Destination, Options, Prepared, Sealed, Secrets},
    pipeline::incoming::{self, Post, Surroundings},
};
use serde_json::json;

/// How often each is done: `cargo xtask measure instructions` divides by it.
const TIMES: u32 = 1000;
const NOW: u64 = 1_793_600_000_000;
const DELIVERY: &str = "dlv_01kb0c6zj3v5t8w2n4x7q9r1se";
/// Of a plan, none but the last for the event.
const ROUTES: usize = 20;

fn main() -> Result<()> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let work = Work::new()?;
    match name.as_str() {
        "read" => repeat(|| work.read()),
        "route" => repeat(|| work.routes.iter().filter(|route| route.matches(&work.event)).count()),
        "prepare" => repeat(|| work.prepare(&work.secrets.seal(|| 7), false)),
        // In software: callgrind's processor has no instructions for SHA-256.
        "sign" => repeat(|| work.prepare(&work.secrets.seal(|| 7), true)),
        "redact" => repeat(|| work.prepared.sent(&work.secrets)),
        "settle" => repeat(|| work.settle()),
        "record" => repeat(|| work.attempt.to_json()),
        _ => bail!("there is no stage `{name}`"),
    }
    Ok(())
}

fn repeat<T>(mut stage: impl FnMut() -> T) {
    // What is done once only, at the first time, does not count.
    black_box(stage());
    counted(&mut || drop(black_box(stage())));
}

/// What is counted is what happens in here.
#[inline(never)]
fn counted(stage: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        stage();
    }
}

/// What the stages work on.
struct Work {
    body: Bytes,
    event: Event,
    routes: Vec<Route>,
    secrets: Secrets,
    options: Options,
    prepared: Prepared,
    response: Response,
    policy: Policy,
    breaker: Breaker,
    attempt: Attempt,
}

impl Work {
    fn new() -> Result<Self> {
        let body = Bytes::from_static(include_bytes!("../event.json").trim_ascii());
        let event = read(&body).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let settings = json!({
            "url": "https://hooks.example.com/T0000/B0000",
            "signing_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        });
        let secrets = Secrets::new(&settings, &BTreeSet::from(["/signing_secrets/0".to_owned()]))?;
        let options = Options::default();
        let prepared = prepare(&secrets.seal(|| 7), &options, &event.payload, true)?;
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let response = Response {
            status: 200,
            headers: vec![header("content-type", "text/plain"), header("content-length", "2")],
            body: "ok".to_owned(),
        };
        let attempt = attempt(&prepared, &secrets, &response).without_payload(&event.payload);
        Ok(Self {
            routes: (1..=ROUTES).map(|number| route(number == ROUTES)).collect(),
            policy: Policy {
                schedule: vec![Duration::from_secs(5), Duration::from_secs(30)],
                jitter: 0.2,
                longest_wait: Duration::from_hours(24),
                max_age: None,
            },
            breaker: Breaker {
                limit_hits: 5,
                failures: 10,
                wait: Duration::from_secs(30),
                longest_wait: Duration::from_mins(10),
                disable_after: None,
            },
            body,
            event,
            secrets,
            options,
            prepared,
            response,
            attempt,
        })
    }

    fn read(&self) -> Result<Event, incoming::BadInput> {
        read(&self.body)
    }

    fn prepare(&self, sealed: &Sealed, signed: bool) -> Result<Prepared> {
        prepare(sealed, &self.options, &self.event.payload, signed)
    }

    /// What an answer means, and what a failed attempt and a good one after it do to channel and delivery.
    fn settle(&self) -> (Verdict, Health, Option<Wait>) {
        let verdict = judge_by_status(&self.response, NOW);
        let mut health = Health::default();
        health.note(Sign::Ill(Blame::Receiver), NOW, NOW, &self.breaker);
        health.note(Sign::of(true, self.attempt.exchanges.last()), NOW, NOW, &self.breaker);
        (verdict, health, self.policy.wait(Tried { age: Duration::from_secs(1), ..Tried::default() }, None, 0.5))
    }
}

fn read(body: &Bytes) -> Result<Event, incoming::BadInput> {
    let post = Post { content_type: "application/json", body: body.clone(), ..Post::default() };
    let around = Surroundings { now: NOW, app_url: None, new_id: &String::new };
    incoming::read(&post, &around).map(|mut read| read.events.remove(0))
}

fn route(matches: bool) -> Route {
    let pattern = if matches { "execution_*" } else { "*_failed" };
    Route { events: vec![Pattern::new(pattern)], project: None, channel: "channel".to_owned() }
}

/// The request that the webhook adapter makes, perhaps with a Standard Webhooks signature.
fn prepare(sealed: &Sealed, options: &Options, payload: &Bytes, signed: bool) -> Result<Prepared> {
    let handle = sealed.handles().into_iter().next().context("no secret")?.1;
    let request = Request {
        method: "POST".to_owned(),
        url: "https://hooks.example.com/T0000/B0000".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: Body::Payload,
        auth: signed.then(|| Auth::StandardWebhooks(vec![handle])),
    };
    let to = Destination { options, hosts: &[], listed: None, delivery_id: DELIVERY, payload, now: NOW };
    Ok(outbound::prepare(&request, sealed, &to)?)
}

fn attempt(prepared: &Prepared, secrets: &Secrets, response: &Response) -> Attempt {
    let timing = Timing { connect_us: None, first_byte_us: Some(180), total_us: 200 };
    let response = Some(response.clone().into());
    Attempt {
        number: 1,
        started_at: NOW,
        duration_us: 250,
        outcome: Outcome::Delivered,
        reason: None,
        blame: None,
        adapter: Some(AdapterId {
            name: "webhook".to_owned(),
            version: "1.0.0".to_owned(),
            digest: format!("sha256:{}", "0123456789abcdef".repeat(4)),
        }),
        exchanges: vec![Exchange { request: prepared.sent(secrets), response, error: None, timing }],
    }
}
