//! What is asked of the store, on connections of its own, so that a reader never waits for the writer.

mod due;
mod list;
mod state;

use std::{sync::Arc, thread};

use crossbeam_channel::Sender;
use rusqlite::Connection;
use tokio::sync::oneshot;

pub(super) use due::due;
pub use due::{Due, Window};
pub use list::{Attempts, Detail, Filter, Listed};
pub(super) use list::{delivery, events, page};
pub use state::{Counts, Found, Replayable};
pub(super) use state::{channels, counts, find_deliveries, find_events, job, jobs, size};

use super::{StoreError, trouble::Trouble};

type Result<T> = std::result::Result<T, StoreError>;
type Query = Box<dyn FnOnce(&Connection) + Send>;

/// Threads with a connection each, which end when this is dropped; SQLite tidies up when its last connection is closed.
pub(super) struct Readers {
    sender: Option<Sender<Query>>,
    threads: Vec<thread::JoinHandle<()>>,
    trouble: Arc<Trouble>,
}

impl Readers {
    pub fn start(count: usize, trouble: Arc<Trouble>, connect: impl Fn() -> Result<Connection>) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::unbounded::<Query>();
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            let connection = connect()?;
            connection.execute_batch("PRAGMA query_only=ON")?;
            let receiver = receiver.clone();
            let thread = thread::Builder::new()
                .name("store-reader".to_owned())
                .spawn(move || receiver.iter().for_each(|query| query(&connection)))
                .map_err(|_| StoreError::Closed)?;
            threads.push(thread);
        }
        Ok(Self { sender: Some(sender), threads, trouble })
    }

    pub async fn run<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let query: Query = Box::new(move |connection| {
            // Who asked may have gone away.
            let _ = reply.send(query(connection));
        });
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send(query).map_err(|_| StoreError::Closed)?;
        let answer = answer.await.map_err(|_| StoreError::Closed)?;
        answer.inspect_err(|error| self.trouble.note(error))
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}
