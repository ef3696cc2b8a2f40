//! What a channel has to do, in windows that are bounded in number and in bytes.

use std::{sync::Arc, time::Duration};

use rusqlite::{Connection, params};

use super::Result;
use crate::{
    model::{Delivery, DeliveryId, Event, Millis, State},
    store::{
        NewDelivery,
        rows::{self, DELIVERY, DELIVERY_COLUMNS, EVENT, NEVER, to_i64, to_millis},
    },
};

/// Events in one window, in bytes, beyond the first: an event may be a mebibyte long.
const BYTES: usize = 1 << 20;

/// A delivery that is due, with all that an attempt needs.
#[derive(Debug, Clone)]
pub struct Due {
    /// The delivery's row.
    pub seq: i64,
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: Arc<Event>,
    /// What the last delivered event of the same subject left on this channel.
    pub reference: Option<String>,
    /// The request that the attempt goes on with, as it was kept.
    pub hop: Option<String>,
    /// On an ordered channel, the subject.
    pub sequence: Option<String>,
}

impl Due {
    /// A delivery as it is right after its acceptance.
    pub fn new(seq: i64, new: &NewDelivery, event: &Arc<Event>) -> Self {
        let now = event.received_at;
        let delivery = Delivery {
            id: new.id,
            event: event.id.clone(),
            kind: event.kind.to_string(),
            channel: new.channel.clone(),
            state: State::Pending,
            reason: None,
            attempts: 0,
            step: 0,
            due_at: Some(now),
            since: now,
            created_at: now,
            updated_at: now,
        };
        Self { seq, delivery, event: event.clone(), reference: None, hop: None, sequence: new.sequence.clone() }
    }

    /// How old the delivery is, by its schedule.
    pub fn age(&self, now: Millis) -> Duration {
        Duration::from_millis(now.saturating_sub(self.delivery.since))
    }
}

/// A bounded view of what a channel has to do.
#[derive(Debug, Default)]
pub struct Window {
    /// Due now.
    pub due: Vec<Due>,
    /// When the next one after these is due; in the past when the limit cut the list.
    pub next_due: Option<Millis>,
    /// The last row of a delivery that there was, whatever its channel.
    pub last: i64,
    /// Whether delivered events have left anything on the channel for the next of their subject.
    pub has_threads: bool,
}

pub(in crate::store) fn due(
    connection: &Connection,
    channel: &str,
    now: Millis,
    in_hand: &[DeliveryId],
    limit: usize,
) -> Result<Window> {
    // One state of the store for all the questions.
    let connection = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT d.seq, t.reference, h.record, d.sequence, {DELIVERY}, {EVENT} FROM deliveries d JOIN events e ON e.seq = d.event
         LEFT JOIN threads t ON t.channel = d.channel AND t.subject = e.subject
         LEFT JOIN hops h ON h.delivery = d.seq
         WHERE d.channel = ?1 AND d.state = 0 AND d.due_at <= ?2 ORDER BY d.due_at, d.seq"
    ))?;
    let mut rows = statement.query(params![channel, to_i64(now)])?;
    let (mut due, mut bytes, mut cut) = (Vec::new(), 0, false);
    while let Some(row) = rows.next()? {
        if due.len() == limit || bytes > BYTES {
            cut = true;
            break;
        }
        let read = rows::delivery(row, 4).and_then(|delivery| Ok((delivery, rows::event(row, 4 + DELIVERY_COLUMNS)?)));
        // One row that can't be read must not hold up the others.
        let Some((delivery, event)) = rows::readable(read)? else { continue };
        if in_hand.contains(&delivery.id) {
            continue;
        }
        bytes += event.size();
        due.push(Due {
            seq: row.get(0)?,
            reference: row.get(1)?,
            hop: row.get(2)?,
            sequence: row.get(3)?,
            delivery,
            event: Arc::new(event),
        });
    }
    let next_due = if cut {
        Some(now)
    } else {
        connection
            .prepare_cached("SELECT min(due_at) FROM deliveries WHERE channel = ?1 AND state = 0 AND due_at > ?2")?
            .query_row(params![channel, to_i64(now)], |row| row.get::<_, Option<i64>>(0))?
            .filter(|at| *at != NEVER)
            .map(to_millis)
    };
    let last: Option<i64> =
        connection.prepare_cached("SELECT max(seq) FROM deliveries")?.query_row([], |row| row.get(0))?;
    let has_threads =
        connection.prepare_cached("SELECT 1 FROM threads WHERE channel = ?1 LIMIT 1")?.exists([channel])?;
    Ok(Window { due, next_due, last: last.unwrap_or_default(), has_threads })
}
