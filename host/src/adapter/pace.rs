//! Which channels are slow; together they never hold all threads, so that no quick one waits for a slow one.
//!
//! Pure: how long a call took is an argument.

use std::{collections::HashMap, hash::Hash, time::Duration};

/// A channel whose calls take this long on average is slow. Most take microseconds, those of an adapter that brings an
/// interpreter milliseconds, and those of one that is stuck the whole time that a call may take.
const SLOW: Duration = Duration::from_millis(20);
/// What the newest call weighs in the average: one part of so many. A second that is lost makes a channel slow at once,
/// a hiccup of a busy machine does not; and some 30 quick calls make it quick again.
const PARTS: u32 = 8;

/// The channels that have calls running, and those that had slow ones lately.
#[derive(Debug)]
pub(super) struct Paces<K> {
    threads: usize,
    channels: HashMap<K, Pace>,
    /// How many threads are held by channels that are slow.
    slow: usize,
}

#[derive(Debug, Default)]
struct Pace {
    running: usize,
    /// Moving; a channel that is not known counts as quick.
    average: Duration,
}

impl Pace {
    fn is_slow(&self) -> bool {
        self.average >= SLOW
    }
}

impl<K: Clone + Eq + Hash> Paces<K> {
    pub fn new(threads: usize) -> Self {
        Self { threads, channels: HashMap::new(), slow: 0 }
    }

    /// Whether it may have a thread that is free: a slow one may not have the last. A single thread is for all.
    pub fn may_begin(&self, key: &K) -> bool {
        self.slow == 0 || self.slow + 1 < self.threads || !self.channels.get(key).is_some_and(Pace::is_slow)
    }

    /// A call of its has begun.
    pub fn begin(&mut self, key: &K) {
        let pace = self.channels.entry(key.clone()).or_default();
        pace.running += 1;
        if pace.is_slow() {
            self.slow += 1;
        }
    }

    /// One has ended.
    pub fn end(&mut self, key: &K, took: Duration) {
        let Some(pace) = self.channels.get_mut(key) else { return };
        if pace.is_slow() {
            self.slow = self.slow.saturating_sub(pace.running);
        }
        pace.running = pace.running.saturating_sub(1);
        pace.average = (pace.average * (PARTS - 1) + took) / PARTS;
        if pace.is_slow() {
            self.slow += pace.running;
        } else if pace.running == 0 && pace.average < SLOW / PARTS {
            // Less than one slow call leaves: were that forgotten, a channel that calls seldom would never be slow.
            self.channels.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    /// Every call of the channels below is quick, and every one of the others is so long that it tells.
    const QUICK: u8 = 2;

    #[derive(Debug, Clone)]
    enum Step {
        Begin(u8),
        End(Index, Duration),
    }

    fn step() -> impl Strategy<Value = Step> {
        let took = (0_u64..20_000).prop_map(Duration::from_micros);
        prop_oneof![
            3 => (0_u8..5).prop_map(Step::Begin),
            2 => (any::<Index>(), took).prop_map(|(which, took)| Step::End(which, took)),
        ]
    }

    proptest! {
        #[test]
        fn slow_channels_leave_a_thread_to_the_quick_ones(threads in 1_usize..5, steps in vec(step(), 0..200)) {
            let mut paces = Paces::new(threads);
            let (mut running, mut known) = (Vec::new(), [false; 5]);
            for step in steps {
                match step {
                    Step::Begin(channel) if running.len() < threads => {
                        let held = running.iter().filter(|other| known[usize::from(**other)]).count();
                        let is_slow = known[usize::from(channel)];
                        prop_assert_eq!(paces.may_begin(&channel), !is_slow || held == 0 || held + 1 < threads);
                        prop_assert!(channel >= QUICK || !running.is_empty() || paces.may_begin(&channel), "all are idle");
                        if paces.may_begin(&channel) {
                            paces.begin(&channel);
                            running.push(channel);
                        }
                    }
                    Step::End(which, took) if !running.is_empty() => {
                        let channel = running.swap_remove(which.index(running.len()));
                        known[usize::from(channel)] = channel >= QUICK;
                        paces.end(&channel, if channel < QUICK { took } else { SLOW * PARTS + took });
                    }
                    _ => {}
                }
                let held = running.iter().filter(|channel| known[usize::from(**channel)]).count();
                prop_assert_eq!(paces.slow, held);
            }
            for channel in running {
                paces.end(&channel, Duration::ZERO);
            }
            for channel in (0..20).flat_map(|_| 0..QUICK) {
                paces.begin(&channel);
                paces.end(&channel, Duration::ZERO);
            }
            prop_assert!(paces.channels.keys().all(|channel| *channel >= QUICK), "a quick one is forgotten when it is idle");
        }
    }

    /// After how many calls of that length the channel is slow, or is not; none when a thousand don't do.
    fn calls(paces: &mut Paces<&str>, took: Duration, is_slow: bool) -> Option<usize> {
        (1..=1000).find(|_| {
            paces.begin(&"ops");
            paces.end(&"ops", took);
            paces.channels.get("ops").is_some_and(Pace::is_slow) == is_slow
        })
    }

    #[test]
    fn a_stuck_channel_is_slow_at_once_and_a_repaired_one_is_quick_again_soon() {
        let mut paces = Paces::new(2);
        assert_eq!(calls(&mut paces, Duration::from_secs(1), true), Some(1));
        assert_eq!(calls(&mut paces, Duration::from_micros(30), false), Some(14));
        assert_eq!(calls(&mut paces, Duration::from_mins(1), true), Some(1));
        assert_eq!(calls(&mut paces, Duration::from_micros(30), false), Some(45));
    }

    #[test]
    fn a_hiccup_makes_no_channel_slow_but_long_calls_do_however_seldom() {
        assert_eq!(calls(&mut Paces::new(2), Duration::from_millis(150), false), Some(1));
        let millisecond = Duration::from_millis(1);
        assert_eq!(calls(&mut Paces::new(2), millisecond * 21, true), Some(23));
        assert_eq!(calls(&mut Paces::new(2), millisecond * 19, true), None);
    }
}
