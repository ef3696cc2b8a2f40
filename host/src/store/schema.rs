//! The tables, and the way from older ones: each step in a transaction, forward only.

use std::path::Path;

use rusqlite::Connection;

use super::StoreError;

/// `HRLD`: tells a Herald store from any other SQLite file.
const APPLICATION_ID: i64 = 0x4852_4C44;

/// One step a version; a released step is never changed.
const STEPS: [&str; 1] = [include_str!("schema_1.sql")];

/// Brings the file to the newest schema.
pub(super) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
    let application: i64 = pragma("application_id")?;
    let version: i64 = pragma("user_version")?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let known = i64::try_from(STEPS.len()).unwrap_or(i64::MAX);
    if application != APPLICATION_ID && (tables > 0 || version > 0) {
        return Err(StoreError::Foreign(path.to_owned()));
    }
    if version > known {
        return Err(StoreError::Newer { path: path.to_owned(), found: version, known });
    }
    for (step, number) in STEPS.iter().zip(1..).filter(|(_, number)| *number > version) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}
