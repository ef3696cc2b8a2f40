//! Why the store could not do its job, in sentences that say what to do.

use std::{path::PathBuf, sync::Arc};

use rusqlite::ErrorCode;

/// Why the store could not do its job.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or made.
    #[error("cannot open the store {path}: {cause}; set `store.path` to a file that this user can write")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: Arc<std::io::Error>,
    },
    /// Another host has it.
    #[error("the store {0} is in use by another Herald; stop that one, or set another `store.path`")]
    InUse(PathBuf),
    /// Not SQLite, or another program's.
    #[error("{0} is not a Herald store; set `store.path` to another file")]
    Foreign(PathBuf),
    /// A later Herald wrote it.
    #[error("the store {path} has schema version {found}; this Herald knows {known}: use a newer Herald")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// Anything else that SQLite says.
    #[error("{}", sentence(.0))]
    Sqlite(Arc<rusqlite::Error>),
    /// What stands in the store is not what this program writes.
    #[error("the store is damaged: {0}; {RESTORE}")]
    Damaged(String),
    /// It could not be written, and has not been since.
    #[error("{0}")]
    Trouble(String),
    /// A store that can't be used, with its name.
    #[error("the store {path} can't be used: {cause}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: Box<StoreError>,
    },
    /// The host is stopping.
    #[error("the store is closed")]
    Closed,
}

const RESTORE: &str = "stop Herald, keep a copy of its files, and restore a backup, or save what can be read with `sqlite3 herald.db .recover`";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

/// Whether it is the file's contents that are wrong: a page that ends too soon is no failure of the disk.
pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    const SHORT_READ: i32 = rusqlite::ffi::SQLITE_IOERR_SHORT_READ;
    let extended = error.sqlite_error().map(|error| error.extended_code);
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) || extended == Some(SHORT_READ)
}

fn sentence(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk that holds the store is full; make room there".to_owned(),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("the store can't be written: {error}; let Herald's user write its file and its folder")
        }
        _ if is_damage(error) => format!("the store is damaged: {error}; {RESTORE}"),
        Some(ErrorCode::SystemIoFailure) => format!("the disk that holds the store fails: {error}"),
        _ => format!("the store failed: {error}"),
    }
}
