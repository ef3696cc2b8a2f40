//! How many deliveries change their state within a transaction: written down once at its end, not once a delivery.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::{StoreError, rows::state_code};
use crate::model::State;

/// A connection within a transaction of the writer's.
pub(super) struct Transaction<'c> {
    pub connection: &'c Connection,
    changes: HashMap<String, [i64; 4]>,
}

impl<'c> Transaction<'c> {
    pub fn new(connection: &'c Connection) -> Self {
        Self { connection, changes: HashMap::new() }
    }

    /// A delivery is in another state, is new (`from` is none), or is gone (`to` is none).
    pub fn moved(&mut self, channel: &str, from: Option<State>, to: Option<State>) {
        if !self.changes.contains_key(channel) {
            self.changes.insert(channel.to_owned(), [0; 4]);
        }
        if let Some(change) = self.changes.get_mut(channel) {
            for (state, by) in [(from, -1), (to, 1)] {
                let place = state.and_then(|state| usize::try_from(state_code(state)).ok());
                if let Some(count) = place.and_then(|place| change.get_mut(place)) {
                    *count += by;
                }
            }
        }
    }

    /// Writes the changes down; to be called before the commit.
    pub fn finish(self) -> Result<(), StoreError> {
        let mut add = self.connection.prepare_cached(
            "INSERT INTO counts (channel, state, count) VALUES (?1, ?2, ?3)
             ON CONFLICT (channel, state) DO UPDATE SET count = count + excluded.count",
        )?;
        for (channel, change) in self.changes {
            for (code, by) in (0_i64..).zip(change).filter(|(_, by)| *by != 0) {
                add.execute(params![channel, code, by])?;
            }
        }
        Ok(())
    }
}
