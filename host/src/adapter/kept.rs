//! Sandboxes that channels keep between calls, for adapters whose instantiation costs more than a call.
//!
//! In one a call can find what an earlier call of the same channel has left, and must never find anything else: a sandbox
//! serves one channel and one version of one adapter. Limits hold for each call, as in a fresh one.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

use wasmtime::{Store, component::Instance};

use super::{call::CallError, component::Adapter, engine::HostState};
use crate::clock::Stopwatch;

/// So many are kept at most: each holds its memory, and a place in the pool that calls take theirs from.
pub(super) const MOST_KEPT: u32 = 32;
/// Bytes that one may grow by from its first call to its last: a leak must not go on.
const MOST_GROWTH: usize = 16 << 20;
/// Calls that one serves.
const MOST_CALLS: u32 = 1000;
/// How long one is kept that nobody asks for.
const LONGEST_IDLE: Duration = Duration::from_mins(1);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Of all adapters and channels, those in which no call is under way.
#[derive(Default)]
pub(super) struct Kept {
    /// Held for moments, never while a sandbox is made, called or thrown away.
    shelf: Mutex<Shelf<Living>>,
    sweeps: OnceLock<()>,
}

/// A sandbox that has served a call and may serve another.
struct Living {
    store: Store<HostState>,
    instance: Instance,
    /// Bytes of memory that it began with.
    began_with: usize,
    calls: u32,
}

impl Living {
    fn may_serve_on(&self) -> bool {
        let grown = self.store.data().memory().saturating_sub(self.began_with);
        self.calls < MOST_CALLS && grown <= MOST_GROWTH
    }
}

impl Adapter {
    /// One call in the channel's sandbox, if it keeps one and no other call is under way there, else in a fresh one, which
    /// it then keeps.
    ///
    /// A call that fails in a kept sandbox is repeated in a fresh one: what earlier calls have left there may be why, and a
    /// call has no effect outside of its sandbox. One that ran out of time is not repeated: it would double its limit.
    pub(super) fn call_in_kept<R>(
        &self,
        function: &'static str,
        channel: &str,
        call: impl Fn(&mut Store<HostState>, &Instance) -> wasmtime::Result<R>,
    ) -> Result<R, CallError> {
        let kept = &self.sandbox.kept;
        let (age, found) = {
            let mut shelf = kept.shelf();
            (shelf.age, shelf.take(self.serial, channel))
        };
        let called = |mut living: Living| -> Result<R, CallError> {
            let result = call(&mut living.store, &living.instance);
            living.calls += 1;
            // After an error nobody knows what state it is in.
            let answer = self.ended(function, living.store.data_mut(), result)?;
            if living.may_serve_on() {
                kept.put(age, self.serial, channel, living);
            }
            Ok(answer)
        };
        if let Some(mut living) = found {
            self.sandbox.arm(&mut living.store);
            living.store.data_mut().begin();
            match called(living) {
                Err(error) if !error.may_pass => {
                    tracing::debug!(adapter = &*self.name, channel, %error, "failed in a kept sandbox; repeated in a fresh one");
                }
                ended => return ended,
            }
        }
        called(self.bring_to_life(function)?)
    }

    fn bring_to_life(&self, function: &'static str) -> Result<Living, CallError> {
        let mut store = self.sandbox.store(&self.name);
        match self.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Living { began_with: store.data().memory(), store, instance, calls: 0 }),
            Err(error) => self.ended(function, store.data_mut(), Err(error)),
        }
    }
}

impl Kept {
    /// Throws all away, those too in which a call is under way: of what comes, nothing has been called before.
    pub fn clear(&self) {
        let gone = self.shelf().clear();
        drop(gone);
    }

    fn put(self: &Arc<Self>, age: u64, adapter: u64, channel: &str, living: Living) {
        self.sweeps.get_or_init(|| sweep(Arc::downgrade(self)));
        let excess = self.shelf().put(age, adapter, channel, living);
        drop(excess);
    }

    fn retire_idle(&self, longest: Duration) {
        let gone = self.shelf().idle_for(longest);
        drop(gone);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Living>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for idle ones from now on, on a thread that ends when all adapters are gone.
fn sweep(kept: Weak<Kept>) {
    let started = thread::Builder::new().name("adapter-kept".to_owned()).spawn(move || {
        while let Some(kept) = kept.upgrade() {
            kept.retire_idle(LONGEST_IDLE);
            drop(kept);
            thread::sleep(SWEEP);
        }
    });
    if let Err(error) = started {
        tracing::warn!(%error, "sandboxes that channels keep stay until an adapter or the config changes");
    }
}

/// What is kept, by whom, and since when: the longest ago first.
struct Shelf<T> {
    idle: Vec<Idle<T>>,
    /// Counts how often all was thrown away.
    age: u64,
}

struct Idle<T> {
    adapter: u64,
    channel: Box<str>,
    since: Stopwatch,
    value: T,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Self { idle: Vec::new(), age: 0 }
    }
}

impl<T> Shelf<T> {
    fn take(&mut self, adapter: u64, channel: &str) -> Option<T> {
        let at = self.position(adapter, channel)?;
        Some(self.idle.remove(at).value)
    }

    /// Takes something that was taken or made when the shelf had that age; gives back what it has no place for.
    fn put(&mut self, age: u64, adapter: u64, channel: &str, value: T) -> Option<T> {
        // A second call of the channel was under way at the same time: one is enough.
        if age != self.age || self.position(adapter, channel).is_some() {
            return Some(value);
        }
        let excess = (self.idle.len() >= MOST_KEPT as usize).then(|| self.idle.remove(0).value);
        self.idle.push(Idle { adapter, channel: channel.into(), since: Stopwatch::start(), value });
        excess
    }

    fn clear(&mut self) -> Vec<Idle<T>> {
        self.age += 1;
        mem::take(&mut self.idle)
    }

    fn idle_for(&mut self, longest: Duration) -> Vec<Idle<T>> {
        let gone = self.idle.partition_point(|idle| idle.since.elapsed() >= longest);
        self.idle.drain(..gone).collect()
    }

    fn position(&self, adapter: u64, channel: &str) -> Option<usize> {
        self.idle.iter().position(|idle| idle.adapter == adapter && *idle.channel == *channel)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        adapter::{BOARD, Limits, Options, Origin, Registry},
        model::Isolation,
    };

    #[test]
    fn one_is_found_by_its_adapter_and_channel_alone() {
        let mut shelf = Shelf::default();
        assert_eq!(shelf.put(0, 1, "a", "x"), None);
        assert_eq!((shelf.take(1, "b"), shelf.take(2, "a")), (None, None));
        assert_eq!(shelf.put(0, 1, "a", "second"), Some("second"), "one is enough");
        assert_eq!((shelf.take(1, "a"), shelf.take(1, "a")), (Some("x"), None));
    }

    #[test]
    fn what_was_under_way_at_a_reload_is_not_kept_after_it() {
        let mut shelf = Shelf::default();
        shelf.put(0, 1, "a", "x");
        let age = shelf.age;
        assert_eq!(shelf.clear().len(), 1);
        assert_eq!(shelf.put(age, 1, "b", "y"), Some("y"));
        assert_eq!(shelf.put(shelf.age, 1, "b", "y"), None);
    }

    #[test]
    fn there_is_a_most_and_who_was_idle_the_longest_goes_first() {
        let mut shelf = Shelf::default();
        for number in 0..MOST_KEPT {
            assert_eq!(shelf.put(0, 1, &number.to_string(), number), None);
        }
        assert_eq!(shelf.put(0, 1, "one more", 99), Some(0));
        assert_eq!((shelf.take(1, "0"), shelf.take(1, "1")), (None, Some(1)));
    }

    #[test]
    fn who_is_idle_for_too_long_is_thrown_away() {
        let mut shelf = Shelf::default();
        shelf.put(0, 1, "a", "x");
        assert_eq!(shelf.idle_for(Duration::from_hours(1)).len(), 0);
        assert_eq!(shelf.idle_for(Duration::ZERO).len(), 1);
        assert_eq!(shelf.take(1, "a"), None);
    }

    #[test]
    fn two_calls_of_a_channel_at_the_same_time_have_a_sandbox_each_and_one_is_kept() {
        let limits = Limits { isolation: Isolation::Channel, ..Limits::default() };
        let registry = Registry::open(Options { limits, ..Options::default() }, Vec::new()).unwrap();
        let adapter = registry.load("board", BOARD[0], Origin::BuiltIn).unwrap();
        let both = std::sync::Barrier::new(2);
        let call = || {
            adapter.call_in_kept("nothing", "a", |_, _| {
                both.wait();
                Ok(())
            })
        };
        thread::scope(|scope| {
            let calls = [scope.spawn(call), scope.spawn(call)];
            for call in calls {
                call.join().unwrap().unwrap();
            }
        });
        assert_eq!(adapter.sandbox.kept.shelf().idle.len(), 1);
    }

    #[test]
    fn a_sandbox_that_nobody_asks_for_is_thrown_away_with_its_memory() {
        let limits = Limits { isolation: Isolation::Channel, ..Limits::default() };
        let registry = Registry::open(Options { limits, ..Options::default() }, Vec::new()).unwrap();
        let adapter = registry.load("board", BOARD[0], Origin::BuiltIn).unwrap();
        adapter.call_in_kept("nothing", "a", |_, _| Ok(())).unwrap();
        let kept = &adapter.sandbox.kept;
        kept.retire_idle(LONGEST_IDLE);
        assert_eq!(kept.shelf().idle.len(), 1);
        kept.retire_idle(Duration::ZERO);
        assert_eq!(kept.shelf().idle.len(), 0);
    }
}
