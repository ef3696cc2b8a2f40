//! What is kept no longer goes, in steps that are short.

use rusqlite::params;

use crate::{
    model::{Millis, State},
    store::{
        StoreError,
        rows::{state, to_i64},
        tally::Transaction,
    },
};

/// Deliveries, and events without any, in one step.
const ROWS: i64 = 100;
/// Attempts' records in one step, in bytes: what was received may make them large.
const BYTES: i64 = 2 << 20;

/// What a step took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Deliveries, and events without any.
    pub rows: u64,
    /// There may be more.
    pub more: bool,
}

/// Takes away deliveries that ended before, the oldest first, and what belongs to nothing else; threads and bulk work
/// that are older than `rest`.
pub(in crate::store) fn prune(
    transaction: &mut Transaction<'_>,
    before: Millis,
    rest: Millis,
) -> Result<Pruned, StoreError> {
    let connection = transaction.connection;
    let (before, rest) = (to_i64(before), to_i64(rest));
    let mut ended = connection.prepare_cached(
        "SELECT seq, channel, state, event, (SELECT ifnull(sum(octet_length(record)), 0) FROM attempts WHERE delivery = seq)
         FROM deliveries WHERE state <> 0 AND updated_at < ?1 ORDER BY updated_at LIMIT ?2",
    )?;
    let mut rows = ended.query(params![before, ROWS])?;
    let (mut found, mut bytes) = (Vec::new(), 0_i64);
    while let Some(row) = rows.next()? {
        found.push((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?));
        bytes = bytes.saturating_add(row.get(4)?);
        if bytes > BYTES {
            break;
        }
    }
    let mut pruned = Pruned { rows: found.len() as u64, more: bytes > BYTES || found.len() as i64 == ROWS };
    for (seq, channel, code, event) in found {
        take(transaction, seq, event)?;
        let was: Option<State> = state(code);
        transaction.moved(&channel, was, None);
    }
    let events = connection
        .prepare_cached(
            "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE deliveries = 0 AND received_at < ?1 AND NOT EXISTS
             (SELECT 1 FROM deliveries WHERE event = events.seq) ORDER BY received_at LIMIT ?2)",
        )?
        .execute(params![before, ROWS])?;
    pruned.rows += events as u64;
    pruned.more |= events as i64 == ROWS;
    connection
        .prepare_cached(
            "DELETE FROM threads WHERE (channel, subject) IN (SELECT channel, subject FROM threads WHERE at < ?1 LIMIT ?2)",
        )?
        .execute(params![rest, ROWS])?;
    connection.prepare_cached("DELETE FROM jobs WHERE ended_at < ?1")?.execute([rest])?;
    Ok(pruned)
}

/// A delivery with its attempts, and its event when that was its last.
fn take(transaction: &Transaction<'_>, seq: i64, event: i64) -> Result<(), StoreError> {
    let connection = transaction.connection;
    for statement in [
        "DELETE FROM attempts WHERE delivery = ?1",
        "DELETE FROM hops WHERE delivery = ?1",
        "DELETE FROM deliveries WHERE seq = ?1",
    ] {
        connection.prepare_cached(statement)?.execute([seq])?;
    }
    connection
        .prepare_cached("DELETE FROM events WHERE seq = ?1 AND NOT EXISTS (SELECT 1 FROM deliveries WHERE event = ?1)")?
        .execute([event])?;
    Ok(())
}

/// Hands up to so many free pages back to the file system.
pub(in crate::store) fn give_back(transaction: &Transaction<'_>, pages: u32) -> Result<(), StoreError> {
    transaction.connection.execute_batch(&format!("PRAGMA incremental_vacuum({pages})"))?;
    Ok(())
}
