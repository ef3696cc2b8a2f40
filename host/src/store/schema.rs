//! The tables, and the way from older ones: each step in a transaction, forward only.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, file};

/// `HRLD`: tells a Herald store from any other SQLite file.
const APPLICATION_ID: i64 = 0x4852_4C44;

/// One step a version; a released step is never changed.
const STEPS: [&str; 3] = [include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];

/// `auto_vacuum`: freed pages are given back when they are asked for.
const INCREMENTAL: i64 = 2;

/// Whether the file is ours to use; nothing is written to one that is not.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let foreign = || StoreError::Foreign(path.to_owned());
    let number = |query: &str| {
        connection.query_row(query, [], |row| row.get::<_, i64>(0)).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => foreign(),
            _ => error.into(),
        })
    };
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let application = number("PRAGMA application_id")?;
    let found = number("PRAGMA user_version")?;
    let known = known();
    let is_new = tables == 0 && application == 0 && found == 0;
    if !is_new && (application != APPLICATION_ID || found < 1) {
        return Err(foreign());
    }
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    is_whole(&number, path)
}

/// A file that is shorter than it says was cut; what is in the log beside it may make up for that.
fn is_whole(number: &impl Fn(&str) -> Result<i64, StoreError>, path: &Path) -> Result<(), StoreError> {
    let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let says = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
    if !file::has_log(path) && length < u64::try_from(says).unwrap_or_default() {
        return Err(StoreError::Damaged("the file is shorter than it says".to_owned()));
    }
    Ok(())
}

fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings the file to the newest schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version == 0 {
        // Takes effect only while the file is empty, and before it has a write-ahead log.
        connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    }
    connection.execute_batch("PRAGMA journal_mode=WAL")?;
    if (1..known()).contains(&version) {
        tracing::info!(from = version, to = known(), "bringing the store to the newest schema");
    }
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    give_back(connection)?;
    complete(connection)
}

/// Stores of the first version keep the space of what is deleted; rebuilt once, they give it back.
fn give_back(connection: &Connection) -> Result<(), StoreError> {
    let vacuum: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    if vacuum == INCREMENTAL {
        return Ok(());
    }
    tracing::info!("rebuilding the store once, so that it can give space back");
    // Only outside of the write-ahead log, and with the file for itself.
    connection.execute_batch("PRAGMA journal_mode=DELETE")?;
    connection.pragma_update(None, "auto_vacuum", INCREMENTAL)?;
    if let Err(error) = connection.execute_batch("VACUUM") {
        tracing::warn!(%error, "the store can't be rebuilt: it works, but does not give space back");
    }
    connection.execute_batch("PRAGMA journal_mode=WAL")?;
    Ok(())
}

/// Whether every table and index is there.
fn complete(connection: &Connection) -> Result<(), StoreError> {
    let fresh = Connection::open_in_memory()?;
    for step in STEPS {
        fresh.execute_batch(step)?;
    }
    let names = |connection: &Connection| -> rusqlite::Result<Vec<String>> {
        // SQLite's own table of numbers is not used any more, and VACUUM takes it away.
        let mut statement = connection
            .prepare("SELECT type || ' ' || name FROM sqlite_schema WHERE name <> 'sqlite_sequence' ORDER BY 1")?;
        let names = statement.query_map([], |row| row.get(0))?;
        names.collect()
    };
    let found = names(connection)?;
    match names(&fresh)?.into_iter().find(|name| !found.contains(name)) {
        Some(missing) => Err(StoreError::Damaged(format!("the {missing} is missing"))),
        None => Ok(()),
    }
}
