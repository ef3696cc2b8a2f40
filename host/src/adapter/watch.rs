//! Reconciles the adapters folder when the file system says that something has changed, and every few seconds whether it
//! does or not: a missed, doubled or overflowing notification changes only the delay.

use std::{thread, time::Duration};

use crossbeam_channel::Sender;

use super::Registry;
use crate::wake::Wake;

/// How long a file's size and time must stand still before it is read.
const SETTLE: Duration = Duration::from_millis(20);
/// How often a folder is looked at when nothing is notified.
const RESCAN: Duration = Duration::from_secs(2);

impl Registry {
    /// Reconciles the folder from now on, on a thread of its own, until the handle is dropped.
    pub fn watch(&self) -> std::io::Result<Option<WatchHandle>> {
        let Some(folder) = self.folder() else {
            return Ok(None);
        };
        let mut wake = Wake::new(folder);
        let (stop, stopped) = crossbeam_channel::bounded::<()>(0);
        let waker = wake.waker();
        let registry = self.clone();
        let thread = thread::Builder::new().name("adapter-watch".to_owned()).spawn(move || {
            let mut next = RESCAN;
            while stopped.try_recv() != Err(crossbeam_channel::TryRecvError::Disconnected) {
                wake.wait(next);
                next = registry.reconcile(SETTLE).unwrap_or(RESCAN);
            }
        })?;
        Ok(Some(WatchHandle { stop: Some(stop), waker, thread: Some(thread) }))
    }
}

/// Ends the watching when it is dropped.
pub struct WatchHandle {
    stop: Option<Sender<()>>,
    waker: Sender<()>,
    thread: Option<thread::JoinHandle<()>>,
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
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}
