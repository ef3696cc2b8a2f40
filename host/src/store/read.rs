//! What is asked of the store, on connections of its own, so that a reader never waits for the writer.

use std::{sync::Arc, thread};

use crossbeam_channel::Sender;
use rusqlite::{Connection, OptionalExtension, ToSql, params};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    StoreError,
    rows::{self, DELIVERY, EVENT, state_code, to_i64, to_millis},
};
use crate::model::{Attempt, AttemptSummary, Delivery, DeliveryId, Event, Millis, State};

/// Connections for reading, each with its thread.
const READERS: usize = 2;

type Result<T> = std::result::Result<T, StoreError>;
type Query = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the threads, which end when this is dropped; SQLite tidies up when its last connection is closed.
pub(super) struct Readers {
    sender: Option<Sender<Query>>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Readers {
    pub fn start(connect: impl Fn() -> Result<Connection>) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::unbounded::<Query>();
        let mut threads = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let connection = connect()?;
            connection.execute_batch("PRAGMA query_only=ON")?;
            let receiver = receiver.clone();
            let thread = thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || receiver.iter().for_each(|query| query(&connection)))
                .map_err(|_| StoreError::Closed)?;
            threads.push(thread);
        }
        Ok(Self { sender: Some(sender), threads })
    }

    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            // Who asked may have gone away.
            let _ = reply.send(query(connection));
        });
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(query).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

/// A delivery that is due, with all that an attempt needs.
#[derive(Debug, Clone)]
pub struct Job {
    /// The delivery's row.
    pub seq: i64,
    /// The delivery.
    pub delivery: Delivery,
    /// Its event.
    pub event: Arc<Event>,
    /// What the last delivered event of the same subject left on this channel.
    pub reference: Option<String>,
}

/// A bounded view of what a channel has to do.
#[derive(Debug, Default)]
pub struct Window {
    /// Due now.
    pub jobs: Vec<Job>,
    /// When the next one after these is due; in the past when the limit cut the list.
    pub next_due: Option<Millis>,
}

pub(super) fn due(
    connection: &Connection,
    channel: &str,
    now: Millis,
    in_hand: &[DeliveryId],
    limit: usize,
) -> Result<Window> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT d.seq, t.reference, {DELIVERY}, {EVENT} FROM deliveries d JOIN events e ON e.seq = d.event
         LEFT JOIN threads t ON t.channel = d.channel AND t.subject = e.subject
         WHERE d.channel = ?1 AND d.state = 0 AND d.due_at <= ?2 ORDER BY d.due_at, d.seq LIMIT ?3"
    ))?;
    let most = limit + in_hand.len();
    let rows = statement.query_map(params![channel, to_i64(now), to_i64(most as u64)], |row| {
        Ok(Job {
            seq: row.get(0)?,
            reference: row.get(1)?,
            delivery: rows::delivery(row, 2)?,
            event: Arc::new(rows::event(row, 13)?),
        })
    })?;
    let mut jobs = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    let cut = jobs.len() == most;
    jobs.retain(|job| !in_hand.contains(&job.delivery.id));
    let cut = cut || jobs.len() > limit;
    jobs.truncate(limit);
    let next_due = if cut {
        Some(now)
    } else {
        connection
            .prepare_cached("SELECT min(due_at) FROM deliveries WHERE channel = ?1 AND state = 0 AND due_at > ?2")?
            .query_row(params![channel, to_i64(now)], |row| row.get::<_, Option<i64>>(0))?
            .map(to_millis)
    };
    Ok(Window { jobs, next_due })
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this channel.
    pub channel: Option<String>,
    /// In this state.
    pub state: Option<State>,
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

pub(super) fn page(connection: &Connection, filter: &Filter) -> Result<Vec<Listed>> {
    let mut sql = format!(
        "SELECT a.record, {DELIVERY} FROM deliveries d JOIN events e ON e.seq = d.event
         LEFT JOIN attempts a ON a.delivery = d.seq AND a.number = d.attempts WHERE 1"
    );
    let mut values: Vec<Box<dyn ToSql>> = Vec::new();
    let mut and = |condition: &str, value: Box<dyn ToSql>| {
        values.push(value);
        sql.push_str(" AND ");
        sql.push_str(&condition.replace('?', &format!("?{}", values.len())));
    };
    if let Some(channel) = &filter.channel {
        and("d.channel = ?", Box::new(channel.clone()));
    }
    if let Some(state) = filter.state {
        and("d.state = ?", Box::new(state_code(state)));
    }
    if let Some(event) = &filter.event {
        and("e.id = ?", Box::new(event.clone()));
    }
    if let Some(before) = filter.before {
        and("d.seq < (SELECT seq FROM deliveries WHERE id = ?)", Box::new(before.to_bytes()));
    }
    and("1 ORDER BY d.seq DESC LIMIT ?", Box::new(filter.limit));
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(rusqlite::params_from_iter(&values), |row| {
        Ok((row.get::<_, Option<String>>(0)?, rows::delivery(row, 1)?))
    })?;
    rows.map(|row| {
        let (record, delivery) = row?;
        let last_attempt = match record {
            Some(record) => Some(attempt(&record, delivery.id)?.summary()),
            None => None,
        };
        Ok(Listed { delivery, last_attempt })
    })
    .collect()
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
    /// What has been tried, the first first.
    pub attempts: Vec<Attempt>,
}

pub(super) fn delivery(connection: &Connection, id: DeliveryId) -> Result<Option<Detail>> {
    let found = connection
        .prepare_cached(&format!(
            "SELECT d.seq, {DELIVERY}, {EVENT} FROM deliveries d JOIN events e ON e.seq = d.event WHERE d.id = ?1"
        ))?
        .query_row([id.to_bytes()], |row| Ok((row.get::<_, i64>(0)?, rows::delivery(row, 1)?, rows::event(row, 12)?)))
        .optional()?;
    let Some((seq, delivery, event)) = found else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached("SELECT record FROM attempts WHERE delivery = ?1 ORDER BY number")?;
    let mut attempts = Vec::new();
    for record in statement.query_map([seq], |row| row.get::<_, String>(0))? {
        attempts.push(attempt(&record?, id)?);
    }
    Ok(Some(Detail { delivery, event, attempts }))
}

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

pub(super) fn counts(connection: &Connection) -> Result<Vec<Counts>> {
    let mut statement =
        connection.prepare_cached("SELECT channel, state, count(*) FROM deliveries GROUP BY channel, state")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?)))?;
    rows.map(|row| {
        let (channel, code, count) = row?;
        let state = rows::state(code).ok_or_else(|| StoreError::Damaged("an unknown state".to_owned()))?;
        Ok(Counts { channel, state, count: to_millis(count) })
    })
    .collect()
}

/// A channel that delivers nothing until it is enabled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisabledChannel {
    /// The channel's name.
    pub name: String,
    /// Since when.
    pub at: Millis,
    /// Why.
    pub reason: String,
}

pub(super) fn disabled(connection: &Connection) -> Result<Vec<DisabledChannel>> {
    let mut statement = connection.prepare_cached("SELECT name, at, reason FROM disabled_channels")?;
    let rows = statement.query_map([], |row| {
        Ok(DisabledChannel { name: row.get(0)?, at: to_millis(row.get(1)?), reason: row.get(2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}
