//! Between rows and the model's types.

use bytes::Bytes;
use rusqlite::{Row, types::Type};
use serde_json::value::RawValue;

use super::StoreError;
use crate::model::{Attempt, Delivery, DeliveryId, Event, EventType, FailReason, Millis, State};

/// The columns that [`event`] reads, from `e`.
pub(super) const EVENT: &str = "e.id, e.source, e.type, e.title, e.body, e.url, e.project, e.subject, e.occurred_at, e.received_at, e.data, e.payload, e.data_at, e.data_length";
/// The columns that [`delivery`] reads, from `d` and `e`.
pub(super) const DELIVERY: &str = "d.id, e.id, e.type, d.channel, d.state, d.reason, d.attempts, d.step, d.due_at, d.created_at, d.updated_at, d.since";
/// How many columns [`DELIVERY`] has.
pub(super) const DELIVERY_COLUMNS: usize = 12;

/// The `seq` of an attempt: its delivery's, shifted by so many bits, and its number.
pub(super) const NUMBER_BITS: u32 = 20;
/// The accounts of a delivery's attempts before a number, the newest first. Those from before schema 3 are in a table of their
/// own, and older than all others.
pub(super) const RECORDS: [&str; 2] = [
    "SELECT record FROM attempts WHERE seq BETWEEN ?1 << 20 AND (?1 << 20) + min(?2 - 1, 1048575) ORDER BY seq DESC LIMIT ?3",
    "SELECT record FROM attempts_2 WHERE delivery = ?1 AND number < ?2 ORDER BY number DESC LIMIT ?3",
];

/// The `due_at` of what goes before all others: somebody wants it tried again now.
pub(super) const FIRST: i64 = 0;
/// The `due_at` of what waits for an earlier delivery of its sequence.
pub(super) const NEVER: i64 = i64::MAX;

pub(super) fn state_code(state: State) -> i64 {
    match state {
        State::Pending => 0,
        State::Delivered => 1,
        State::Failed => 2,
        State::Cancelled => 3,
    }
}

pub(super) fn state(code: i64) -> Option<State> {
    [State::Pending, State::Delivered, State::Failed, State::Cancelled]
        .into_iter()
        .find(|state| state_code(*state) == code)
}

/// SQLite's integers are signed; a time beyond is as good as never.
pub(super) fn to_i64(at: Millis) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

pub(super) fn to_millis(at: i64) -> Millis {
    Millis::try_from(at).unwrap_or_default()
}

/// The `seq` of an attempt.
pub(super) fn attempt(delivery: i64, number: u32) -> i64 {
    const LAST: u32 = (1 << NUMBER_BITS) - 1;
    delivery.saturating_mul(1 << NUMBER_BITS).saturating_add(number.min(LAST).into())
}

/// An attempt as it is kept.
pub(super) fn record(attempt: &Attempt) -> Result<String, StoreError> {
    attempt.to_json().map_err(|error| StoreError::Damaged(error.to_string()))
}

/// What was read, or none of a row that holds what this program does not write: that is left alone, and told.
pub(super) fn readable<T>(read: rusqlite::Result<T>) -> rusqlite::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(
            error @ (rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)),
        ) => {
            tracing::error!(%error, "a row of the store can't be read: it is left alone");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn damaged(column: usize, what: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, what.to_string().into())
}

/// Reads the columns of [`DELIVERY`], which begin at `at`.
pub(super) fn delivery(row: &Row<'_>, at: usize) -> rusqlite::Result<Delivery> {
    let code: i64 = row.get(at + 4)?;
    let reason: Option<String> = row.get(at + 5)?;
    let due_at: i64 = row.get(at + 8)?;
    let created_at = row.get(at + 9)?;
    let since = to_millis(row.get::<_, Option<i64>>(at + 11)?.unwrap_or(created_at));
    Ok(Delivery {
        id: DeliveryId::from_bytes(row.get(at)?),
        event: row.get(at + 1)?,
        kind: row.get(at + 2)?,
        channel: row.get(at + 3)?,
        state: state(code).ok_or_else(|| damaged(at + 4, "an unknown state"))?,
        reason: reason.as_deref().and_then(FailReason::from_name),
        attempts: row.get(at + 6)?,
        step: row.get(at + 7)?,
        due_at: (due_at != NEVER).then(|| to_millis(due_at).max(since)),
        since,
        created_at: to_millis(created_at),
        updated_at: to_millis(row.get(at + 10)?),
    })
}

/// Reads the columns of [`EVENT`], which begin at `at`.
pub(super) fn event(row: &Row<'_>, at: usize) -> rusqlite::Result<Event> {
    let kind: String = row.get(at + 2)?;
    let payload = Bytes::from(row.get::<_, Vec<u8>>(at + 11)?);
    let data = match row.get::<_, Option<u32>>(at + 12)? {
        None => row.get(at + 10)?,
        Some(from) => {
            let from = from as usize;
            let part = payload.get(from..from.saturating_add(row.get::<_, u32>(at + 13)? as usize));
            let part = part.ok_or_else(|| damaged(at + 12, "beyond the payload"))?;
            std::str::from_utf8(part).map_err(|error| damaged(at + 12, error))?.to_owned()
        }
    };
    Ok(Event {
        id: row.get(at)?,
        source: row.get(at + 1)?,
        kind: EventType::new(kind).map_err(|error| damaged(at + 2, error))?,
        title: row.get(at + 3)?,
        body: row.get(at + 4)?,
        url: row.get(at + 5)?,
        project: row.get(at + 6)?,
        subject: row.get(at + 7)?,
        occurred_at: to_millis(row.get(at + 8)?),
        received_at: to_millis(row.get(at + 9)?),
        data: RawValue::from_string(data).map_err(|error| damaged(at + 10, error))?,
        payload,
    })
}
