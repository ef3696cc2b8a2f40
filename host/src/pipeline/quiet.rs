//! Whether there is nothing to do, for tests: only then something that was not sent is not merely late.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use super::{Pipeline, lane::Lane};
use crate::clock;

/// How often lanes are asked to look.
const ASK: Duration = Duration::from_millis(1);

impl Pipeline {
    /// Returns when all that may be begun, by the clock as it stands, has been begun, has ended and is written down. Never
    /// while a receiver keeps an attempt waiting. The store is not asked anew: what a lane should have known stays its own.
    #[doc(hidden)]
    pub async fn quiet(&self) {
        loop {
            let before = self.attempts_ended();
            let at_rest = self.is_at_rest();
            self.all_have_looked().await;
            // Whoever has begun something meanwhile is at it still, or has been counted.
            if at_rest && self.is_at_rest() && self.attempts_ended() == before {
                return;
            }
        }
    }

    /// Until each lane has begun a look after this call, and has come to its end.
    async fn all_have_looked(&self) {
        let lanes: Vec<(Arc<Lane>, u64)> =
            self.0.lanes().values().map(|handle| (handle.lane.clone(), handle.lane.looks())).collect();
        // Of the first look nobody knows when it began.
        while lanes.iter().any(|(lane, looks)| lane.looks() < looks + 2) {
            for (lane, _) in &lanes {
                lane.notify.notify_one();
            }
            clock::pause(ASK).await;
        }
    }

    fn is_at_rest(&self) -> bool {
        let none_under_way = self.0.lanes().values().all(|handle| handle.lane.active() == 0);
        none_under_way && self.0.unwritten.load(Ordering::Acquire) == 0
    }

    fn attempts_ended(&self) -> u64 {
        self.0.totals.attempts().iter().map(|(_, count)| count).sum()
    }
}
