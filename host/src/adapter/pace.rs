//! Which channels are slow: their calls have threads of their own, so that no quick one waits for a slow one.
//!
//! Pure: how long a call took is an argument.

use std::{borrow::Borrow, collections::HashMap, hash::Hash, time::Duration};

/// A channel whose calls take this long on average is slow. Most take microseconds, those of an adapter that brings an
/// interpreter milliseconds, and those of one that is stuck the whole time that a call may take.
const SLOW: Duration = Duration::from_millis(20);
/// What the newest call weighs in the average: one part of so many. A second that is lost makes a channel slow at once,
/// a hiccup of a busy machine does not; and some 30 quick calls make it quick again.
const PARTS: u32 = 8;

/// How long a channel's calls take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    Quick,
    Slow,
}

/// The averages of the channels that had calls lately that tell. One that is not known is quick.
#[derive(Debug)]
pub(super) struct Paces<K>(HashMap<K, Duration>);

impl<K: Clone + Eq + Hash> Paces<K> {
    pub fn new() -> Self {
        Self(HashMap::new())
    }

    pub fn of<Q>(&self, key: &Q) -> Pace
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        match self.0.get(key) {
            Some(average) if *average >= SLOW => Pace::Slow,
            _ => Pace::Quick,
        }
    }

    /// A call of its took so long.
    pub fn took(&mut self, key: &K, took: Duration) {
        let average = self.0.get(key).copied().unwrap_or_default();
        let average = (average * (PARTS - 1) + took) / PARTS;
        if average >= SLOW / PARTS {
            self.0.insert(key.clone(), average);
        } else {
            // Less than one slow call leaves: were that forgotten, a channel that calls seldom would never be slow.
            self.0.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many calls of that length the channel has that pace; none when a thousand don't do.
    fn calls(paces: &mut Paces<&str>, took: Duration, pace: Pace) -> Option<usize> {
        (1..=1000).find(|_| {
            paces.took(&"ops", took);
            paces.of("ops") == pace
        })
    }

    #[test]
    fn a_stuck_channel_is_slow_at_once_and_a_repaired_one_is_quick_again_soon() {
        let mut paces = Paces::new();
        assert_eq!(calls(&mut paces, Duration::from_secs(1), Pace::Slow), Some(1));
        assert_eq!(paces.of("another"), Pace::Quick);
        assert_eq!(calls(&mut paces, Duration::from_micros(30), Pace::Quick), Some(14));
        assert_eq!(calls(&mut paces, Duration::from_mins(1), Pace::Slow), Some(1));
        assert_eq!(calls(&mut paces, Duration::from_micros(30), Pace::Quick), Some(45));
    }

    #[test]
    fn a_hiccup_makes_no_channel_slow_but_long_calls_do_however_seldom() {
        assert_eq!(calls(&mut Paces::new(), Duration::from_millis(150), Pace::Quick), Some(1));
        let millisecond = Duration::from_millis(1);
        assert_eq!(calls(&mut Paces::new(), millisecond * 21, Pace::Slow), Some(23));
        assert_eq!(calls(&mut Paces::new(), millisecond * 19, Pace::Slow), None);
    }

    #[test]
    fn quick_channels_take_no_memory() {
        let mut paces = Paces::new();
        paces.took(&"ops", Duration::from_secs(1));
        (0..60).for_each(|_| paces.took(&"ops", Duration::from_micros(30)));
        (0..60).for_each(|_| paces.took(&"alerts", Duration::from_micros(30)));
        assert!(paces.0.is_empty(), "{paces:?}");
    }
}
