//! What people do with what is stored, one by one and in bulk: retry, cancel, replay.

use rusqlite::{OptionalExtension, params};

use super::{NewDelivery, add, is_under_way, release};
use crate::{
    model::{Action, DeliveryId, Job, JobId, Millis, State},
    store::{
        StoreError,
        rows::{FIRST, NEVER, state, to_i64},
        transaction::Transaction,
    },
};

/// What came of a retry or a cancellation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acted {
    /// It is done: the delivery's channel.
    Done(String),
    /// It can't be done in this state.
    Not(State),
    /// There is no such delivery.
    Unknown,
}

/// One step of bulk work, committed together with how far it has come.
pub struct Step {
    /// Which work.
    pub id: JobId,
    /// With what.
    pub work: Work,
    /// Everything up to this row has been looked at.
    pub at: i64,
    /// Nothing is left.
    pub ended: bool,
    /// When.
    pub now: Millis,
}

/// What a step does.
pub enum Work {
    /// Retry or cancel these deliveries.
    Act(Action, Vec<i64>),
    /// Give these events new deliveries.
    Replay(Vec<(i64, Vec<NewDelivery>)>),
}

/// Retries or cancels one delivery.
pub(in crate::store) fn act(
    transaction: &mut Transaction<'_>,
    action: Action,
    id: DeliveryId,
    now: Millis,
) -> Result<Acted, StoreError> {
    let seq = transaction
        .connection
        .prepare_cached("SELECT seq FROM deliveries WHERE id = ?1")?
        .query_row([id.to_bytes()], |row| row.get(0))
        .optional()?;
    seq.map_or(Ok(Acted::Unknown), |seq| act_on(transaction, action, seq, now))
}

fn act_on(transaction: &mut Transaction<'_>, action: Action, seq: i64, now: Millis) -> Result<Acted, StoreError> {
    let found = transaction
        .connection
        .prepare_cached("SELECT channel, state, sequence, due_at FROM deliveries WHERE seq = ?1")?
        .query_row([seq], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?, row.get::<_, i64>(3)?))
        })
        .optional()?;
    let Some((channel, code, sequence, due_at)) = found else {
        return Ok(Acted::Unknown);
    };
    let was = state(code).ok_or_else(|| StoreError::Damaged("an unknown state".to_owned()))?;
    let sequence = sequence.as_deref();
    match (action, was) {
        (Action::Retry, State::Pending) => {
            // What waits for an earlier delivery of its subject goes on waiting.
            let due_at = if due_at == NEVER { NEVER } else { FIRST };
            begin_anew(transaction, seq, due_at, now)?;
        }
        (Action::Retry, State::Failed | State::Cancelled) => {
            let waits = is_under_way(transaction, &channel, sequence)?;
            begin_anew(transaction, seq, if waits { NEVER } else { FIRST }, now)?;
            transaction.moved(&channel, Some(was), Some(State::Pending));
        }
        (Action::Cancel, State::Pending) => {
            cancel(transaction, seq, now)?;
            transaction.moved(&channel, Some(was), Some(State::Cancelled));
            if let Some(sequence) = sequence.filter(|_| due_at != NEVER) {
                release(transaction, &channel, sequence, now)?;
            }
        }
        _ => return Ok(Acted::Not(was)),
    }
    Ok(Acted::Done(channel))
}

fn begin_anew(transaction: &Transaction<'_>, seq: i64, due_at: i64, now: Millis) -> Result<(), StoreError> {
    transaction
        .connection
        .prepare_cached(
            "UPDATE deliveries SET state = 0, reason = NULL, step = 0, due_at = ?2, since = ?3, updated_at = ?3 WHERE seq = ?1",
        )?
        .execute(params![seq, due_at, to_i64(now)])?;
    Ok(())
}

fn cancel(transaction: &Transaction<'_>, seq: i64, now: Millis) -> Result<(), StoreError> {
    let connection = transaction.connection;
    connection
        .prepare_cached("UPDATE deliveries SET state = 3, updated_at = ?2 WHERE seq = ?1")?
        .execute(params![seq, to_i64(now)])?;
    connection.prepare_cached("DELETE FROM hops WHERE delivery = ?1")?.execute([seq])?;
    Ok(())
}

/// Gives one event new deliveries; how many.
pub(in crate::store) fn replay(
    transaction: &mut Transaction<'_>,
    event: i64,
    new: &[NewDelivery],
    now: Millis,
) -> Result<u64, StoreError> {
    // It may have been pruned meanwhile.
    let there = transaction.connection.prepare_cached("SELECT 1 FROM events WHERE seq = ?1")?.exists([event])?;
    if !there {
        return Ok(0);
    }
    for delivery in new {
        add(transaction, event, delivery, now)?;
    }
    Ok(new.len() as u64)
}

/// Writes bulk work down, from the first row to the last that there is now.
pub(in crate::store) fn begin(transaction: &Transaction<'_>, job: &Job) -> Result<(), StoreError> {
    let selection = serde_json::to_string(&job.selection).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let table = match job.action {
        Action::Retry | Action::Cancel => "deliveries",
        Action::Replay => "events",
    };
    transaction.connection.execute(
        &format!(
            "INSERT INTO jobs (id, action, selection, created_at, first, at, upto)
             SELECT ?1, ?2, ?3, ?4, low, low, high FROM (SELECT
               ifnull((SELECT min(seq) FROM {table}), 1) - 1 AS low, ifnull((SELECT max(seq) FROM {table}), 0) AS high)"
        ),
        params![job.id.to_bytes(), job.action.as_str(), selection, to_i64(job.created_at)],
    )?;
    Ok(())
}

/// Stops bulk work that has not come to its end; false when there is none.
pub(in crate::store) fn stop(
    transaction: &Transaction<'_>,
    id: JobId,
    why: &str,
    now: Millis,
) -> Result<bool, StoreError> {
    let stopped = transaction
        .connection
        .prepare_cached("UPDATE jobs SET ended_at = ?2, stopped = ?3 WHERE id = ?1 AND ended_at IS NULL")?
        .execute(params![id.to_bytes(), to_i64(now), why])?;
    Ok(stopped > 0)
}

/// Does one step; false when somebody has stopped the work.
pub(in crate::store) fn step(transaction: &mut Transaction<'_>, step: &Step) -> Result<bool, StoreError> {
    let live = transaction
        .connection
        .prepare_cached("SELECT 1 FROM jobs WHERE id = ?1 AND ended_at IS NULL")?
        .exists([step.id.to_bytes()])?;
    if !live {
        return Ok(false);
    }
    let mut changed = 0;
    match &step.work {
        Work::Act(action, deliveries) => {
            for seq in deliveries {
                changed += u64::from(matches!(act_on(transaction, *action, *seq, step.now)?, Acted::Done(_)));
            }
        }
        Work::Replay(events) => {
            for (event, new) in events {
                changed += replay(transaction, *event, new, step.now)?;
            }
        }
    }
    let ended_at = step.ended.then_some(to_i64(step.now));
    transaction
        .connection
        .prepare_cached("UPDATE jobs SET at = ?2, changed = changed + ?3, ended_at = ?4 WHERE id = ?1")?
        .execute(params![step.id.to_bytes(), step.at, to_i64(changed), ended_at])?;
    Ok(true)
}
