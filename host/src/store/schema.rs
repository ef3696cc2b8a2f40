//! The tables, and the way from older ones: each step in a transaction, forward only.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// `HRLD`: tells a Herald store from any other SQLite file.
const APPLICATION_ID: i64 = 0x4852_4C44;

/// One step a version; a released step is never changed.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];

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
    Ok(())
}

fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings the file to the newest schema.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
