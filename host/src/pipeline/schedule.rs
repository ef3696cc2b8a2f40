//! A lane for each channel: what is due is read in bounded windows and begun as far as the channel's concurrency, its rate
//! and its receiver allow, so that a receiver that hangs holds up nobody but itself.

mod ending;

use std::{
    collections::{HashMap, VecDeque},
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{sync::watch, task::JoinHandle};

use super::{
    Inner, Phase, deliver,
    lane::{Begun, Gate, Lane},
    rate::Limiter,
    record::Records,
    secrets::Served,
};
use crate::{
    clock,
    model::{DeliveryId, Millis, millis},
    store::{Due, StoreError},
};

/// How many deliveries a lane reads ahead.
const WINDOW: usize = 64;
/// How many outcomes a lane keeps in memory while the store can't be written.
const UNWRITTEN: usize = 512;
/// How long a lane waits when the store can't be read or written.
const STORE_TROUBLE: Duration = Duration::from_millis(500);

/// What a lane has in hand.
#[derive(Default)]
struct Hand {
    ahead: VecDeque<Due>,
    /// What has been begun and is not written down yet, by its row.
    under_way: HashMap<i64, UnderWay>,
    records: Records,
    /// When the store is to be asked again; none: when somebody wakes the lane.
    next_due: Option<Millis>,
    /// Nothing is begun before, whatever there is.
    held_until: Option<Millis>,
    /// Nothing can be begun; the log has been told why.
    resting: bool,
    limiter: Limiter,
}

/// A delivery that has been begun.
struct UnderWay {
    id: DeliveryId,
    sequence: Option<String>,
    task: JoinHandle<()>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        // It has ended, but for a lane that panicked.
        self.task.abort();
    }
}

/// Runs until the host stops, and begins again should it ever panic: a channel must not fall silent.
pub(super) async fn supervise(inner: Arc<Inner>, lane: Arc<Lane>) {
    while AssertUnwindSafe(run(inner.clone(), lane.clone())).catch_unwind().await.is_err() {
        tracing::error!(channel = lane.name, "a lane panicked and begins again; please report this");
        clock::pause(STORE_TROUBLE).await;
    }
}

async fn run(inner: Arc<Inner>, lane: Arc<Lane>) {
    lane.refresh();
    let mut hand = Hand::default();
    let mut served = None;
    let mut phase = inner.phase.subscribe();
    let mut adapters = inner.registry.changes();
    while *phase.borrow_and_update() == Phase::Running {
        match inner.store.channels(Some(lane.name.clone())).await {
            Ok(channels) => {
                for channel in channels.into_values() {
                    lane.remember(channel);
                }
                break;
            }
            Err(error) => trouble(&inner, &lane, &error, phase.changed()).await,
        }
    }
    while *phase.borrow_and_update() == Phase::Running {
        adapters.borrow_and_update();
        hand.collect(&lane);
        match serving(&inner, &lane, &mut served) {
            Ok(served) => {
                if let Err(error) = hand.begin(&inner, &lane, &served).await {
                    let stop = phase.changed();
                    hand.record_until(&inner, &lane, trouble(&inner, &lane, &error, stop)).await;
                    lane.wake();
                    continue;
                }
            }
            Err(why) => hand.rest(&lane, &why),
        }
        lane.note_look();
        wait(&inner, &lane, &mut hand, &mut phase, &mut adapters).await;
        // Where there is always something to do, others of this worker have their turn all the same.
        tokio::task::coop::consume_budget().await;
    }
    let release = async { drop(phase.wait_for(|phase| *phase == Phase::Releasing).await) };
    tokio::select! {
        () = hand.finish(&inner, &lane) => {}
        () = release => hand.release(&inner, &lane).await,
    }
}

async fn trouble(inner: &Inner, lane: &Lane, error: &StoreError, stop: impl Future) {
    tracing::error!(channel = lane.name, %error, "cannot read what is due; trying again");
    tokio::select! {
        () = inner.wait_for_store() => {}
        _ = stop => {}
    }
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
    if lane.is_disabled() {
        return Err("it is disabled".to_owned());
    }
    match served {
        Some(served) if served.is(channel, &adapter) => Ok(served.clone()),
        _ => {
            let new = Served::new(channel.clone(), adapter)
                .map_err(|error| format!("its settings can't be used: {error}"))?;
            if served.as_ref().is_some_and(|old| old.differs(&new)) {
                // What has changed may have mended it.
                lane.urge(inner.clock.now());
            }
            Ok(served.insert(Arc::new(new)).clone())
        }
    }
}

async fn wait(
    inner: &Arc<Inner>,
    lane: &Arc<Lane>,
    hand: &mut Hand,
    phase: &mut watch::Receiver<Phase>,
    adapters: &mut watch::Receiver<u64>,
) {
    // With work at hand only a finished delivery makes room; a timer or a waking would only ask the store again.
    let idle = hand.ahead.is_empty() || hand.under_way.is_empty();
    let at = hand.held_until.or(hand.next_due.filter(|_| idle));
    let timer = async {
        match at {
            Some(at) => inner.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // What happens most comes first: a busy lane looks at nothing else.
        biased;
        recorded = hand.records.next(inner, lane) => hand.recorded(&recorded),
        () = lane.notify.notified() => {}
        () = timer => {
            if hand.held_until.is_none() {
                lane.stale.store(true, Ordering::Release);
            }
        }
        _ = phase.changed() => {}
        _ = adapters.changed() => {}
    }
}

impl Hand {
    /// Begins what is due and there is room for.
    async fn begin(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>, served: &Arc<Served>) -> Result<(), StoreError> {
        if std::mem::take(&mut self.resting) {
            lane.set_rests(None);
        }
        self.held_until = None;
        let now = inner.clock.now();
        let gate = lane.gate(now);
        let most = match gate {
            Gate::Open => served.channel.concurrency,
            Gate::Probe => 1,
            Gate::Until(at) => {
                self.held_until = Some(at);
                return Ok(());
            }
        };
        if lane.changed.swap(false, Ordering::AcqRel) {
            self.ahead.clear();
            lane.inbox.close();
            // `refresh` may have set it before the last read took it away: what was cleared has to be read again.
            lane.stale.store(true, Ordering::Release);
        }
        if self.next_due.is_some_and(|at| at <= now) {
            lane.stale.store(true, Ordering::Release);
        }
        if self.is_idle() {
            // What the store knows comes before what is new.
            if lane.stale.swap(false, Ordering::AcqRel) {
                self.read(inner, lane).await?;
            } else {
                self.ahead.extend(lane.inbox.take(WINDOW));
            }
        }
        self.limiter.set(served.channel.rate);
        let policy = &served.channel.policy;
        while lane.active() < most && self.under_way.len() < most + UNWRITTEN {
            if self.ahead.is_empty() && !lane.stale.load(Ordering::Acquire) {
                self.ahead.extend(lane.inbox.take(WINDOW));
            }
            let Some(next) = self.ahead.iter().position(|due| !self.holds_up(due)) else { break };
            let now = inner.clock.now();
            // An attempt that has ended meanwhile, or a person, may have changed what may be begun.
            if lane.changed.load(Ordering::Acquire) || lane.is_disabled() || lane.gate(now) != gate {
                lane.notify.notify_one();
                break;
            }
            // What is too old is not sent, and so is not what the rate counts.
            let sends = self.ahead.get(next).is_some_and(|due| !policy.is_over(due.age(now)));
            if let Err(wait) = if sends { self.limiter.take(&inner.clock) } else { Ok(()) } {
                // Rounded up: a moment too early would only ask again.
                let wait = millis(wait.saturating_add(Duration::from_nanos(999_999)));
                let until = now.saturating_add(wait);
                lane.limited_until.store(until, Ordering::Relaxed);
                self.held_until = Some(until);
                break;
            }
            let Some(due) = self.ahead.remove(next) else { break };
            let (seq, id, sequence) = (due.seq, due.delivery.id, due.sequence.clone());
            // Boxed, or it would be copied whole each time the task moves on to another state.
            let delivered = Box::pin(deliver::deliver(inner.clone(), Begun::new(lane, seq), served.clone(), due));
            self.under_way.insert(seq, UnderWay { id, sequence, task: tokio::spawn(delivered) });
        }
        if lane.active() < most && self.is_idle() && lane.stale.load(Ordering::Acquire) {
            // There is room for what the store knows.
            lane.notify.notify_one();
        }
        Ok(())
    }

    /// Nothing can be begun; a waking changes that.
    fn rest(&mut self, lane: &Lane, why: &str) {
        if !std::mem::replace(&mut self.resting, true) {
            tracing::warn!(channel = lane.name, "deliveries of this channel wait: {why}");
        }
        lane.set_rests(Some(why));
        self.ahead.clear();
        lane.inbox.close();
        self.next_due = None;
        self.held_until = None;
        lane.stale.store(true, Ordering::Release);
    }

    /// Whether nothing that is at hand can be begun.
    fn is_idle(&self) -> bool {
        self.ahead.iter().all(|due| self.holds_up(due))
    }

    /// Whether an attempt of its sequence is still under way: somebody has cancelled that one, and it ends all the same.
    fn holds_up(&self, due: &Due) -> bool {
        due.sequence.is_some() && self.under_way.values().any(|other| other.sequence == due.sequence)
    }

    /// Asks the store for what is due and neither read ahead nor under way.
    async fn read(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) -> Result<(), StoreError> {
        let now = inner.clock.now();
        let ahead = self.ahead.iter().map(|due| due.delivery.id);
        let in_hand = self.under_way.values().map(|under_way| under_way.id).chain(ahead).collect();
        lane.inbox.open();
        let mut reading = std::pin::pin!(inner.store.due(&lane.name, now, in_hand, WINDOW));
        // What ends meanwhile is written beside it, and looked at after it: it stood in the question as being in hand.
        let mut recorded = Vec::new();
        let window = loop {
            tokio::select! {
                window = &mut reading => break window,
                more = self.records.next(inner, lane) => recorded.extend(more),
                () = lane.notify.notified() => self.collect(lane),
            }
        };
        if let Ok(window) = &window {
            self.next_due = window.next_due.filter(|at| *at > now);
        }
        self.recorded(&recorded);
        let window = window.inspect_err(|_| lane.inbox.close())?;
        if window.next_due.is_some_and(|at| at <= now) {
            // A full window means more: it is asked for when this one is used up, and comes before what is new.
            lane.inbox.close();
            lane.stale.store(true, Ordering::Release);
        } else {
            lane.inbox.know(window.last, window.has_threads);
        }
        self.ahead.extend(window.due);
        Ok(())
    }
}
