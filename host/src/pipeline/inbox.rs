//! What has just been accepted for a channel, handed to its lane from memory, so that a lane that keeps up never asks the
//! store.
//!
//! A lane opens its inbox, then asks the store. What is accepted meanwhile and after is put in, until there is too much of
//! it: then the inbox is closed, and the lane asks the store again. What the store has told of, by its row, is not taken
//! once more.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::store::Due;

/// Deliveries, and bytes of their events, that wait in memory for one lane.
const MOST: usize = 1024;
const BYTES: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Inbox(Mutex<State>);

#[derive(Default)]
struct State {
    is_open: bool,
    /// No delivered event has left anything on the channel for the next of its subject: the store was asked.
    has_no_threads: bool,
    /// One has, since.
    has_thread: bool,
    /// The store has been asked for all rows up to this one.
    known: i64,
    due: VecDeque<Due>,
    bytes: usize,
}

impl Inbox {
    /// From now on what is accepted is taken. What is in it is forgotten: the store is about to tell of it.
    pub fn open(&self) {
        let mut state = self.state();
        state.forget();
        state.is_open = true;
    }

    /// Takes no more, and forgets what is in it.
    pub fn close(&self) {
        let mut state = self.state();
        state.forget();
        state.is_open = false;
    }

    /// The store has told of all that is due up to this row, and whether the channel has threads.
    pub fn know(&self, row: i64, has_threads: bool) {
        let mut state = self.state();
        state.has_no_threads = !has_threads;
        state.known = state.known.max(row);
        let known = state.known;
        let newer: Vec<Due> = state.due.drain(..).filter(|due| due.seq > known).collect();
        state.forget();
        for due in newer {
            state.push(due);
        }
    }

    /// Puts a delivery in; false when the lane has to ask the store for it.
    pub fn put(&self, due: Due) -> bool {
        let mut state = self.state();
        if !state.is_open || (state.may_refer() && due.event.subject.is_some()) {
            state.is_open = false;
            return false;
        }
        if due.seq > state.known {
            state.push(due);
            state.is_open = state.due.len() < MOST && state.bytes < BYTES;
        }
        // This one is in; when it was the last that is taken, the lane learns so from the next.
        true
    }

    /// From now on the store is asked for what the earlier events of a subject have left. True when nothing was known of any:
    /// what is in memory has missed it.
    pub fn note_thread(&self) -> bool {
        let mut state = self.state();
        let is_first = !state.may_refer();
        state.has_thread = true;
        is_first
    }

    /// Takes out the first ones.
    pub fn take(&self, most: usize) -> Vec<Due> {
        let mut state = self.state();
        let count = most.min(state.due.len());
        let taken: Vec<Due> = state.due.drain(..count).collect();
        state.bytes -= taken.iter().map(|due| due.event.size()).sum::<usize>();
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether an earlier event of the same subject may have left something, which only the store knows.
    fn may_refer(&self) -> bool {
        self.has_thread || !self.has_no_threads
    }

    fn forget(&mut self) {
        self.due.clear();
        self.bytes = 0;
    }

    fn push(&mut self, due: Due) {
        self.bytes += due.event.size();
        self.due.push_back(due);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{model::DeliveryId, pipeline::test_event, store::NewDelivery};

    fn due(row: i64, payload: usize, subject: Option<&str>) -> Due {
        let mut event = test_event("ops", 1);
        event.payload = vec![b' '; payload].into();
        event.subject = subject.map(str::to_owned);
        let new = NewDelivery {
            id: DeliveryId::new(1, u128::try_from(row).unwrap()),
            channel: "ops".to_owned(),
            sequence: None,
            first: false,
        };
        Due::new(row, &new, &Arc::new(event))
    }

    fn rows(inbox: &Inbox) -> Vec<i64> {
        inbox.take(usize::MAX).iter().map(|due| due.seq).collect()
    }

    /// As it is when a lane has asked the store.
    fn inbox(known: i64, has_threads: bool) -> Inbox {
        let inbox = Inbox::default();
        inbox.open();
        inbox.know(known, has_threads);
        inbox
    }

    #[test]
    fn what_is_accepted_while_the_store_is_asked_is_taken_once() {
        let inbox = Inbox::default();
        assert!(!inbox.put(due(1, 0, None)), "the lane has not asked yet");
        inbox.open();
        assert!(inbox.put(due(2, 0, None)) && inbox.put(due(4, 0, None)));
        inbox.know(3, false);
        // Handed over late: the store has told of it.
        assert!(inbox.put(due(3, 0, None)) && inbox.put(due(5, 0, None)));
        assert_eq!(rows(&inbox), [4, 5]);
        assert!(rows(&inbox).is_empty());
    }

    #[test]
    fn an_inbox_that_is_full_takes_no_more_until_the_store_has_been_asked() {
        for (payload, most) in [(0, MOST), (BYTES / 4, 4)] {
            let inbox = inbox(0, false);
            let taken = (1..=9000).take_while(|row| inbox.put(due(*row, payload, None))).count();
            assert_eq!(taken, most);
            assert_eq!(rows(&inbox).len(), most);
            assert!(!inbox.put(due(9001, 0, None)), "what was refused comes first");
            inbox.open();
            assert!(inbox.put(due(9002, 0, None)));
            inbox.close();
            assert!(rows(&inbox).is_empty() && !inbox.put(due(9003, 0, None)));
        }
    }

    #[test]
    fn what_may_have_a_reference_is_left_to_the_store() {
        let threads = inbox(0, true);
        assert!(threads.put(due(1, 0, None)));
        assert!(!threads.put(due(2, 0, Some("s"))));
        assert!(!threads.put(due(3, 0, None)), "it would overtake the one before");
        assert_eq!(rows(&threads), [1]);
        let none = inbox(0, false);
        assert!(none.put(due(1, 0, Some("s"))));
        assert!(none.note_thread() && !none.note_thread());
        assert!(!none.put(due(2, 0, Some("s"))));
        none.open();
        none.know(2, false);
        assert!(!none.put(due(3, 0, Some("s"))), "the store was asked before the thread was there");
    }
}
