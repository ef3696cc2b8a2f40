//! Counts, channels, and bulk work: what there is, and what its next step has to do.

use std::collections::HashMap;

use rusqlite::{Connection, Params, params};
use serde::Serialize;

use super::{Result, list::Conditions};
use crate::{
    model::{Action, ChannelState, Disabled, Event, Health, Job, JobId, Selection, State},
    store::{
        StoreError,
        rows::{self, EVENT, to_i64, to_millis},
    },
};

/// Rows that one step of bulk work looks at.
const STEP: i64 = 2000;
/// Rows that one step of bulk work changes.
const CHANGES: usize = 200;
/// Events that one step of a replay reads, in bytes, beyond the first.
const BYTES: usize = 1 << 20;

/// Deliveries of a channel in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// The channel's name.
    pub channel: String,
    /// The state.
    pub state: State,
    /// How many.
    pub count: u64,
}

pub(in crate::store) fn counts(connection: &Connection) -> Result<Vec<Counts>> {
    let mut statement = connection.prepare_cached("SELECT channel, state, count FROM counts WHERE count <> 0")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?)))?;
    rows.map(|row| {
        let (channel, code, count) = row?;
        let state = rows::state(code).ok_or_else(|| StoreError::Damaged("an unknown state".to_owned()))?;
        Ok(Counts { channel, state, count: to_millis(count) })
    })
    .collect()
}

pub(in crate::store) fn channels(connection: &Connection, only: Option<&str>) -> Result<HashMap<String, ChannelState>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, version, disabled_at, disabled_reason, paused_until, health FROM channels
         WHERE name = ifnull(?1, name)",
    )?;
    let rows = statement.query_map([only], |row| {
        let disabled = row.get::<_, Option<i64>>(2)?.map(to_millis);
        let reason = row.get::<_, Option<String>>(3)?.unwrap_or_default();
        let state = ChannelState {
            version: to_millis(row.get(1)?),
            disabled: disabled.map(|at| Disabled { at, reason }),
            paused_until: to_millis(row.get(4)?),
            ..ChannelState::default()
        };
        Ok((row.get::<_, String>(0)?, state, row.get::<_, String>(5)?))
    })?;
    rows.map(|row| {
        let (name, state, health) = row?;
        let health = serde_json::from_str(&health).unwrap_or_else(|error| {
            tracing::error!(channel = name, %error, "how its receiver fared can't be read: the channel begins anew");
            Health::default()
        });
        Ok((name, ChannelState { health, ..state }))
    })
    .collect()
}

/// Bytes of the file that are in use.
pub(in crate::store) fn size(connection: &Connection) -> Result<u64> {
    let number = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(to_millis(pages.saturating_mul(number("page_size")?)))
}

/// Bulk work with its place: what is unfinished, or the newest first.
pub(in crate::store) fn jobs(connection: &Connection, unfinished: bool) -> Result<Vec<(Job, i64)>> {
    let which = if unfinished { "WHERE ended_at IS NULL ORDER BY id" } else { "ORDER BY id DESC LIMIT 100" };
    read_jobs(connection, which, [])
}

/// One piece of bulk work.
pub(in crate::store) fn job(connection: &Connection, id: JobId) -> Result<Option<Job>> {
    let found = read_jobs(connection, "WHERE id = ?1", [id.to_bytes()])?;
    Ok(found.into_iter().next().map(|(job, _)| job))
}

fn read_jobs(connection: &Connection, which: &str, parameters: impl Params) -> Result<Vec<(Job, i64)>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, action, selection, created_at, ended_at, at - first, upto - first, changed, stopped, at FROM jobs {which}"
    ))?;
    let rows = statement.query_map(parameters, |row| {
        let job = Job {
            id: JobId::from_bytes(row.get(0)?),
            action: Action::Retry,
            selection: Selection::default(),
            created_at: to_millis(row.get(3)?),
            ended_at: row.get::<_, Option<i64>>(4)?.map(to_millis),
            looked_at: to_millis(row.get(5)?),
            of: to_millis(row.get(6)?),
            changed: to_millis(row.get(7)?),
            stopped: row.get(8)?,
        };
        Ok((job, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(9)?))
    })?;
    let mut jobs = Vec::new();
    for row in rows {
        let (job, action, selection, at) = row?;
        match (Action::from_name(&action), serde_json::from_str(&selection)) {
            (Some(action), Ok(selection)) => jobs.push((Job { action, selection, ..job }, at)),
            // Somebody else's hand was in the file. The others go on.
            _ => tracing::error!(job = %job.id, action, selection, "this bulk work can't be read: it is left alone"),
        }
    }
    Ok(jobs)
}

/// What a step has found: rows to work on, and how far it has looked.
pub struct Found<T> {
    /// To work on.
    pub rows: Vec<T>,
    /// Everything up to this row has been looked at.
    pub at: i64,
    /// Nothing is left.
    pub ended: bool,
}

/// An event with its row.
pub type Replayable = (i64, Event);

/// The deliveries that the next step of bulk work is to change.
pub(in crate::store) fn find_deliveries(
    connection: &Connection,
    selection: &Selection,
    after: i64,
    id: JobId,
) -> Result<Found<i64>> {
    let last = last(connection, "deliveries", after, id)?;
    let mut conditions = Conditions::default();
    conditions.deliveries(selection);
    conditions.and("d.seq > ?", after);
    conditions.and("d.seq <= ? ORDER BY d.seq", last.row);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT d.seq FROM deliveries d JOIN events e ON e.seq = d.event WHERE 1{}",
        conditions.sql()
    ))?;
    let rows = statement.query_map(conditions.values(), |row| row.get(0))?;
    last.found(rows, |seq| (*seq, 0))
}

/// The events that the next step of a replay is to deliver again.
pub(in crate::store) fn find_events(
    connection: &Connection,
    selection: &Selection,
    after: i64,
    id: JobId,
) -> Result<Found<Replayable>> {
    let last = last(connection, "events", after, id)?;
    let mut conditions = Conditions::default();
    conditions.events(selection);
    for (condition, at) in [("e.received_at >= ?", selection.since), ("e.received_at < ?", selection.until)] {
        if let Some(at) = at {
            conditions.and(condition, to_i64(at));
        }
    }
    conditions.and("e.seq > ?", after);
    conditions.and("e.seq <= ? ORDER BY e.seq", last.row);
    let mut statement =
        connection.prepare_cached(&format!("SELECT e.seq, {EVENT} FROM events e WHERE 1{}", conditions.sql()))?;
    let rows = statement.query_map(conditions.values(), |row| Ok((row.get(0)?, rows::event(row, 1)?)))?;
    last.found(rows, |(seq, event)| (*seq, event.payload.len() + event.data.get().len() + event.body.len()))
}

/// How far a step may look.
struct Last {
    row: i64,
    upto: i64,
}

fn last(connection: &Connection, table: &str, after: i64, id: JobId) -> Result<Last> {
    let upto: i64 = connection
        .prepare_cached("SELECT upto FROM jobs WHERE id = ?1")?
        .query_row([id.to_bytes()], |row| row.get(0))?;
    // Rows, not numbers: what was pruned leaves holes.
    let row: i64 = connection
        .prepare_cached(&format!(
            "SELECT ifnull(max(seq), ?3) FROM (SELECT seq FROM {table} WHERE seq > ?1 AND seq <= ?3 ORDER BY seq LIMIT ?2)"
        ))?
        .query_row(params![after, STEP, upto], |row| row.get(0))?;
    Ok(Last { row, upto })
}

impl Last {
    /// `weigh` gives a row's number and its bytes.
    fn found<T>(
        self,
        rows: impl Iterator<Item = rusqlite::Result<T>>,
        weigh: impl Fn(&T) -> (i64, usize),
    ) -> Result<Found<T>> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for row in rows {
            let row = row?;
            let (seq, weight) = weigh(&row);
            found.push(row);
            bytes += weight;
            if found.len() == CHANGES || bytes > BYTES {
                // A full step goes on after its last row.
                return Ok(Found { rows: found, at: seq, ended: seq >= self.upto });
            }
        }
        Ok(Found { rows: found, at: self.row, ended: self.row >= self.upto })
    }
}
