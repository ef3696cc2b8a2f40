//! The first calls of a version that has taken another one's place: whether it fails more of them than it makes.
//!
//! Counts and judges; what follows from it is the registry's.

use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crossbeam_channel::Sender;

use super::call::CallError;

/// So many calls are watched: a version that is good for these is taken for good.
const CALLS: u32 = 20;
/// Fewer failures prove nothing: one odd event, sent thrice, must not displace a version.
const FEWEST: u32 = 3;

/// Of one version. It is over before it has begun for one that has nothing to be measured by.
#[derive(Default)]
pub(super) struct Trial {
    /// Whether calls are counted at all: the only thing that a call of a proven version looks at.
    is_on: AtomicBool,
    /// Held for moments, and only while it is on.
    tally: Mutex<Tally>,
    /// Whom to tell at its end: nobody before the folder is watched; the next look finds it then.
    waker: OnceLock<Arc<OnceLock<Sender<()>>>>,
}

#[derive(Default)]
struct Tally {
    calls: u32,
    failed: u32,
    last: String,
}

/// How a trial stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// There were too few calls to say.
    Open,
    /// It is as good as any.
    Passed,
    /// In words.
    Failed(String),
}

impl Tally {
    fn standing(&self) -> Standing {
        let Self { calls, failed, last } = self;
        if *failed >= FEWEST && failed * 2 > *calls {
            return Standing::Failed(format!("{failed} of its first {calls} calls failed; the last one: {last}"));
        }
        if *calls >= CALLS { Standing::Passed } else { Standing::Open }
    }
}

impl Trial {
    /// From now on calls are counted.
    pub fn begin(&self, waker: &Arc<OnceLock<Sender<()>>>) {
        let _ = self.waker.set(waker.clone());
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Whether it goes on.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Counts a call, with what went wrong.
    pub fn note(&self, failed: Option<&CallError>) {
        let mut tally = self.tally();
        // Others may have been under way when it ended.
        if !self.is_on() {
            return;
        }
        tally.calls += 1;
        if let Some(error) = failed {
            tally.failed += 1;
            tally.last = error.to_string();
        }
        if tally.standing() != Standing::Open {
            self.is_on.store(false, Ordering::Relaxed);
            // Full: somebody is about to look anyway.
            let _ = self.waker.get().and_then(|waker| waker.get()).map(|waker| waker.try_send(()));
        }
    }

    /// Whether the version works as far as can be said: it has made some calls well, and no more than half have failed.
    pub fn works_so_far(&self) -> bool {
        let Tally { calls, failed, .. } = &*self.tally();
        calls - failed >= FEWEST && failed * 2 <= *calls
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.tally().standing()
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How it ends with calls that go so (`x`: fails), and how many of them it takes.
    fn ends(calls: &str) -> (Standing, usize) {
        let trial = Trial::default();
        trial.begin(&Arc::default());
        let error = CallError {
            function: "render",
            message: "trapped".to_owned(),
            may_pass: false,
            over_limit: false,
            backtrace: None,
        };
        let mut taken = 0;
        for call in calls.chars().take_while(|_| trial.is_on()) {
            trial.note((call == 'x').then_some(&error));
            taken += 1;
        }
        (trial.standing(), taken)
    }

    #[test]
    fn more_failures_than_half_of_three_or_more_calls_are_too_many() {
        let failed = |failed, calls| {
            Standing::Failed(format!("{failed} of its first {calls} calls failed; the last one: `render` trapped"))
        };
        assert_eq!(ends("xx"), (Standing::Open, 2));
        assert_eq!(ends("xxx...."), (failed(3, 3), 3));
        assert_eq!(ends("x.xx..."), (failed(3, 4), 4));
        assert_eq!(ends("..xx.xxx"), (failed(4, 7), 7));
    }

    #[test]
    fn who_is_good_for_twenty_calls_is_not_watched_any_more() {
        assert_eq!(ends(&".".repeat(30)), (Standing::Passed, 20));
        assert_eq!(ends(&("..x..x".repeat(3) + "..xxxxxxxxxxxxxxxxxxxx")), (Standing::Passed, 20));
        let trial = Trial::default();
        assert!(!trial.is_on(), "who has taken nobody's place is not watched at all");
    }
}
