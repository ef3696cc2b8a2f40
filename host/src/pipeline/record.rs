//! Writing outcomes down, for as long as it takes: the receiver has answered, and a store that can't be written now can be
//! written later.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{
    Inner,
    lane::{Lane, Slot},
};
use crate::{
    clock,
    store::{Due, Settlement},
};

/// How long to wait before a settlement is tried again that the store could not take.
const STORE_TROUBLE: Duration = Duration::from_millis(500);
/// The same while the store is known not to be written.
const LONG_TROUBLE: Duration = Duration::from_secs(10);
/// Bytes of outcomes that a host keeps in memory until they are written; beyond that nothing more is begun.
const UNWRITTEN: usize = 64 << 20;

/// Bytes of an outcome, counted until it is written or let go.
struct Unwritten<'a> {
    inner: &'a Inner,
    bytes: usize,
    /// All there are, with it.
    all: usize,
}

impl<'a> Unwritten<'a> {
    fn new(inner: &'a Inner, bytes: usize) -> Self {
        let all = inner.unwritten.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        Self { inner, bytes, all }
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        self.inner.unwritten.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Inner {
    /// Writes a settlement down. The receiver has answered by now, so it is tried until the store takes it. True when more
    /// has become due on the channel than the settlement says.
    pub(super) async fn record(&self, lane: &Lane, slot: Slot, settlement: Settlement) -> bool {
        let news = settlement.news.iter().chain(&settlement.failure).flat_map(|new| &new.deliveries);
        let others: Vec<String> = news.chain(&settlement.fallback).map(|new| new.channel.clone()).collect();
        let is_first_thread = settlement.thread.is_some() && lane.inbox.note_thread();
        // The receiver has done its part: others can be delivered, as long as there is room for what they come to.
        let unwritten = Unwritten::new(self, settlement.weight());
        let slot = if unwritten.all > UNWRITTEN {
            Some(slot)
        } else {
            slot.leave();
            None
        };
        let settlement = Arc::new(settlement);
        let more = match self.store.settle(settlement.clone()).await {
            Ok(more) => more,
            Err(error) => {
                tracing::error!(channel = lane.name, %error, "cannot record an attempt; trying again");
                self.keep_trying(&settlement).await
            }
        };
        drop((unwritten, slot));
        if is_first_thread {
            // What waits in memory was accepted without it.
            lane.refresh();
        }
        for channel in &others {
            self.wake(channel);
        }
        more
    }

    async fn keep_trying(&self, settlement: &Arc<Settlement>) -> bool {
        loop {
            self.wait_for_store().await;
            if let Ok(more) = self.store.settle(settlement.clone()).await {
                break more;
            }
        }
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
