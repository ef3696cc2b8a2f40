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
    /// An earlier event of the same subject may have left something on the channel, which only the store knows.
    may_refer: bool,
    /// The store has been asked for all rows up to this one.
    known: i64,
    due: VecDeque<Due>,
    bytes: usize,
}

impl Inbox {
    /// From now on what is accepted is taken. What is in it is forgotten: the store is about to tell of it.
    pub fn open(&self, may_refer: bool) {
        let mut state = self.state();
        state.forget();
        (state.is_open, state.may_refer) = (true, may_refer);
    }

    /// Takes no more, and forgets what is in it.
    pub fn close(&self) {
        let mut state = self.state();
        state.forget();
        state.is_open = false;
    }

    /// The store has told of all that is due up to this row.
    pub fn know(&self, row: i64) {
        let mut state = self.state();
        state.known = state.known.max(row);
        let known = state.known;
        let newer: Vec<Due> = state.due.drain(..).filter(|due| due.seq > known).collect();
        state.forget();
        newer.into_iter().for_each(|due| state.push(due));
    }

    /// Puts a delivery in; false when the lane has to ask the store for it.
    pub fn put(&self, due: Due) -> bool {
        let mut state = self.state();
        if !state.is_open || (state.may_refer && due.event.subject.is_some()) {
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

    /// Takes out what is in it.
    pub fn take(&self) -> VecDeque<Due> {
        let mut state = self.state();
        state.bytes = 0;
        std::mem::take(&mut state.due)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self) {
        self.due.clear();
        self.bytes = 0;
    }

    fn push(&mut self, due: Due) {
        self.bytes += due.event.size();
        self.due.push_back(due);
    }
}
