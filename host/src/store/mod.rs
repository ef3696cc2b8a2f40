//! Events, deliveries and attempts in one SQLite file.
//!
//! The only place that knows SQL. Reached through [`Store`], whose operations are the domain's; nothing is answered before
//! its commit. Imports nothing else of this crate but `model`.

mod read;
mod rows;
mod schema;
mod write;
mod writer;

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::Connection;

pub use read::{Counts, Detail, DisabledChannel, Filter, Job, Listed, Window};
pub use write::{Accepted, NewDelivery, NewEvent, Next, Settlement};

use crate::model::{DeliveryId, Millis};
use writer::{Answer, Op, Writer};

/// Why the store could not do its job.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file could not be opened or made.
    #[error("cannot open the store {path}: {cause}; set `store.path` to a file that this user can write")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
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
    #[error("the store failed: {0}")]
    Sqlite(Arc<rusqlite::Error>),
    /// What stands in the store is not what this program writes.
    #[error("the store holds a row that cannot be read: {0}")]
    Damaged(String),
    /// The host is stopping.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(Arc::new(error))
    }
}

/// A cheap handle; the file is closed when the last one is dropped.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    writer: Writer,
    readers: read::Readers,
    /// Held so that no second host delivers the same deliveries.
    _lock: File,
}

impl Store {
    /// Opens the file, making or migrating it where needed.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        schema::check(&Connection::open(path)?, path)?;
        let mut connection = connect(path)?;
        schema::migrate(&mut connection)?;
        Ok(Self(Arc::new(Inner {
            writer: Writer::start(connection)?,
            readers: read::Readers::start(|| connect(path))?,
            _lock: lock,
        })))
    }

    /// Stores events, each with a pending delivery for each of its channels, all of them or none. An event whose id is
    /// already there is answered with what the first one got.
    pub async fn accept(&self, events: Vec<NewEvent>) -> Result<Vec<Accepted>, StoreError> {
        match self.0.writer.run(Op::Accept(events)).await? {
            Answer::Accepted(accepted) => Ok(accepted),
            Answer::Done => Err(StoreError::Closed),
        }
    }

    /// Records an attempt and where it leaves the delivery.
    pub async fn settle(&self, settlement: Arc<Settlement>) -> Result<(), StoreError> {
        self.0.writer.run(Op::Settle(settlement)).await.map(drop)
    }

    /// Lets a channel that was disabled deliver again.
    pub async fn enable(&self, channel: String) -> Result<(), StoreError> {
        self.0.writer.run(Op::Enable(channel)).await.map(drop)
    }

    /// What is due on a channel, the longest due first, without what is in hand already; and when more will be.
    pub async fn due(
        &self,
        channel: &str,
        now: Millis,
        in_hand: Vec<DeliveryId>,
        limit: usize,
    ) -> Result<Window, StoreError> {
        let channel = channel.to_owned();
        self.0.readers.run(move |c| read::due(c, &channel, now, &in_hand, limit)).await
    }

    /// Deliveries, the newest first.
    pub async fn page(&self, filter: Filter) -> Result<Vec<Listed>, StoreError> {
        self.0.readers.run(move |c| read::page(c, &filter)).await
    }

    /// A delivery with its event and its attempts.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Detail>, StoreError> {
        self.0.readers.run(move |c| read::delivery(c, id)).await
    }

    /// How many deliveries each channel has in each state.
    pub async fn counts(&self) -> Result<Vec<Counts>, StoreError> {
        self.0.readers.run(read::counts).await
    }

    /// The channels that are disabled.
    pub async fn disabled(&self) -> Result<Vec<DisabledChannel>, StoreError> {
        self.0.readers.run(read::disabled).await
    }
}

/// Makes the file where there is none, private, as events are nobody else's business; and holds it against other hosts.
fn lock(path: &Path) -> Result<File, StoreError> {
    let open = |cause| StoreError::Open { path: path.to_owned(), cause };
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
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(path.to_owned())),
        Err(TryLockError::Error(cause)) => Err(open(cause)),
    }
}

fn private(options: &mut OpenOptions) -> &OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// A connection with the settings that durability rests on.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA temp_store=MEMORY;",
    )?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}
