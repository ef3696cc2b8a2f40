//! The writer's connection with what it has at hand within a transaction: the statements that every event needs, the
//! numbers of the next rows, and how many deliveries have changed their state, which is written down once at the end.

use std::collections::HashMap;

use rusqlite::{Connection, Statement, TransactionBehavior, params};

use super::{StoreError, rows::state_code};
use crate::model::State;

/// The writer's connection, which lives as long as its thread.
pub(super) struct Transaction<'c> {
    pub connection: &'c Connection,
    pub hot: Hot<'c>,
    pub events: Numbers,
    pub deliveries: Numbers,
    changes: HashMap<String, [i64; 4]>,
}

/// Statements that are prepared once: a cache that is asked by their text costs as much as some of them.
pub(super) struct Hot<'c> {
    pub event: Statement<'c>,
    pub delivery: Statement<'c>,
    pub attempt: Statement<'c>,
    pub settle: Statement<'c>,
    pub count: Statement<'c>,
}

impl<'c> Hot<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            event: connection.prepare(
                "INSERT INTO events (seq, id, source, type, title, body, url, project, subject, occurred_at, received_at,
                   data, payload, deliveries, data_at, data_length)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
                 ON CONFLICT (id, source) DO NOTHING",
            )?,
            delivery: connection.prepare(
                "INSERT INTO deliveries (seq, id, event, channel, due_at, created_at, updated_at, sequence)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)",
            )?,
            attempt: connection.prepare("INSERT OR REPLACE INTO attempts (seq, record) VALUES (?1, ?2)")?,
            // Only what nobody has changed meanwhile, and what no other delivery waits for.
            settle: connection.prepare(
                "UPDATE deliveries SET state = ?2, reason = ?3, attempts = ?4, due_at = ?5, updated_at = ?6, step = ifnull(?7, step)
                 WHERE seq = ?1 AND state = 0 AND sequence IS NULL AND channel = ?8 AND ifnull(since, created_at) = ?9",
            )?,
            count: connection.prepare(
                "INSERT INTO counts (channel, state, count) VALUES (?1, ?2, ?3)
                 ON CONFLICT (channel, state) DO UPDATE SET count = count + excluded.count",
            )?,
        })
    }
}

/// The numbers of a table's rows, none of them used twice.
pub(super) struct Numbers(i64);

impl Numbers {
    fn read(connection: &Connection, table: &str) -> rusqlite::Result<Self> {
        let last = connection.query_row(
            &format!(
                "SELECT max(ifnull((SELECT max(seq) FROM {table}), 0), ifnull((SELECT last FROM numbers WHERE name = ?1), 0))"
            ),
            [table],
            |row| row.get(0),
        )?;
        Ok(Self(last))
    }

    pub fn next(&mut self) -> i64 {
        self.0 = self.0.saturating_add(1);
        self.0
    }
}

impl<'c> Transaction<'c> {
    pub fn new(connection: &'c Connection) -> Result<Self, StoreError> {
        Ok(Self {
            connection,
            hot: Hot::prepare(connection)?,
            events: Numbers::read(connection, "events")?,
            deliveries: Numbers::read(connection, "deliveries")?,
            changes: HashMap::new(),
        })
    }

    /// Does the work and commits it, or none of it.
    pub fn commit<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.changes.clear();
        let begun = rusqlite::Transaction::new_unchecked(self.connection, TransactionBehavior::Immediate)?;
        let done = work(self)?;
        self.write_counts()?;
        begun.commit()?;
        Ok(done)
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

    fn write_counts(&mut self) -> Result<(), StoreError> {
        for (channel, change) in &self.changes {
            for (code, by) in (0_i64..).zip(change).filter(|(_, by)| **by != 0) {
                self.hot.count.execute(params![channel, code, by])?;
            }
        }
        Ok(())
    }

    /// To be called when rows are taken away: the last of them may be among them.
    pub fn keep_numbers(&self) -> Result<(), StoreError> {
        let mut keep = self.connection.prepare_cached("INSERT OR REPLACE INTO numbers (name, last) VALUES (?1, ?2)")?;
        for (table, numbers) in [("events", &self.events), ("deliveries", &self.deliveries)] {
            keep.execute(params![table, numbers.0])?;
        }
        Ok(())
    }
}
