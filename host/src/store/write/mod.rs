//! What the writer does within a transaction.

mod bulk;
mod prune;
mod settle;

use std::sync::Arc;

use memchr::memmem;
use rusqlite::{OptionalExtension, params};
use serde::Serialize;

use super::{
    StoreError,
    rows::{FIRST, NEVER, to_i64},
    transaction::Transaction,
};
use crate::model::{ChannelState, DeliveryId, Event, Millis, State};

pub use bulk::{Acted, Step, Work};
pub(super) use bulk::{act, begin, replay, step, stop};
pub use prune::{Prune, Pruned};
pub(super) use prune::{give_back, prune};
use settle::thin;
pub use settle::{HopAfter, Next, Settled, Settlement};
pub(super) use settle::{hop, settle};

/// An event on its way in.
pub struct NewEvent {
    /// What happened.
    pub event: Arc<Event>,
    /// Its deliveries, pending.
    pub deliveries: Vec<NewDelivery>,
}

/// A delivery to be made.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// A new id.
    pub id: DeliveryId,
    /// The channel's name.
    pub channel: String,
    /// On an ordered channel, the subject: it waits for the earlier ones.
    pub sequence: Option<String>,
    /// It goes before all others of its channel: a person waits for it.
    pub first: bool,
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
    /// Its new deliveries' rows, as [`NewEvent::deliveries`] had them; none of what waits for an earlier one of its sequence.
    #[serde(skip)]
    pub rows: Vec<Option<i64>>,
}

pub(super) fn accept(transaction: &mut Transaction<'_>, new: &NewEvent) -> Result<Accepted, StoreError> {
    let NewEvent { event, deliveries } = new;
    let count = u32::try_from(deliveries.len()).unwrap_or(u32::MAX);
    let (seq, data) = (transaction.events.next(), event.data.get());
    let (at, length) = part(data, &event.payload).unzip();
    let inserted = transaction.hot.event.execute(params![
        seq,
        event.id,
        event.source,
        event.kind.as_str(),
        event.title,
        event.body,
        event.url,
        event.project,
        event.subject,
        to_i64(event.occurred_at),
        to_i64(event.received_at),
        if at.is_none() { data } else { "" },
        &event.payload[..],
        count,
        at,
        length,
    ])?;
    if inserted == 0 {
        let deliveries = transaction
            .connection
            .prepare_cached("SELECT deliveries FROM events WHERE id = ?1 AND source = ?2")?
            .query_row(params![event.id, event.source], |row| row.get(0))
            .optional()?;
        // What the first event of that id was answered.
        return Ok(Accepted {
            id: event.id.clone(),
            deliveries: deliveries.unwrap_or_default(),
            duplicate: true,
            rows: Vec::new(),
        });
    }
    let rows = deliveries.iter().map(|delivery| add(transaction, seq, delivery, event.received_at));
    let rows = rows.collect::<Result<_, _>>()?;
    Ok(Accepted { id: event.id.clone(), deliveries: count, duplicate: false, rows })
}

/// Where in the payload the data stands, when that is worth telling.
fn part(data: &str, payload: &[u8]) -> Option<(u32, u32)> {
    let data = data.as_bytes();
    // By its beginning: a finder of long texts takes longer to make than to use.
    let head = data.get(..32)?;
    let at =
        memmem::find_iter(payload, head).find(|at| payload.get(*at..).is_some_and(|rest| rest.starts_with(data)))?;
    u32::try_from(at).ok().zip(u32::try_from(data.len()).ok())
}

/// Adds a pending delivery to an event that is there; its row, unless it waits for an earlier one of its sequence.
fn add(
    transaction: &mut Transaction<'_>,
    event: i64,
    new: &NewDelivery,
    now: Millis,
) -> Result<Option<i64>, StoreError> {
    let waits = is_under_way(transaction, &new.channel, new.sequence.as_deref())?;
    let due_at = match new.first {
        _ if waits => NEVER,
        true => FIRST,
        false => to_i64(now),
    };
    let seq = transaction.deliveries.next();
    let (id, now) = (new.id.to_bytes(), to_i64(now));
    transaction.hot.delivery.execute(params![seq, id, event, new.channel, due_at, now, new.sequence])?;
    transaction.moved(&new.channel, None, Some(State::Pending));
    Ok((!waits).then_some(seq))
}

/// Whether a delivery of the sequence is pending already.
fn is_under_way(transaction: &Transaction<'_>, channel: &str, sequence: Option<&str>) -> Result<bool, StoreError> {
    let Some(sequence) = sequence else {
        return Ok(false);
    };
    let pending = transaction.connection.prepare_cached(
        "SELECT 1 FROM deliveries WHERE channel = ?1 AND sequence = ?2 AND sequence IS NOT NULL AND state = 0 LIMIT 1",
    )?;
    let mut pending = pending;
    Ok(pending.exists(params![channel, sequence])?)
}

/// Makes the next of the sequence due, after the one that was has ended.
fn release(transaction: &Transaction<'_>, channel: &str, sequence: &str, now: Millis) -> Result<bool, StoreError> {
    let released = transaction
        .connection
        .prepare_cached(
            "UPDATE deliveries SET due_at = ?3 WHERE due_at = ?4 AND seq =
             (SELECT seq FROM deliveries WHERE channel = ?1 AND sequence = ?2 AND sequence IS NOT NULL AND state = 0
              ORDER BY seq LIMIT 1)",
        )?
        .execute(params![channel, sequence, to_i64(now), NEVER])?;
    Ok(released > 0)
}

/// Remembers what a channel has come to; false when something newer is known.
pub(super) fn channel(transaction: &Transaction<'_>, name: &str, state: &ChannelState) -> Result<bool, StoreError> {
    let health = serde_json::to_string(&state.health).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let disabled = state.disabled.as_ref();
    let written = transaction
        .connection
        .prepare_cached(
            "INSERT INTO channels (name, version, disabled_at, disabled_reason, paused_until, health)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (name) DO UPDATE SET version = ?2, disabled_at = ?3,
             disabled_reason = ?4, paused_until = ?5, health = ?6 WHERE version < ?2",
        )?
        .execute(params![
            name,
            to_i64(state.version),
            disabled.map(|disabled| to_i64(disabled.at)),
            disabled.map(|disabled| &disabled.reason),
            to_i64(state.paused_until),
            health,
        ])?;
    Ok(written > 0)
}
