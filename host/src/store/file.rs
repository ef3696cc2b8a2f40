//! The store's file: made private, held against other hosts, opened with the settings that durability rests on.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use rusqlite::Connection;

use super::StoreError;

/// How long a file that is held is waited for: by a host that is just ending, or by a program that it has begun and that
/// has not let go of its files yet.
const PATIENCE: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(20);

/// Makes the file where there is none, private, as events are nobody else's business; and holds it against other hosts.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let open = |cause| StoreError::Open { path: path.to_owned(), cause: Arc::new(cause) };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(open)?;
    }
    // Opening a named pipe would wait for its other end.
    if path.exists() && !path.is_file() {
        let cause = std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
        return Err(open(cause));
    }
    let store = private(OpenOptions::new().create(true).append(true)).open(path).map_err(open)?;
    let file = if cfg!(target_os = "linux") {
        // The file itself, by whatever name it was reached. SQLite's own locks are of another kind here.
        store
    } else {
        let mut name = path.canonicalize().map_err(open)?.into_os_string();
        name.push(".lock");
        private(OpenOptions::new().create(true).append(true)).open(PathBuf::from(name)).map_err(open)?
    };
    let mut left = PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if left.is_zero() => return Err(StoreError::InUse(path.to_owned())),
            Err(TryLockError::WouldBlock) => {
                thread::sleep(LOOK);
                left = left.saturating_sub(LOOK);
            }
            Err(TryLockError::Error(cause)) => return Err(open(cause)),
        }
    }
}

/// Whether the write-ahead log was left behind: whoever had the file last did not close it.
pub(super) fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(Path::new(&log)).is_ok_and(|metadata| metadata.len() > 0)
}

fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// A connection with the settings that durability rests on.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    // The schema's migration turns the write-ahead log on; that stands in the file. What refers to a row is written in the
    // transaction that has just written or found it, and goes before it does: looking it up once more costs each write.
    connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA foreign_keys=OFF; PRAGMA temp_store=MEMORY; PRAGMA journal_size_limit=67108864;")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
