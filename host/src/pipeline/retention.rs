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

/// How often what is too old is looked for, at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_mins(1), Duration::from_millis(500));
/// How often the size is looked at: a busy host writes many megabytes a second.
const SIZE: Duration = Duration::from_secs(1);
/// Between two steps, so that others come first.
const BREATH: Duration = Duration::from_millis(5);

pub(super) async fn run(inner: Arc<Inner>) {
    let mut phase = inner.phase.subscribe();
    let (mut next_look, mut thinned) = (0, 0);
    while *phase.borrow_and_update() == Phase::Running {
        let kept = inner.plan.load().retention;
        let now = inner.clock.now();
        let more = match step(&inner, kept, now >= next_look, &mut thinned).await {
            Ok(more) => more,
            Err(error) => {
                tracing::warn!(%error, "what is old can't be taken away now");
                false
            }
        };
        if !more && now >= next_look {
            next_look = now.saturating_add(millis((kept.keep / 4).clamp(LOOK.1, LOOK.0)));
        }
        let rest = async {
            if more {
                clock::pause(BREATH).await;
            } else {
                let size = if kept.max_size > 0 { now.saturating_add(millis(SIZE)) } else { Millis::MAX };
                inner.clock.sleep_until(next_look.min(size)).await;
            }
        };
        tokio::select! {
            () = rest => {}
            _ = phase.changed() => {}
        }
    }
}

/// True when there is more to do. `thinned` is up to which row the accounts of attempts have been looked at.
async fn step(inner: &Inner, kept: Retention, look: bool, thinned: &mut i64) -> Result<bool, StoreError> {
    if inner.store.trouble().is_some() {
        return Ok(false);
    }
    let too_old = inner.clock.now().saturating_sub(millis(kept.keep));
    let too_much = match kept.max_size {
        0 => 0,
        most => inner.store.size().await?.saturating_sub(most),
    };
    let what = match (too_much, look) {
        (0, false) => return Ok(false),
        (0, true) => Prune { before: too_old, bytes: u64::MAX, rest: too_old, thin: None },
        // All of them are looked at, so not every second.
        (too_much, _) => Prune { before: Millis::MAX, bytes: too_much, rest: too_old, thin: look.then_some(*thinned) },
    };
    let pruned = inner.store.prune(what).await?;
    let free = inner.store.give_back().await?;
    *thinned = pruned.thinned.unwrap_or_default();
    // Where nothing was left to take, more steps would not make it smaller.
    Ok(free || pruned.more || pruned.thinned.is_some() || (too_much > 0 && pruned.rows > 0))
}
