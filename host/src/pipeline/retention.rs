//! What has ended is kept for a time and within a size; what goes, goes in steps that hold nobody up.

use std::{sync::Arc, time::Duration};

use super::{Inner, Phase};
use crate::{
    clock,
    model::{Millis, millis},
    store::{Prune, StoreError},
};

/// How long what has ended is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Deliveries that ended longer ago go.
    pub keep: Duration,
    /// When more bytes are in use the oldest go sooner; 0: no limit.
    pub max_size: u64,
}

/// How often it is looked at when nothing is to be done, at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_mins(1), Duration::from_millis(500));
/// Between two steps, so that others come first.
const BREATH: Duration = Duration::from_millis(5);

pub(super) async fn run(inner: Arc<Inner>) {
    let mut phase = inner.phase.subscribe();
    while *phase.borrow_and_update() == Phase::Running {
        let kept = inner.plan.load().retention;
        let more = match step(&inner, kept).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "what is old can't be taken away now");
                false
            }
        };
        let rest = async {
            if more {
                clock::pause(BREATH).await;
            } else {
                let look = (kept.keep / 4).clamp(LOOK.1, LOOK.0);
                inner.clock.sleep_until(inner.clock.now().saturating_add(millis(look))).await;
            }
        };
        tokio::select! {
            () = rest => {}
            _ = phase.changed() => {}
        }
    }
}

/// True when there is more to do.
async fn step(inner: &Inner, kept: Retention) -> Result<bool, StoreError> {
    let too_old = inner.clock.now().saturating_sub(millis(kept.keep));
    let too_much = match kept.max_size {
        0 => 0,
        most => inner.store.size().await?.saturating_sub(most),
    };
    let what = if too_much > 0 {
        Prune { before: Millis::MAX, bytes: too_much, rest: too_old }
    } else {
        Prune { before: too_old, bytes: u64::MAX, rest: too_old }
    };
    let pruned = inner.store.prune(what).await?;
    let free = inner.store.give_back().await?;
    // Where nothing was left to take, more steps would not make it smaller.
    Ok(free || pruned.more || (too_much > 0 && pruned.rows > 0))
}
