//! A look at the whole file after a start that found it not closed: what was copied or restored piece by piece may look
//! good and never deliver. SQLite's own files outlast a crash; this finds the others.

use std::{path::Path, sync::Arc, thread};

use rusqlite::{Connection, InterruptHandle};

use super::{StoreError, trouble::Trouble};

/// Looks on a thread of its own, beside everything else, until it has seen all or is dropped.
pub(super) struct Audit {
    interrupt: InterruptHandle,
    thread: thread::JoinHandle<()>,
}

impl Audit {
    pub fn start(connection: Connection, path: &Path, trouble: Arc<Trouble>) -> Result<Self, StoreError> {
        let interrupt = connection.get_interrupt_handle();
        let path = path.to_owned();
        let look = move || {
            let found = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0));
            let error = match found {
                Ok(found) if found == "ok" => return,
                Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => return,
                Ok(found) => StoreError::Damaged(found),
                Err(error) => error.into(),
            };
            trouble.condemn(&StoreError::Unusable { path, cause: Box::new(error) });
        };
        let thread = thread::Builder::new().name("store-audit".to_owned()).spawn(look);
        Ok(Self { interrupt, thread: thread.map_err(|_| StoreError::Closed)? })
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        // Again and again: one that comes before the look has begun is not seen.
        while !self.thread.is_finished() {
            self.interrupt.interrupt();
            thread::yield_now();
        }
    }
}
