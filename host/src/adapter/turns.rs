//! A queue of queues: who waits is served in turn, however much another one has waiting.
//!
//! Pure: no threads, no clock.

use std::{
    borrow::Borrow,
    collections::{HashMap, VecDeque},
    hash::Hash,
};

/// First in, first out within a key; the keys take turns.
#[derive(Debug)]
pub(super) struct Turns<K, T> {
    /// What waits, by key. None of these queues is empty.
    queues: HashMap<K, VecDeque<T>>,
    /// Each key of `queues` once; whose turn it is stands first.
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, T> Turns<K, T> {
    pub fn new() -> Self {
        Self { queues: HashMap::new(), order: VecDeque::new() }
    }

    /// Puts an item behind its key's others. A key that had none comes last, and is made only then.
    pub fn push<Q>(&mut self, key: &Q, item: T)
    where
        K: Borrow<Q> + for<'q> From<&'q Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(queue) = self.queues.get_mut(key) {
            queue.push_back(item);
        } else {
            let key = K::from(key);
            self.order.push_back(key.clone());
            self.queues.insert(key, VecDeque::from([item]));
        }
    }

    /// The next item in turn. A key that may not is passed over and keeps its place.
    pub fn pop(&mut self, may: impl Fn(&K) -> bool) -> Option<(K, T)> {
        let at = self.order.iter().position(may)?;
        let key = self.order.remove(at)?;
        let queue = self.queues.get_mut(&key)?;
        let item = queue.pop_front()?;
        if queue.is_empty() {
            self.queues.remove(&key);
        } else {
            self.order.push_back(key.clone());
        }
        Some((key, item))
    }

    /// Whether [`pop`](Self::pop) would give something.
    pub fn any(&self, may: impl Fn(&K) -> bool) -> bool {
        self.order.iter().any(may)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const KEYS: [&str; 4] = ["a", "b", "c", "d"];

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        /// With the keys that may.
        Pop([bool; KEYS.len()]),
    }

    fn steps(may: impl Strategy<Value = [bool; KEYS.len()]>) -> impl Strategy<Value = Vec<Step>> {
        vec(prop_oneof![(0..KEYS.len()).prop_map(Step::Push), may.prop_map(Step::Pop)], 0..200)
    }

    fn key_index(key: &str) -> usize {
        KEYS.iter().position(|known| *known == key).unwrap()
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_and_a_key_is_first_in_first_out(steps in steps(any::<[bool; KEYS.len()]>())) {
            let mut turns = Turns::<String, usize>::new();
            let mut waiting: [VecDeque<usize>; KEYS.len()] = Default::default();
            let all = std::iter::repeat_n(Step::Pop([true; KEYS.len()]), steps.len() + 1);
            for (number, step) in steps.clone().into_iter().chain(all).enumerate() {
                match step {
                    Step::Push(key) => {
                        turns.push(KEYS[key], number);
                        waiting[key].push_back(number);
                    }
                    Step::Pop(may) => {
                        let is_there = (0..KEYS.len()).any(|key| may[key] && !waiting[key].is_empty());
                        prop_assert_eq!(turns.any(|key| may[key_index(key)]), is_there);
                        let popped = turns.pop(|key| may[key_index(key)]);
                        prop_assert_eq!(popped.is_some(), is_there);
                        if let Some((key, item)) = popped {
                            prop_assert!(may[key_index(&key)]);
                            prop_assert_eq!(waiting[key_index(&key)].pop_front(), Some(item));
                        }
                    }
                }
                let keys = waiting.iter().filter(|queue| !queue.is_empty()).count();
                prop_assert_eq!((turns.queues.len(), turns.order.len()), (keys, keys), "nothing is kept of an empty one");
            }
            prop_assert!(!turns.any(|_| true));
        }

        #[test]
        fn between_two_turns_of_a_key_every_other_that_waits_has_one(steps in steps(Just([true; KEYS.len()]))) {
            let mut turns = Turns::<String, ()>::new();
            let mut waiting = [0; KEYS.len()];
            // For each key since its last turn, while it waits: how often each other one had its turn, while it waits too.
            let mut since: [Option<[Option<u32>; KEYS.len()]>; KEYS.len()] = Default::default();
            for step in steps {
                match step {
                    Step::Push(key) => {
                        turns.push(KEYS[key], ());
                        waiting[key] += 1;
                    }
                    Step::Pop(_) => {
                        let waited = waiting;
                        let Some((key, ())) = turns.pop(|_| true) else { continue };
                        let key = key_index(&key);
                        waiting[key] -= 1;
                        for other in (0..KEYS.len()).filter(|other| *other != key) {
                            if let Some(had) = since[key].and_then(|others| others[other]) {
                                prop_assert_eq!(had, 1, "{} between two of {}", KEYS[other], KEYS[key]);
                            }
                            if let Some(others) = &mut since[other] {
                                others[key] = others[key].filter(|_| waiting[key] > 0).map(|had| had + 1);
                            }
                        }
                        let others = std::array::from_fn(|other| (waited[other] > 0).then_some(0));
                        since[key] = (waiting[key] > 0).then_some(others);
                    }
                }
            }
        }

        #[test]
        fn an_item_waits_for_one_of_each_other_key_at_most_and_as_often_for_each_before_it_in_its_own_queue(
            before in vec(0..KEYS.len(), 0..60), key in 0..KEYS.len(), later in vec(vec(0..KEYS.len(), 0..4), 60),
        ) {
            let mut turns = Turns::<String, bool>::new();
            for key in &before {
                turns.push(KEYS[*key], false);
            }
            let rounds = 1 + before.iter().filter(|other| **other == key).count();
            turns.push(KEYS[key], true);
            let mut served = [0; KEYS.len()];
            for more in later.iter().chain(std::iter::repeat(&Vec::new())) {
                let (popped, is_it) = turns.pop(|_| true).unwrap();
                served[key_index(&popped)] += 1;
                if is_it {
                    break;
                }
                for key in more {
                    turns.push(KEYS[*key], false);
                }
            }
            prop_assert_eq!(served[key], rounds);
            prop_assert!(served.iter().all(|times| *times <= rounds), "{:?}", served);
        }
    }

    #[test]
    fn who_was_passed_over_keeps_its_place() {
        let mut turns = Turns::<String, u8>::new();
        for (key, item) in [("a", 1), ("b", 2), ("b", 3), ("c", 4)] {
            turns.push(key, item);
        }
        assert_eq!(turns.pop(|key| key != "a"), Some(("b".to_owned(), 2)));
        assert_eq!(turns.pop(|_| true), Some(("a".to_owned(), 1)));
        assert_eq!(turns.pop(|key| key == "a"), None);
        assert_eq!(turns.pop(|_| true), Some(("c".to_owned(), 4)));
    }
}
