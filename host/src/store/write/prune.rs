//! What is kept no longer goes, in steps that are short.

use rusqlite::params;

use super::thin;
use crate::{
    model::{Millis, State},
    store::{
        StoreError,
        rows::{state, to_i64},
        transaction::Transaction,
    },
};

/// Deliveries, and events without any, in one step.
const ROWS: u32 = 100;
/// Events and attempts' records in one step, in bytes: what was sent and received may make them large.
const BYTES: u64 = 2 << 20;
/// Attempts looked at in one step for what makes them large, and what is large: in bytes, a record as it is kept.
const LOOKED_AT: u32 = 2000;
const LARGE: i64 = 4 << 10;
/// Free pages given back in one step, and kept at the end: a mebibyte.
const PAGES: i64 = 256;

/// What a step took away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Deliveries, and events without any.
    pub rows: u64,
    /// There may be more.
    pub more: bool,
    /// The row of [`Prune::thin`] that was come to, when there are others after it.
    pub thinned: Option<i64>,
}

/// What is to go.
#[derive(Debug, Clone, Copy)]
pub struct Prune {
    /// Deliveries that ended before, the oldest first, and what belongs to nothing else.
    pub before: Millis,
    /// About so many bytes of them at most.
    pub bytes: u64,
    /// What is neither event nor delivery, when it is older than this.
    pub rest: Millis,
    /// When no delivery that has ended is left: the attempts after this row are those of pending ones, which stay, but without
    /// their headers and bodies.
    pub thin: Option<i64>,
}

/// Does one step of it.
pub(in crate::store) fn prune(transaction: &mut Transaction<'_>, what: Prune) -> Result<Pruned, StoreError> {
    let connection = transaction.connection;
    let (before, rest) = (to_i64(what.before), to_i64(what.rest));
    let most = to_i64(what.bytes.min(BYTES));
    let mut ended = connection.prepare_cached(
        "SELECT d.seq, d.channel, d.state, d.event,
           octet_length(e.payload) + octet_length(e.data) + octet_length(e.body)
           + (SELECT ifnull(sum(octet_length(record)), 0) FROM attempts WHERE seq BETWEEN d.seq << 20 AND (d.seq << 20) + 1048575)
           + (SELECT ifnull(sum(octet_length(record)), 0) FROM attempts_2 WHERE delivery = d.seq)
         FROM deliveries d JOIN events e ON e.seq = d.event
         WHERE d.state <> 0 AND d.updated_at < ?1 ORDER BY d.updated_at LIMIT ?2",
    )?;
    let mut rows = ended.query(params![before, ROWS])?;
    let (mut found, mut bytes) = (Vec::new(), 0_i64);
    while let Some(row) = rows.next()? {
        found.push((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?));
        bytes = bytes.saturating_add(row.get(4)?);
        if bytes > most {
            break;
        }
    }
    let more = bytes > most || found.len() == ROWS as usize;
    let mut pruned = Pruned { rows: found.len() as u64, more, thinned: None };
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
    pruned.more |= events == ROWS as usize;
    if pruned.rows > 0 {
        transaction.keep_numbers()?;
    }
    connection
        .prepare_cached(
            "DELETE FROM threads WHERE (channel, subject) IN (SELECT channel, subject FROM threads WHERE at < ?1 LIMIT ?2)",
        )?
        .execute(params![rest, ROWS])?;
    connection.prepare_cached("DELETE FROM jobs WHERE ended_at < ?1")?.execute([rest])?;
    if let (0, Some(after)) = (pruned.rows, what.thin) {
        pruned.thinned = thin_after(transaction, after, most)?;
    }
    Ok(pruned)
}

/// Thins the large accounts after a row; the last row that was looked at, when there are more.
fn thin_after(transaction: &mut Transaction<'_>, after: i64, most: i64) -> Result<Option<i64>, StoreError> {
    let mut lengths = transaction
        .connection
        .prepare_cached("SELECT seq, octet_length(record) FROM attempts WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let rows = lengths.query_map(params![after, LOOKED_AT], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, i64)> = rows.collect::<rusqlite::Result<_>>()?;
    let mut bytes = 0_i64;
    for (row, length) in &rows {
        if *length > LARGE {
            thin(transaction, *row)?;
            bytes = bytes.saturating_add(*length);
        }
        if bytes > most {
            return Ok(Some(*row));
        }
    }
    Ok(rows.last().filter(|_| rows.len() == LOOKED_AT as usize).map(|(row, _)| *row))
}

/// A delivery with its attempts, and its event when that was its last.
fn take(transaction: &Transaction<'_>, seq: i64, event: i64) -> Result<(), StoreError> {
    let connection = transaction.connection;
    for statement in [
        "DELETE FROM attempts WHERE seq BETWEEN ?1 << 20 AND (?1 << 20) + 1048575",
        "DELETE FROM attempts_2 WHERE delivery = ?1",
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

/// Hands a mebibyte of free pages back to the file system, but for the last one, which is soon used again; true when there
/// is more to hand back.
pub(in crate::store) fn give_back(transaction: &Transaction<'_>) -> Result<bool, StoreError> {
    let connection = transaction.connection;
    let free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    if free()? <= PAGES {
        return Ok(false);
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
    let mut rows = statement.query([])?;
    // One page a row.
    while rows.next()?.is_some() {}
    Ok(free()? > PAGES)
}
