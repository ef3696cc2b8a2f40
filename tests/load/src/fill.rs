//! Large stores, in a minute instead of an hour: rows as accepting and delivering events one by one would leave them, only
//! smaller.
//!
//! The one place outside of the host that knows its schema, `host/src/store/schema_*.sql`: it follows that, and names no
//! column that may be left out.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rusqlite::Connection;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// The store
    #[arg(long)]
    store: PathBuf,
    /// Whose deliveries they are
    #[arg(long)]
    channel: String,
    /// How many, each of an event of its own
    #[arg(long)]
    count: u64,
    /// They wait to be delivered; otherwise they have been, with one attempt each
    #[arg(long)]
    pending: bool,
}

const EVENTS: &str = r#"INSERT INTO events
    (id, source, type, title, body, occurred_at, received_at, data, payload, deliveries)
    SELECT printf('e%09d', i), '', 'filled', 'title', '', :now, :now, '{}', CAST('{"type":"filled"}' AS BLOB), 1 FROM n"#;

const DELIVERIES: &str = "INSERT INTO deliveries
    (id, event, channel, state, attempts, due_at, created_at, updated_at)
    SELECT CAST(printf('%016d', i) AS BLOB), i, ':channel', :state, :state, :now, :now, :now FROM n";

const ATTEMPTS: &str = r#"INSERT INTO attempts (seq, record)
    SELECT i * 1048576 + 1, '{"number":1,"started_at":0,"duration_us":1,"outcome":"delivered","exchanges":[]}' FROM n"#;

const COUNTS: &str = "INSERT INTO counts (channel, state, count) VALUES (':channel', :state, :count)";

pub fn run(options: &Options) -> Result<()> {
    let store = Connection::open(&options.store).context("can't open the store")?;
    let now: i64 = store.query_row("SELECT CAST(unixepoch() AS INTEGER) * 1000", [], |row| row.get(0))?;
    // Whoever loses power now fills it again.
    store.execute_batch("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000; BEGIN")?;
    let tables: &[&str] = if options.pending { &[EVENTS, DELIVERIES] } else { &[EVENTS, DELIVERIES, ATTEMPTS] };
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)";
    for rows in tables.iter().map(|table| format!("{numbers} {table}")).chain([COUNTS.to_owned()]) {
        let rows = rows
            .replace(":now", &now.to_string())
            .replace(":channel", &options.channel.replace('\'', "''"))
            .replace(":count", &options.count.to_string())
            .replace(":state", if options.pending { "0" } else { "1" });
        store.execute_batch(&rows).with_context(|| format!("the schema has changed: {rows}"))?;
    }
    store.execute_batch("COMMIT; PRAGMA journal_mode=WAL").context("can't write the store")
}
