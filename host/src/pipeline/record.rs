//! Writing outcomes down, for as long as it takes: the receiver has answered, and a store that can't be written now can be
//! written later.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future, stream::FuturesUnordered};

use super::{
    Inner,
    lane::{Begun, Lane, Slot},
};
use crate::{
    clock,
    model::{FailReason, Millis},
    store::{Due, Next, Settled, Settlement, StoreError},
};

/// How long to wait before a settlement is tried again that the store could not take.
const STORE_TROUBLE: Duration = Duration::from_millis(500);
/// The same while the store is known not to be written.
const LONG_TROUBLE: Duration = Duration::from_secs(10);
/// Bytes of outcomes that a host keeps in memory until they are written; beyond that nothing more is begun.
const UNWRITTEN: usize = 64 << 20;
/// Outcomes that a lane writes at once: others' events wait meanwhile.
const BATCH: usize = 512;

/// An attempt that has ended and is not written down yet.
pub(super) struct Ended {
    settled: Arc<Settled>,
    _unwritten: Unwritten,
    /// Kept while there is no room for what others come to.
    _slot: Option<Slot>,
    /// Nothing was known of references on this channel.
    is_first_thread: bool,
}

/// An attempt that is written down.
pub(super) struct Recorded {
    /// The delivery's row.
    pub seq: i64,
    /// When the lane has to look again because of it.
    pub due: Option<Millis>,
}

impl Ended {
    /// The receiver has done its part: others can be delivered, as long as there is room for what they come to.
    pub fn new(inner: &Inner, begun: &mut Begun, settlement: Settlement) -> Result<Self, StoreError> {
        let is_first_thread = settlement.thread.is_some() && begun.lane.inbox.note_thread();
        let settled = Arc::new(Settled::new(settlement)?);
        let unwritten = Unwritten::new(&inner.unwritten, settled.weight());
        let slot = begun.leave();
        Ok(Self { _slot: slot.filter(|_| unwritten.all > UNWRITTEN), settled, _unwritten: unwritten, is_first_thread })
    }

    /// After the commit, which may have made more due than the settlement says.
    fn recorded(self, inner: &Inner, lane: &Lane, more: bool) -> Recorded {
        let settlement = self.settled.settlement();
        if self.is_first_thread {
            // What waits in memory was accepted without it.
            lane.refresh();
        }
        let news = settlement.news.iter().chain(&settlement.failure).flat_map(|new| &new.deliveries);
        for new in news.chain(&settlement.fallback) {
            inner.wake(&new.channel);
        }
        let due = match settlement.next {
            _ if more => Some(inner.clock.now()),
            Next::Again { at, .. } => Some(at),
            Next::Delivered | Next::Failed(_) => None,
        };
        if settlement.next == Next::Failed(FailReason::Adapter) {
            inner.note_adapter_failed(&lane.name, settlement.attempt.adapter.as_ref());
        }
        Recorded { seq: settlement.seq, due }
    }
}

/// Bytes of an outcome, counted until it is written or let go.
struct Unwritten {
    of: Arc<AtomicUsize>,
    bytes: usize,
    /// All there are, with it.
    all: usize,
}

impl Unwritten {
    fn new(of: &Arc<AtomicUsize>, bytes: usize) -> Self {
        let all = of.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        Self { of: of.clone(), bytes, all }
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The outcomes of a lane on their way to the store: what comes while some are written goes there at once after it.
#[derive(Default)]
pub(super) struct Records {
    waiting: Vec<Ended>,
    writing: Option<Writing>,
    /// What the store could not take, each by itself.
    stuck: FuturesUnordered<future::BoxFuture<'static, Recorded>>,
}

/// Gives back what the store could not take.
type Writing = future::BoxFuture<'static, Result<Vec<Recorded>, Vec<Ended>>>;

impl Records {
    pub fn push(&mut self, ended: Ended) {
        self.waiting.push(ended);
    }

    /// Those that are written next; never, when there is nothing to write. Nothing is lost when this is dropped.
    pub async fn next(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) -> Vec<Recorded> {
        loop {
            self.begin(inner, lane);
            let never = || future::pending().left_future();
            let writing = self.writing.as_mut().map_or_else(never, FutureExt::right_future);
            let written = tokio::select! {
                biased;
                written = writing => written,
                Some(recorded) = self.stuck.next() => return vec![recorded],
            };
            self.writing = None;
            match written {
                Ok(recorded) => return recorded,
                Err(refused) => {
                    // Among several it may be the fault of another one: each is tried alone at once.
                    let at_once = refused.len() > 1;
                    let stuck = refused.into_iter();
                    self.stuck.extend(stuck.map(|one| keep_trying(inner.clone(), lane.clone(), one, at_once).boxed()));
                }
            }
        }
    }

    fn begin(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) {
        if self.writing.is_none() && !self.waiting.is_empty() {
            let rest = self.waiting.split_off(BATCH.min(self.waiting.len()));
            let batch = mem::replace(&mut self.waiting, rest);
            self.writing = Some(write(inner.clone(), lane.clone(), batch).boxed());
        }
    }

    /// Hands what waits to the store, which writes it before it is closed, and lets go of what it has refused.
    pub fn release(mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) {
        loop {
            // The first look at it is what hands it over.
            if let Some(mut writing) = self.writing.take() {
                let _ = writing.as_mut().now_or_never();
            }
            if self.waiting.is_empty() {
                break;
            }
            self.begin(inner, lane);
        }
    }
}

async fn write(inner: Arc<Inner>, lane: Arc<Lane>, batch: Vec<Ended>) -> Result<Vec<Recorded>, Vec<Ended>> {
    match inner.store.settle(batch.iter().map(|ended| ended.settled.clone()).collect()).await {
        Ok(more) => {
            let recorded: Vec<_> =
                batch.into_iter().zip(more).map(|(ended, more)| ended.recorded(&inner, &lane, more)).collect();
            inner.note_settled(recorded.len());
            Ok(recorded)
        }
        Err(error) => {
            let attempts = batch.len();
            tracing::error!(channel = lane.name, attempts, %error, "cannot record what was attempted; trying again");
            Err(batch)
        }
    }
}

async fn keep_trying(inner: Arc<Inner>, lane: Arc<Lane>, ended: Ended, at_once: bool) -> Recorded {
    if !at_once {
        inner.wait_for_store().await;
    }
    loop {
        if let Ok(more) = inner.store.settle(vec![ended.settled.clone()]).await {
            let recorded = ended.recorded(&inner, &lane, more.contains(&true));
            inner.note_settled(1);
            return recorded;
        }
        inner.wait_for_store().await;
    }
}

impl Inner {
    fn note_settled(&self, attempts: usize) {
        self.settled.send_modify(|count| *count += attempts as u64);
    }

    /// Until the store can be written again, or it is worth another look.
    pub(super) async fn wait_for_store(&self) {
        if self.store.trouble().is_none() {
            clock::pause(STORE_TROUBLE).await;
            return;
        }
        let mut troubles = self.store.troubles();
        // It may be damaged in a place that this settlement does not touch.
        let _ = tokio::time::timeout(LONG_TROUBLE, troubles.wait_for(Option::is_none)).await;
    }
}

/// Tells the log of an attempt.
pub(super) fn log(lane: &Lane, due: &Due, settlement: &Settlement) {
    let attempt = &settlement.attempt;
    let (channel, delivery, event) = (&lane.name, due.delivery.id, &due.event.id);
    match &attempt.reason {
        None => {
            tracing::info!(
                channel, %delivery, event, attempt = attempt.number, micros = attempt.duration_us, "delivered"
            );
        }
        Some(reason) => tracing::warn!(
            channel, %delivery, event, attempt = attempt.number, outcome = %attempt.outcome, next = settlement.next.state().as_str(), "{reason}"
        ),
    }
}
