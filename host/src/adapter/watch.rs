//! Reconciles the adapters folder when the file system says that something has changed, and every few seconds whether it
//! does or not: a missed, doubled or overflowing notification changes only the delay.

use std::{thread, time::Duration};

use crossbeam_channel::{Receiver, Sender};

use super::Registry;
use crate::wake::Wake;

/// How long a file's size and time must stand still before it is read.
const SETTLE: Duration = Duration::from_millis(20);
/// How often a folder is looked at when nothing is notified.
const RESCAN: Duration = Duration::from_secs(2);
/// A stop does not wait longer for what a reconcile is doing: compiling, perhaps.
const LONGEST_JOIN: Duration = Duration::from_secs(2);

impl Registry {
    /// Reconciles the folder from now on, on a thread of its own, until the handle is dropped.
    pub fn watch(&self) -> std::io::Result<Option<WatchHandle>> {
        let Some(folder) = self.folder() else {
            return Ok(None);
        };
        let mut wake = Wake::new(folder);
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let waker = wake.waker();
        // A version that fails its first calls is judged at once.
        let _ = self.0.waker.set(waker.clone());
        let registry = self.clone();
        let (end, ended) = crossbeam_channel::bounded::<()>(0);
        thread::Builder::new().name("adapter-watch".to_owned()).spawn(move || {
            // Dropped when the thread ends, however it ends.
            let _end = end;
            let mut next = RESCAN;
            while stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
                wake.wait(next);
                next = registry.reconcile(SETTLE).unwrap_or(RESCAN);
            }
        })?;
        Ok(Some(WatchHandle { stop: Some(stop), waker, ended }))
    }
}

/// Ends the watching when it is dropped.
pub struct WatchHandle {
    stop: Option<Sender<()>>,
    waker: Sender<()>,
    ended: Receiver<()>,
}

impl WatchHandle {
    /// Looks at the folder now.
    pub fn wake(&self) {
        // Full: a look is about to begin anyway.
        let _ = self.waker.try_send(());
    }
}

impl Drop for WatchHandle {
    fn drop(&mut self) {
        self.stop = None;
        self.wake();
        // Nothing is ever sent: this returns when the thread has ended, or after the time.
        let _ = self.ended.recv_timeout(LONGEST_JOIN);
    }
}
