//! Whether the store can be written, for all who ask: accepting stops at once where it can't, and begins by itself again.

use std::sync::{Mutex, PoisonError};

use rusqlite::ErrorCode;
use tokio::sync::watch;

use super::{StoreError, error::is_damage};

/// What is wrong with the store, if anything.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    reason: watch::Sender<Option<String>>,
    /// No amount of space mends it. Held for moments only.
    damaged: Mutex<bool>,
}

impl Trouble {
    /// Why nothing is accepted now.
    pub fn reason(&self) -> Option<String> {
        self.reason.borrow().clone()
    }

    /// Sees every change.
    pub fn changes(&self) -> watch::Receiver<Option<String>> {
        self.reason.subscribe()
    }

    /// An operation failed: when the reason is the file and not the operation, it is trouble.
    pub fn note(&self, error: &StoreError) {
        let damaged = match error {
            StoreError::Sqlite(cause) if is_damage(cause) => true,
            StoreError::Sqlite(cause) => match cause.sqlite_error_code() {
                Some(
                    ErrorCode::DiskFull
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::ReadOnly
                    | ErrorCode::CannotOpen
                    | ErrorCode::PermissionDenied,
                ) => false,
                _ => return,
            },
            _ => return,
        };
        self.set(error, damaged);
    }

    /// The file has been found damaged.
    pub fn condemn(&self, error: &StoreError) {
        self.set(error, true);
    }

    fn set(&self, error: &StoreError, damaged: bool) {
        *self.damaged.lock().unwrap_or_else(PoisonError::into_inner) |= damaged;
        let new = self.reason.send_if_modified(|reason| {
            let new = reason.is_none() || damaged;
            if new {
                *reason = Some(error.to_string());
            }
            new
        });
        if new {
            tracing::error!(%error, "nothing is accepted until the store can be written");
        }
    }

    /// Whether it is worth trying to write.
    pub fn may_pass(&self) -> bool {
        self.reason.borrow().is_some() && !*self.damaged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store can be written again.
    pub fn over(&self) {
        if self.reason.send_replace(None).is_some() {
            tracing::info!("the store can be written again");
        }
    }
}
