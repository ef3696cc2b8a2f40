//! Lists of deliveries, and everything about one.

use rusqlite::{Connection, OptionalExtension, ToSql, params};
use serde::Serialize;

use super::Result;
use crate::{
    model::{Attempt, AttemptSummary, Blame, Delivery, DeliveryId, Event, Refusal, Selection},
    store::{
        StoreError,
        rows::{self, DELIVERY, DELIVERY_COLUMNS, EVENT, NUMBER_BITS, RECORDS, state_code, to_i64},
    },
};

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// What must hold of them and their events.
    pub selection: Selection,
    /// Of the event with this id.
    pub event: Option<String>,
    /// Older than this one: the last of the page before.
    pub before: Option<DeliveryId>,
    /// At most so many.
    pub limit: u32,
}

/// A delivery in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The delivery.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// Its last attempt, without headers and bodies.
    pub last_attempt: Option<AttemptSummary>,
}

/// Conditions with their values.
#[derive(Default)]
pub(super) struct Conditions {
    sql: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Conditions {
    /// `?` stands for the value.
    pub fn and(&mut self, condition: &str, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
        self.sql.push_str(" AND ");
        self.sql.push_str(&condition.replace('?', &format!("?{}", self.values.len())));
    }

    /// Of the events, in `e`.
    pub fn events(&mut self, selection: &Selection) {
        if let Some(kind) = &selection.kind {
            self.and("e.type GLOB ?", glob(kind));
        }
        if let Some(project) = &selection.project {
            self.and("e.project = ?", project.clone());
        }
    }

    /// Of the deliveries, in `d`, and their events, in `e`.
    pub fn deliveries(&mut self, selection: &Selection) {
        if let Some(channel) = &selection.channel {
            self.and("d.channel = ?", channel.clone());
        }
        match selection.state.map(state_code) {
            // As it stands in the index over these.
            Some(2) => self.sql.push_str(" AND d.state = 2"),
            Some(code) => self.and("d.state = ?", code),
            None => {}
        }
        if let Some(reason) = selection.reason {
            self.and("d.reason = ?", reason.as_str());
        }
        if let Some(since) = selection.since {
            self.and("d.created_at >= ?", to_i64(since));
        }
        if let Some(until) = selection.until {
            self.and("d.created_at < ?", to_i64(until));
        }
        if let Some(digest) = &selection.new_version {
            // What was recorded before schema 3 stands elsewhere, and is left to people.
            let last = format!(
                "(SELECT record FROM attempts WHERE seq = (d.seq << {NUMBER_BITS}) + min(d.attempts, (1 << {NUMBER_BITS}) - 1))"
            );
            self.and(&format!("{last} ->> '$.adapter.digest' <> ?"), digest.clone());
            self.and(&format!("{last} ->> '$.blame' = ?"), Blame::Adapter.as_str());
            self.and(&format!("substr({last} ->> '$.reason', 1, length(?)) <> ?"), Refusal::OF_EVENT);
        }
        self.events(selection);
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }

    pub fn values(&self) -> impl rusqlite::Params + '_ {
        rusqlite::params_from_iter(&self.values)
    }
}

/// Only `*` is special in a type, as in a route.
fn glob(kind: &str) -> String {
    kind.replace('[', "[[]").replace('?', "[?]")
}

pub(in crate::store) fn page(connection: &Connection, filter: &Filter) -> Result<Vec<Listed>> {
    let mut conditions = Conditions::default();
    conditions.deliveries(&filter.selection);
    if let Some(event) = &filter.event {
        conditions.and("e.id = ?", event.clone());
    }
    if let Some(before) = filter.before {
        // It may have been pruned since: then what is just older than it is.
        conditions.and(
            "d.seq < ifnull((SELECT seq FROM deliveries WHERE id = ?),
               (SELECT seq + 1 FROM deliveries WHERE id < ? ORDER BY id DESC LIMIT 1))",
            before.to_bytes(),
        );
    }
    conditions.and("1 ORDER BY d.seq DESC LIMIT ?", filter.limit);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT ifnull(a.record, b.record), {DELIVERY} FROM deliveries d JOIN events e ON e.seq = d.event
         LEFT JOIN attempts a ON a.seq = (d.seq << {NUMBER_BITS}) + min(d.attempts, (1 << {NUMBER_BITS}) - 1)
         LEFT JOIN attempts_2 b ON b.delivery = d.seq AND b.number = d.attempts WHERE 1{}",
        conditions.sql()
    ))?;
    let mut rows = statement.query(conditions.values())?;
    let mut listed = Vec::new();
    while let Some(row) = rows.next()? {
        let read = rows::delivery(row, 1).and_then(|delivery| Ok((delivery, row.get::<_, Option<String>>(0)?)));
        let Some((delivery, record)) = rows::readable(read)? else { continue };
        let last_attempt = match record {
            Some(record) => Some(attempt(&record, delivery.id)?.summary()),
            None => None,
        };
        listed.push(Listed { delivery, last_attempt });
    }
    Ok(listed)
}

fn attempt(record: &str, delivery: DeliveryId) -> Result<Attempt> {
    serde_json::from_str(record).map_err(|error| StoreError::Damaged(format!("an attempt of {delivery}: {error}")))
}

/// Everything about one delivery.
#[derive(Debug, Clone, Serialize)]
pub struct Detail {
    /// The delivery.
    pub delivery: Delivery,
    /// What it is a delivery of.
    pub event: Event,
    /// What has been tried, the last of it: the first first.
    pub attempts: Vec<Attempt>,
    /// Where there are more before them: the first one's number.
    pub next: Option<u32>,
}

/// Which attempts of a delivery to show.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    /// Before the one with this number.
    pub before: u32,
    /// The last of them, at most so many.
    pub limit: u32,
}

impl Default for Attempts {
    /// All of nearly every delivery.
    fn default() -> Self {
        Self { before: u32::MAX, limit: 100 }
    }
}

pub(in crate::store) fn delivery(connection: &Connection, id: DeliveryId, which: Attempts) -> Result<Option<Detail>> {
    // One state of the store for both questions.
    let snapshot = connection.unchecked_transaction()?;
    let found = snapshot
        .prepare_cached(&format!(
            "SELECT d.seq, {DELIVERY}, {EVENT} FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.id = ?1"
        ))?
        .query_row([id.to_bytes()], |row| {
            Ok((row.get::<_, i64>(0)?, rows::delivery(row, 1)?, rows::event(row, 1 + DELIVERY_COLUMNS)?))
        })
        .optional()?;
    let Some((seq, delivery, event)) = found else {
        return Ok(None);
    };
    let mut attempts = Vec::new();
    for records in RECORDS {
        let left = which.limit.saturating_sub(u32::try_from(attempts.len()).unwrap_or(u32::MAX));
        let mut statement = snapshot.prepare_cached(records)?;
        let records = statement.query_map(params![seq, which.before, left], |row| row.get::<_, String>(0))?;
        for record in records {
            attempts.push(attempt(&record?, id)?.with_payload(&event.payload));
        }
    }
    attempts.reverse();
    let is_full = attempts.len() == which.limit as usize;
    let next = attempts.first().map(|first| first.number).filter(|first| is_full && *first > 1);
    Ok(Some(Detail { delivery, event, attempts, next }))
}

/// The events of that id: one a source.
pub(in crate::store) fn events(connection: &Connection, id: &str) -> Result<Vec<(i64, Event)>> {
    let mut statement = connection.prepare_cached(&format!("SELECT e.seq, {EVENT} FROM events e WHERE e.id = ?1"))?;
    let rows = statement.query_map(params![id], |row| Ok((row.get(0)?, rows::event(row, 1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
