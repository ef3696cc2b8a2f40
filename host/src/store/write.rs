//! What the writer does within a transaction.

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use super::{
    StoreError,
    rows::{state_code, to_i64},
};
use crate::model::{Attempt, DeliveryId, Event, FailReason, Millis, State};

/// An event on its way in.
pub struct NewEvent {
    /// What happened.
    pub event: Event,
    /// Its deliveries, pending.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery to be made.
pub struct NewDelivery {
    /// A new id.
    pub id: DeliveryId,
    /// The channel's name.
    pub channel: String,
}

/// What the application is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// How many deliveries it has.
    pub deliveries: u32,
    /// The id was there before; nothing is delivered again.
    pub duplicate: bool,
}

/// Where an attempt leaves its delivery.
pub struct Settlement {
    /// The delivery's row.
    pub seq: i64,
    /// The account of the attempt.
    pub attempt: Attempt,
    /// What comes next.
    pub next: Next,
    /// When it ended.
    pub now: Millis,
    /// Disables the channel, with the reason.
    pub disable: Option<(String, String)>,
    /// The receipt's reference: channel, subject, reference.
    pub thread: Option<(String, String, String)>,
}

/// A delivery's new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Taken.
    Delivered,
    /// Another attempt.
    Again {
        /// When it is due.
        at: Millis,
        /// Delays of the schedule used up by then.
        step: u32,
    },
    /// Given up.
    Failed(FailReason),
}

impl Next {
    /// The state.
    pub fn state(self) -> State {
        match self {
            Self::Delivered => State::Delivered,
            Self::Again { .. } => State::Pending,
            Self::Failed(_) => State::Failed,
        }
    }
}

pub(super) fn accept(connection: &Connection, new: &NewEvent) -> Result<Accepted, StoreError> {
    let NewEvent { event, deliveries } = new;
    let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events (id, source, type, title, body, url, project, subject, occurred_at, received_at, data, payload, deliveries)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) ON CONFLICT (id, source) DO NOTHING",
        )?
        .execute(params![
            event.id, event.source, event.kind.as_str(), event.title, event.body, event.url, event.project,
            event.subject, to_i64(event.occurred_at), to_i64(event.received_at), event.data.get(), &event.payload[..], count,
        ])?;
    if inserted == 0 {
        return earlier(connection, event);
    }
    let seq = connection.last_insert_rowid();
    let mut insert = connection.prepare_cached(
        "INSERT INTO deliveries (id, event, channel, due_at, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?4, ?4)",
    )?;
    for delivery in deliveries {
        let now = to_i64(event.received_at);
        insert.execute(params![delivery.id.to_bytes(), seq, delivery.channel, now])?;
    }
    Ok(Accepted { id: event.id.clone(), deliveries: count, duplicate: false })
}

/// What the first event of that id was answered.
fn earlier(connection: &Connection, event: &Event) -> Result<Accepted, StoreError> {
    let deliveries = connection
        .prepare_cached("SELECT deliveries FROM events WHERE id = ?1 AND source = ?2")?
        .query_row(params![event.id, event.source], |row| row.get(0))
        .optional()?;
    Ok(Accepted { id: event.id.clone(), deliveries: deliveries.unwrap_or_default(), duplicate: true })
}

pub(super) fn settle(connection: &Connection, settled: &Settlement) -> Result<(), StoreError> {
    let record = serde_json::to_string(&settled.attempt).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let now = to_i64(settled.now);
    let (due_at, step, reason) = match settled.next {
        Next::Delivered => (now, None, None),
        Next::Again { at, step } => (to_i64(at), Some(step), None),
        Next::Failed(reason) => (now, None, Some(reason.as_str())),
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO attempts (delivery, number, record) VALUES (?1, ?2, ?3)")?
        .execute(params![settled.seq, settled.attempt.number, record])?;
    connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, reason = ?3, attempts = ?4, due_at = ?5, updated_at = ?6, step = ifnull(?7, step)
             WHERE seq = ?1",
        )?
        .execute(
            params![settled.seq, state_code(settled.next.state()), reason, settled.attempt.number, due_at, now, step,],
        )?;
    if let Some((channel, subject, reference)) = &settled.thread {
        connection
            .prepare_cached("INSERT OR REPLACE INTO threads (channel, subject, reference) VALUES (?1, ?2, ?3)")?
            .execute(params![channel, subject, reference])?;
    }
    if let Some((channel, reason)) = &settled.disable {
        connection
            .prepare_cached("INSERT OR IGNORE INTO disabled_channels (name, at, reason) VALUES (?1, ?2, ?3)")?
            .execute(params![channel, now, reason])?;
    }
    Ok(())
}

pub(super) fn enable(connection: &Connection, channel: &str) -> Result<(), StoreError> {
    connection.prepare_cached("DELETE FROM disabled_channels WHERE name = ?1")?.execute([channel])?;
    Ok(())
}
