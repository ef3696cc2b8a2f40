//! One event's way: accept → store → due → render → send → interpret → settle.
//!
//! Knows the stages and their order; what each of them does is its own module's.

mod accept;
mod bad_input;
mod cloudevents;
mod deliver;
mod inbox;
pub mod incoming;
mod jobs;
mod lane;
mod manage;
mod news;
mod quiet;
mod rate;
mod record;
mod renew;
mod reread;
mod retention;
mod schedule;
mod secrets;
mod settle;
mod subject;
mod token;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use url::Url;

use crate::{
    adapter::{CallThreads, Registry},
    clock::Clock,
    model::{Breaker, ChannelState, Outcome, Policy, Rate, Route},
    outbound::{Client, Tokens},
    store::Store,
};
use lane::Lane;

pub use accept::{NotAccepted, Receipt, test_event};
pub use manage::Replayed;
pub use reread::ReadAgain;
pub use retention::Retention;
pub use secrets::secret_pointers;

/// What a config says about who gets what: replaced whole when the config changes.
#[derive(Clone, Default)]
pub struct Plan {
    /// Which events go where.
    pub routes: Vec<Route>,
    /// By name.
    pub channels: BTreeMap<String, Arc<Channel>>,
    /// The way out that the channels share which have none of their own; none before there is a config.
    pub client: Option<Client>,
    /// What relative event URLs are resolved against.
    pub app_url: Option<Url>,
    /// How long what has ended is kept.
    pub retention: Retention,
}

/// An adapter with settings and secrets, under a name.
#[derive(Clone)]
pub struct Channel {
    /// The name.
    pub name: String,
    /// The adapter's name.
    pub adapter: String,
    /// The settings, secrets resolved.
    pub settings: Arc<Value>,
    /// JSON pointers of the settings that were given by reference: secrets, whatever the schema says of them.
    pub references: Vec<String>,
    /// Reads those again whose value may have changed; none where there are none such.
    pub read_again: Option<ReadAgain>,
    /// Its way out, and what may go there.
    pub client: Client,
    /// The only hosts that its requests may go to, `*.` perhaps in front; none: wherever its adapter may send.
    pub hosts: Option<Vec<String>>,
    /// Deliveries under way at once.
    pub concurrency: usize,
    /// One deadline over each exchange.
    pub timeout: Duration,
    /// When it is tried again.
    pub policy: Policy,
    /// When it waits because its receiver fails.
    pub breaker: Breaker,
    /// How often attempts begin.
    pub rate: Option<Rate>,
    /// Deliveries of one subject go out one at a time, in order.
    pub ordered: bool,
    /// The channel that gets what is exhausted here.
    pub fallback: Option<String>,
}

/// What a pipeline works with.
pub struct Parts {
    /// Events and deliveries.
    pub store: Store,
    /// Adapters.
    pub registry: Registry,
    /// Where adapters run.
    pub threads: CallThreads,
    /// The time.
    pub clock: Clock,
}

/// A cheap handle to the pipeline of a host.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

struct Inner {
    store: Store,
    registry: Registry,
    threads: CallThreads,
    tokens: Tokens,
    clock: Clock,
    plan: ArcSwap<Plan>,
    /// One a channel. Held for moments only, never over an await.
    lanes: Mutex<BTreeMap<String, LaneHandle>>,
    /// Counts settlements, for those who wait for one.
    settled: watch::Sender<u64>,
    /// Bytes of outcomes that wait to be written down, because the store can't be written.
    unwritten: Arc<AtomicUsize>,
    /// There is bulk work.
    jobs: Notify,
    /// Channels on which an adapter has failed a delivery after another version had taken its place.
    overtaken: renew::Overtaken,
    /// Bulk work, retention, and what new versions of adapters are for.
    background: Mutex<Vec<JoinHandle<()>>>,
    /// Goes on from each to the next, and never back.
    phase: watch::Sender<Phase>,
    totals: Totals,
}

/// How far a host is with stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Phase {
    Running,
    /// Nothing new is begun; what is under way is finished.
    Finishing,
    /// The time for that is over: what is under way is let go, and stays pending.
    Releasing,
}

struct LaneHandle {
    lane: Arc<Lane>,
    task: JoinHandle<()>,
}

/// Counts since the start.
#[derive(Debug, Default)]
pub struct Totals {
    accepted: AtomicU64,
    attempts: [AtomicU64; 3],
}

impl Totals {
    /// Events accepted, doubles not counted.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Attempts, by how they ended.
    pub fn attempts(&self) -> [(Outcome, u64); 3] {
        let [delivered, retry, rejected] = &self.attempts;
        [
            (Outcome::Delivered, delivered.load(Ordering::Relaxed)),
            (Outcome::Retry, retry.load(Ordering::Relaxed)),
            (Outcome::Rejected, rejected.load(Ordering::Relaxed)),
        ]
    }

    fn count(&self, outcome: Outcome) {
        let [delivered, retry, rejected] = &self.attempts;
        let counter = match outcome {
            Outcome::Delivered => delivered,
            Outcome::Retry => retry,
            Outcome::Rejected => rejected,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pipeline {
    /// Makes a pipeline without channels; [`Self::apply`] gives it some.
    pub fn new(parts: Parts) -> Self {
        let inner = Arc::new(Inner {
            store: parts.store,
            registry: parts.registry,
            threads: parts.threads,
            tokens: Tokens::default(),
            clock: parts.clock,
            plan: ArcSwap::default(),
            lanes: Mutex::default(),
            settled: watch::Sender::new(0),
            unwritten: Arc::default(),
            jobs: Notify::new(),
            overtaken: renew::Overtaken::default(),
            background: Mutex::default(),
            phase: watch::Sender::new(Phase::Running),
            totals: Totals::default(),
        });
        let lanes = Arc::downgrade(&inner);
        inner.store.on_accepted(move |events, accepted| {
            if let Some(inner) = lanes.upgrade() {
                inner.hand_over(events, accepted);
            }
        });
        Self(inner)
    }

    /// Takes over a new plan, whole: what is under way goes on by the old one, what begins goes by the new one.
    pub fn apply(&self, plan: Plan) {
        let plan = Arc::new(plan);
        self.0.plan.store(plan.clone());
        let mut lanes = self.0.lanes();
        // A lane whose channel is gone rests and stays: when the channel comes back, it knows what it still has in hand.
        lanes.retain(|_, handle| !handle.task.is_finished());
        lanes.values().for_each(|handle| handle.lane.wake());
        for name in plan.channels.keys() {
            lanes.entry(name.clone()).or_insert_with(|| {
                let lane = Arc::new(Lane::new(name));
                let task = tokio::spawn(schedule::supervise(self.0.clone(), lane.clone()));
                LaneHandle { lane, task }
            });
        }
        self.0.overtaken.look_again();
    }

    /// What the config says now.
    pub fn plan(&self) -> Arc<Plan> {
        self.0.plan.load_full()
    }

    /// Begins what goes on beside the deliveries: bulk work, retention, and what new versions of adapters are for.
    pub fn start(&self) {
        let tasks = [
            tokio::spawn(jobs::run(self.0.clone())),
            tokio::spawn(retention::run(self.0.clone())),
            tokio::spawn(renew::run(self.clone())),
        ];
        self.0.background().extend(tasks);
    }

    /// Why a channel's deliveries can't be begun at all: it is disabled, or its adapter is missing.
    pub fn rests(&self, channel: &str) -> Option<String> {
        self.0.lane(channel).and_then(|lane| lane.rests())
    }

    /// Why nothing is begun on a channel now: nothing can be, or it waits for its receiver.
    pub fn waits(&self, channel: &str) -> Option<String> {
        self.0.lane(channel).and_then(|lane| lane.waits(self.0.clock.now()))
    }

    /// What is remembered of a channel.
    pub fn channel_state(&self, channel: &str) -> Option<ChannelState> {
        self.0.lane(channel).map(|lane| lane.channel())
    }

    /// Sees every settlement that comes after this call.
    pub fn settlements(&self) -> watch::Receiver<u64> {
        self.0.settled.subscribe()
    }

    /// Counts since the start.
    pub fn totals(&self) -> &Totals {
        &self.0.totals
    }

    /// The host's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The adapters.
    pub fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Begins nothing new, and gives what is under way until `grace` is over. What is not finished then stays pending:
    /// true when all was finished.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.0.phase.send_replace(Phase::Finishing);
        let handles = std::mem::take(&mut *self.0.lanes());
        let background = std::mem::take(&mut *self.0.background());
        let all = handles.into_values().map(|handle| handle.task).chain(background);
        let all = futures_util::future::join_all(all);
        let mut all = std::pin::pin!(all);
        let finished = tokio::time::timeout(grace, &mut all).await.is_ok();
        if !finished {
            self.0.phase.send_replace(Phase::Releasing);
            all.await;
        }
        finished
    }

    /// Returns when the host begins to stop.
    pub async fn stopping(&self) {
        // An error would mean that the sender, which `self` holds, is gone.
        let _ = self.0.phase.subscribe().wait_for(|phase| *phase != Phase::Running).await;
    }
}

impl Inner {
    fn wake(&self, channel: &str) {
        if let Some(lane) = self.lane(channel) {
            lane.wake();
        }
    }

    fn lane(&self, channel: &str) -> Option<Arc<Lane>> {
        self.lanes().get(channel).map(|handle| handle.lane.clone())
    }

    fn lanes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, LaneHandle>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn background(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
