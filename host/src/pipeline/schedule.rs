//! A lane for each channel: what is due is read in bounded windows and begun as far as the channel's concurrency allows,
//! so that a receiver that hangs holds up nobody but itself.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{Notify, watch},
    task::{Id, JoinSet},
};

use super::{Inner, Phase, deliver, secrets::Served};
use crate::{
    clock,
    model::{DeliveryId, Millis},
    store::{Job, StoreError},
};

/// How many deliveries a lane reads ahead.
const WINDOW: usize = 64;
const DISABLED: &str = "it is disabled; `herald channels enable` lets it deliver again";
/// How long a lane waits when the store can't be read or written.
const STORE_TROUBLE: Duration = Duration::from_millis(500);

/// What others know of a lane.
pub(super) struct Lane {
    pub name: String,
    notify: Notify,
    /// The service asked for quiet until then.
    paused_until: AtomicU64,
    /// The service will take nothing more, until somebody enables the channel.
    disabled: AtomicBool,
    /// Why nothing can be begun; held for moments only.
    waits: Mutex<Option<String>>,
}

impl Lane {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            notify: Notify::new(),
            paused_until: AtomicU64::new(0),
            disabled: AtomicBool::new(false),
            waits: Mutex::default(),
        }
    }

    /// The store knows it already, or is about to.
    pub fn disable(&self, disabled: bool) {
        self.disabled.store(disabled, Ordering::Relaxed);
        self.wake();
    }

    /// There may be something to do.
    pub fn wake(&self) {
        self.notify.notify_one();
    }

    /// Why nothing can be begun, when it is so.
    pub fn waits(&self) -> Option<String> {
        // Known at once, before the lane itself has seen it.
        if self.disabled.load(Ordering::Relaxed) {
            return Some(DISABLED.to_owned());
        }
        self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_waits(&self, why: Option<&str>) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = why.map(str::to_owned);
    }

    /// Nothing is begun before.
    pub fn pause(&self, until: Millis) {
        self.paused_until.fetch_max(until, Ordering::Relaxed);
    }
}

/// What a lane has in hand.
#[derive(Default)]
struct Hand {
    ahead: VecDeque<Job>,
    /// Each tells when its delivery is due again, if it is.
    running: JoinSet<Option<Millis>>,
    ids: Vec<(Id, DeliveryId)>,
    /// When the store is to be asked again; none: when somebody wakes the lane.
    next_due: Option<Millis>,
    /// The store may know of more.
    stale: bool,
    /// Nothing can be begun; the log has been told why.
    resting: bool,
}

/// Runs until the host stops, and begins again should it ever panic: a channel must not fall silent.
pub(super) async fn supervise(inner: Arc<Inner>, lane: Arc<Lane>) {
    while AssertUnwindSafe(run(inner.clone(), lane.clone())).catch_unwind().await.is_err() {
        tracing::error!(channel = lane.name, "a lane panicked and begins again; please report this");
        clock::pause(STORE_TROUBLE).await;
    }
}

async fn run(inner: Arc<Inner>, lane: Arc<Lane>) {
    let mut hand = Hand { stale: true, ..Hand::default() };
    let mut served = None;
    let mut phase = inner.phase.subscribe();
    let mut adapters = inner.registry.changes();
    while *phase.borrow_and_update() == Phase::Running {
        match inner.store.disabled().await {
            Ok(disabled) => {
                lane.disable(disabled.iter().any(|disabled| disabled.name == lane.name));
                break;
            }
            Err(error) => trouble(&lane, &error).await,
        }
    }
    while *phase.borrow_and_update() == Phase::Running {
        adapters.borrow_and_update();
        match serving(&inner, &lane, &mut served) {
            Ok(served) => {
                if let Err(error) = hand.begin(&inner, &lane, &served).await {
                    trouble(&lane, &error).await;
                    continue;
                }
            }
            Err(why) => hand.rest(&lane, &why),
        }
        wait(&inner, &lane, &mut hand, &mut phase, &mut adapters).await;
    }
    let release = async { drop(phase.wait_for(|phase| *phase == Phase::Releasing).await) };
    tokio::select! {
        () = async { while hand.running.join_next().await.is_some() {} } => {}
        () = release => hand.running.shutdown().await,
    }
}

async fn trouble(lane: &Lane, error: &StoreError) {
    tracing::error!(channel = lane.name, %error, "cannot read what is due; trying again");
    clock::pause(STORE_TROUBLE).await;
}

/// The channel and the adapter that serve now, or why nothing can be delivered.
fn serving(inner: &Inner, lane: &Lane, served: &mut Option<Arc<Served>>) -> Result<Arc<Served>, String> {
    let plan = inner.plan.load();
    let Some(channel) = plan.channels.get(&lane.name) else {
        return Err("it is not in the config any more".to_owned());
    };
    let Some(adapter) = inner.registry.get(&channel.adapter) else {
        return Err(format!("there is no adapter `{}`", channel.adapter));
    };
    if lane.disabled.load(Ordering::Relaxed) {
        return Err(DISABLED.to_owned());
    }
    match served {
        Some(served) if served.is(channel, &adapter) => Ok(served.clone()),
        _ => {
            let new = Served::new(channel.clone(), adapter)
                .map_err(|error| format!("its settings can't be used: {error}"))?;
            Ok(served.insert(Arc::new(new)).clone())
        }
    }
}

async fn wait(
    inner: &Arc<Inner>,
    lane: &Lane,
    hand: &mut Hand,
    phase: &mut watch::Receiver<Phase>,
    adapters: &mut watch::Receiver<u64>,
) {
    // With work at hand only a finished delivery makes room; a timer or a waking would only ask the store again.
    let has_work = !hand.ahead.is_empty();
    let due = hand.next_due;
    let timer = async {
        match due {
            Some(at) => inner.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = lane.notify.notified() => hand.stale = true,
        Some(ended) = hand.running.join_next_with_id() => hand.ended(ended),
        () = timer, if !has_work || hand.running.is_empty() => hand.stale = true,
        _ = phase.changed() => {}
        _ = adapters.changed() => hand.stale = true,
    }
}

impl Hand {
    /// Begins what is due and there is room for.
    async fn begin(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>, served: &Arc<Served>) -> Result<(), StoreError> {
        if std::mem::take(&mut self.resting) {
            lane.set_waits(None);
        }
        let paused_until = lane.paused_until.load(Ordering::Relaxed);
        if paused_until > inner.clock.now() {
            self.next_due = Some(paused_until);
            return Ok(());
        }
        if self.stale && self.ahead.is_empty() {
            self.read(inner, lane).await?;
        }
        while self.running.len() < served.channel.concurrency {
            let Some(job) = self.ahead.pop_front() else { break };
            let id = job.delivery.id;
            let task = self.running.spawn(deliver::deliver(inner.clone(), lane.clone(), served.clone(), job));
            self.ids.push((task.id(), id));
        }
        Ok(())
    }

    /// Nothing can be begun; a waking changes that.
    fn rest(&mut self, lane: &Lane, why: &str) {
        if !std::mem::replace(&mut self.resting, true) {
            tracing::warn!(channel = lane.name, "deliveries of this channel wait: {why}");
        }
        lane.set_waits(Some(why));
        self.ahead.clear();
        self.next_due = None;
        self.stale = true;
    }

    /// Asks the store for what is due and not in hand.
    async fn read(&mut self, inner: &Inner, lane: &Lane) -> Result<(), StoreError> {
        let now = inner.clock.now();
        let in_hand = self.ids.iter().map(|(_, id)| *id).collect();
        let window = inner.store.due(&lane.name, now, in_hand, WINDOW).await?;
        // A full window means more: it is asked for when this one is used up.
        self.stale = window.next_due.is_some_and(|at| at <= now);
        self.next_due = window.next_due.filter(|at| *at > now);
        self.ahead.extend(window.jobs);
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Id, Option<Millis>), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, due)) => {
                self.next_due = [self.next_due, due].into_iter().flatten().min();
                id
            }
            Err(error) => {
                tracing::error!(%error, "a delivery's task ended in the middle; it will be tried again");
                self.stale = true;
                error.id()
            }
        };
        self.ids.retain(|(running, _)| *running != id);
    }
}
