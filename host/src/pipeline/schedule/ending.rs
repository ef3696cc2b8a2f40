//! What a lane does with attempts that have ended: their outcomes are written down, and what is under way at a stop is
//! finished or let go.

use std::sync::{Arc, atomic::Ordering};

use super::Hand;
use crate::pipeline::{
    Inner,
    lane::{Lane, Report},
    record::Recorded,
};

impl Hand {
    /// Takes over what has ended, to be written down.
    pub(super) fn collect(&mut self, lane: &Lane) {
        for report in lane.reports() {
            match report {
                Report::Ended(ended) => self.records.push(ended),
                Report::Lost(seq) => {
                    if self.under_way.remove(&seq).is_some() {
                        tracing::error!(channel = lane.name, "a delivery ended in the middle; it will be tried again");
                        lane.stale.store(true, Ordering::Release);
                    }
                }
            }
        }
    }

    pub(super) fn recorded(&mut self, recorded: &[Recorded]) {
        for Recorded { seq, due } in recorded {
            self.under_way.remove(seq);
            self.next_due = [self.next_due, *due].into_iter().flatten().min();
        }
    }

    /// Begins nothing new, and writes down what ends meanwhile.
    pub(super) async fn record_until(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>, until: impl Future<Output = ()>) {
        let mut until = std::pin::pin!(until);
        loop {
            self.collect(lane);
            tokio::select! {
                recorded = self.records.next(inner, lane) => self.recorded(&recorded),
                () = lane.notify.notified() => {}
                () = &mut until => return,
            }
        }
    }

    /// Until all that is under way is written down.
    pub(super) async fn finish(&mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) {
        self.collect(lane);
        while !self.under_way.is_empty() {
            tokio::select! {
                recorded = self.records.next(inner, lane) => self.recorded(&recorded),
                () = lane.notify.notified() => self.collect(lane),
            }
        }
    }

    /// Lets go of what is under way, which stays pending. What has ended by now is written all the same, where it can be.
    pub(super) async fn release(mut self, inner: &Arc<Inner>, lane: &Arc<Lane>) {
        for under_way in self.under_way.values() {
            under_way.task.abort();
        }
        for under_way in self.under_way.values_mut() {
            // How it ended is told by its report.
            let _ = (&mut under_way.task).await;
        }
        self.under_way.clear();
        self.collect(lane);
        self.records.release(inner, lane);
    }
}
