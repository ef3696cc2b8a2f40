//! The end of an attempt: its account, and where it leaves the delivery, the channel and the deliveries after it.

use rusqlite::{OptionalExtension, params};

use super::{NewDelivery, NewEvent, accept, add, channel, release};
use crate::{
    model::{Attempt, ChannelState, FailReason, Millis, State},
    store::{
        StoreError,
        rows::{self, NEVER, state, state_code, to_i64, to_millis},
        transaction::Transaction,
    },
};

/// Where an attempt leaves its delivery.
pub struct Settlement {
    /// The delivery's row.
    pub seq: i64,
    /// When the delivery's schedule began, as the attempt knew it.
    pub since: Millis,
    /// The delivery's channel.
    pub channel: String,
    /// The account of the attempt; bodies that are the event's payload are left out.
    pub attempt: Attempt,
    /// What comes next.
    pub next: Next,
    /// When it ended.
    pub now: Millis,
    /// What becomes of the hop that the adapter asked for.
    pub hop: HopAfter,
    /// The receipt's reference: channel, subject, reference.
    pub thread: Option<(String, String, String)>,
    /// The channel's state, when it has changed.
    pub state: Option<ChannelState>,
    /// What others are told of the channel.
    pub news: Vec<NewEvent>,
    /// What others are told when the delivery fails by this.
    pub failure: Option<NewEvent>,
    /// When the delivery fails by this: another one of its event, unless that has had one there since, pending or delivered.
    pub fallback: Option<NewDelivery>,
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

/// What becomes of a hop that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HopAfter {
    /// There was none.
    None,
    /// The attempt is over, and the hop with it.
    Gone,
    /// The next attempt begins with it.
    Kept(String),
}

/// A settlement with the account of its attempt as it is kept.
pub struct Settled {
    settlement: Settlement,
    record: String,
}

impl Settled {
    /// Turns the account to text, here and not on the writer's thread, which has enough to do.
    pub fn new(mut settlement: Settlement) -> Result<Self, StoreError> {
        let record = rows::record(&settlement.attempt)?;
        // They are in the text, and may be large.
        settlement.attempt.exchanges = Vec::new();
        Ok(Self { settlement, record })
    }

    /// What was settled; the attempt's exchanges are not in it any more.
    pub fn settlement(&self) -> &Settlement {
        &self.settlement
    }

    /// About how many bytes it takes up.
    pub fn weight(&self) -> usize {
        const FIXED: usize = 2048;
        FIXED + self.record.capacity()
    }
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

/// Keeps the next request of an attempt under way.
pub(in crate::store) fn hop(transaction: &Transaction<'_>, seq: i64, record: &str) -> Result<(), StoreError> {
    transaction
        .connection
        .prepare_cached("INSERT OR REPLACE INTO hops (delivery, record) SELECT seq, ?2 FROM deliveries WHERE seq = ?1")?
        .execute(params![seq, record])?;
    Ok(())
}

/// The delivery as it is in the store now, which somebody may have changed since the attempt began.
struct Found {
    channel: String,
    state: State,
    sequence: Option<String>,
    waits: bool,
    event: i64,
    since: Millis,
    created_at: Millis,
}

/// True when more has become due than the settlement says: the next of its sequence, or the delivery itself.
pub(in crate::store) fn settle(
    transaction: &mut Transaction<'_>,
    Settled { settlement: settled, record }: &Settled,
) -> Result<bool, StoreError> {
    if let Some(state) = &settled.state {
        channel(transaction, &settled.channel, state)?;
    }
    for event in &settled.news {
        accept(transaction, event)?;
    }
    if settled.failure.is_none() && settled.fallback.is_none() && update(transaction, settled)? {
        note(transaction, settled, record)?;
        transaction.moved(&settled.channel, Some(State::Pending), Some(settled.next.state()));
        return Ok(false);
    }
    settle_slowly(transaction, settled, record)
}

/// The same for a delivery that has consequences, or that somebody may have changed since.
fn settle_slowly(transaction: &mut Transaction<'_>, settled: &Settlement, record: &str) -> Result<bool, StoreError> {
    let Some(found) = find(transaction, settled.seq)? else {
        // Cancelled, and pruned since.
        return Ok(false);
    };
    note(transaction, settled, record)?;
    // What somebody has cancelled or has had retried meanwhile stays so, unless it was taken all the same.
    if (found.state != State::Pending || found.since != settled.since) && settled.next != Next::Delivered {
        let mut count = transaction.connection.prepare_cached("UPDATE deliveries SET attempts = ?2 WHERE seq = ?1")?;
        count.execute(params![settled.seq, settled.attempt.number])?;
        return Ok(found.state == State::Pending);
    }
    update_found(transaction, settled)?;
    let next = settled.next.state();
    transaction.moved(&found.channel, Some(found.state), Some(next));
    if next == State::Failed {
        if let Some(event) = &settled.failure {
            accept(transaction, event)?;
        }
        if let Some(new) = &settled.fallback {
            fall_back(transaction, &found, new, settled.now)?;
        }
    }
    match &found.sequence {
        Some(sequence) if next != State::Pending && found.state == State::Pending && !found.waits => {
            release(transaction, &found.channel, sequence, settled.now)
        }
        _ => Ok(false),
    }
}

fn find(transaction: &Transaction<'_>, seq: i64) -> Result<Option<Found>, StoreError> {
    let found = transaction
        .connection
        .prepare_cached(
            "SELECT channel, state, sequence, due_at, event, since, created_at FROM deliveries WHERE seq = ?1",
        )?
        .query_row([seq], |row| {
            let (due_at, created_at): (i64, i64) = (row.get(3)?, row.get(6)?);
            let since = row.get::<_, Option<i64>>(5)?.unwrap_or(created_at);
            let found = Found {
                channel: row.get(0)?,
                state: State::Pending,
                sequence: row.get(2)?,
                waits: due_at == NEVER,
                event: row.get(4)?,
                since: to_millis(since),
                created_at: to_millis(created_at),
            };
            Ok((found, row.get(1)?))
        })
        .optional()?;
    let Some((found, code)) = found else {
        return Ok(None);
    };
    let state = state(code).ok_or_else(|| StoreError::Damaged("an unknown state".to_owned()))?;
    Ok(Some(Found { state, ..found }))
}

/// The attempt's account, the hop and the thread.
fn note(transaction: &mut Transaction<'_>, settled: &Settlement, record: &str) -> Result<(), StoreError> {
    let number = settled.attempt.number;
    let row = rows::attempt(settled.seq, number);
    transaction.hot.attempt.execute(params![row, record])?;
    if let Some(number) = Attempt::kept_no_longer(number) {
        thin(transaction, rows::attempt(settled.seq, number))?;
    }
    let connection = transaction.connection;
    match &settled.hop {
        HopAfter::None => {}
        HopAfter::Gone => {
            connection.prepare_cached("DELETE FROM hops WHERE delivery = ?1")?.execute([settled.seq])?;
        }
        HopAfter::Kept(record) => hop(transaction, settled.seq, record)?,
    }
    if let Some((channel, subject, reference)) = &settled.thread {
        connection
            .prepare_cached("INSERT OR REPLACE INTO threads (channel, subject, reference, at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![channel, subject, reference, to_i64(settled.now)])?;
    }
    Ok(())
}

/// Leaves out of an attempt's account what makes it large.
pub(super) fn thin(transaction: &mut Transaction<'_>, row: i64) -> Result<(), StoreError> {
    let record: Option<String> = transaction
        .connection
        .prepare_cached("SELECT record FROM attempts WHERE seq = ?1")?
        .query_row([row], |row| row.get(0))
        .optional()?;
    // One that can't be read is told to who asks for it.
    if let Some(attempt) = record.and_then(|record| serde_json::from_str::<Attempt>(&record).ok()) {
        transaction.hot.attempt.execute(params![row, rows::record(&attempt.thinned())?])?;
    }
    Ok(())
}

/// What becomes of the delivery: due_at, step, reason.
fn outcome(settled: &Settlement) -> (i64, Option<u32>, Option<&'static str>) {
    let now = to_i64(settled.now);
    match settled.next {
        Next::Delivered => (now, None, None),
        Next::Again { at, step } => (to_i64(at), Some(step), None),
        Next::Failed(reason) => (now, None, Some(reason.as_str())),
    }
}

/// Updates the delivery when it is as the attempt knew it and nothing waits for it; false when it is not.
fn update(transaction: &mut Transaction<'_>, settled: &Settlement) -> Result<bool, StoreError> {
    let (due_at, step, reason) = outcome(settled);
    let (state, now, since) = (state_code(settled.next.state()), to_i64(settled.now), to_i64(settled.since));
    let number = settled.attempt.number;
    let updated = transaction.hot.settle.execute(params![
        settled.seq,
        state,
        reason,
        number,
        due_at,
        now,
        step,
        settled.channel,
        since
    ])?;
    Ok(updated > 0)
}

fn update_found(transaction: &Transaction<'_>, settled: &Settlement) -> Result<(), StoreError> {
    let (due_at, step, reason) = outcome(settled);
    let (state, now) = (state_code(settled.next.state()), to_i64(settled.now));
    transaction
        .connection
        .prepare_cached(
            "UPDATE deliveries SET state = ?2, reason = ?3, attempts = ?4, due_at = ?5, updated_at = ?6, step = ifnull(?7, step)
             WHERE seq = ?1",
        )?
        .execute(params![settled.seq, state, reason, settled.attempt.number, due_at, now, step])?;
    Ok(())
}

fn fall_back(
    transaction: &mut Transaction<'_>,
    found: &Found,
    new: &NewDelivery,
    now: Millis,
) -> Result<(), StoreError> {
    let there = transaction
        .connection
        .prepare_cached(
            "SELECT 1 FROM deliveries WHERE event = ?1 AND channel = ?2 AND state IN (0, 1) AND created_at >= ?3",
        )?
        .exists(params![found.event, new.channel, to_i64(found.created_at)])?;
    if !there {
        add(transaction, found.event, new, now)?;
    }
    Ok(())
}
