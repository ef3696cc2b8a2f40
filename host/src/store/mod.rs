//! Events, deliveries and attempts in one SQLite file.
//!
//! The only place that knows SQL. Reached through [`Store`], whose operations are the domain's; nothing is answered before
//! its commit. Imports nothing else of this crate but `model`.

mod audit;
mod error;
mod file;
mod read;
mod rows;
mod schema;
mod transaction;
mod trouble;
mod write;
mod writer;

use std::{collections::HashMap, fs::File, path::Path, sync::Arc};

use rusqlite::Connection;
use tokio::sync::watch;

pub use error::StoreError;
pub use read::{Attempts, Counts, Detail, Due, Filter, Found, Listed, Replayable, Window};
pub use write::{
    Accepted, Acted, HopAfter, NewDelivery, NewEvent, Next, Prune, Pruned, Settled, Settlement, Step, Work,
};

use crate::model::{Action, ChannelState, DeliveryId, Event, Job, JobId, Millis};
use audit::Audit;
use read::Readers;
use trouble::Trouble;
use writer::{Answer, OnAccepted, Op, Writer};

/// Connections that tell channels what is due.
const DUE_READERS: usize = 2;
/// Connections for everything that people ask, which may take longer.
const READERS: usize = 2;

/// A cheap handle; the file is closed when the last one is dropped.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    /// Dropped first: it has nothing to finish.
    _audit: Option<Audit>,
    on_accepted: OnAccepted,
    due: Readers,
    questions: Readers,
    /// Dropped after the readers: of two connections that are closed at the same time neither may find itself the last one,
    /// which brings the log into the file.
    writer: Writer,
    trouble: Arc<Trouble>,
    /// Held so that no second host delivers the same deliveries.
    _lock: File,
}

type Result<T> = std::result::Result<T, StoreError>;

impl Store {
    /// Opens the file, making or migrating it where needed.
    pub fn open(path: &Path) -> Result<Self> {
        let lock = file::lock(path)?;
        Self::open_locked(path, lock).map_err(|error| match error {
            StoreError::Sqlite(_) | StoreError::Damaged(_) => {
                StoreError::Unusable { path: path.to_owned(), cause: Box::new(error) }
            }
            error => error,
        })
    }

    fn open_locked(path: &Path, lock: File) -> Result<Self> {
        let unclean = file::has_log(path);
        schema::check(&Connection::open(path)?, path)?;
        let mut connection = file::connect(path)?;
        schema::migrate(&mut connection)?;
        let trouble = Arc::new(Trouble::default());
        let on_accepted = OnAccepted::default();
        let readers = |count| Readers::start(count, trouble.clone(), || file::connect(path));
        let audit = || Audit::start(file::connect(path)?, path, trouble.clone());
        Ok(Self(Arc::new(Inner {
            _audit: if unclean { Some(audit()?) } else { None },
            due: readers(DUE_READERS)?,
            questions: readers(READERS)?,
            writer: Writer::start(connection, trouble.clone(), on_accepted.clone())?,
            on_accepted,
            trouble,
            _lock: lock,
        })))
    }

    /// Why nothing is accepted now, if that is so.
    pub fn trouble(&self) -> Option<String> {
        self.0.trouble.reason()
    }

    /// Sees every change of [`Self::trouble`].
    pub fn troubles(&self) -> watch::Receiver<Option<String>> {
        self.0.trouble.changes()
    }

    /// Has each acceptance that comes after this call told, right after its commit and in the order of the rows, whether or
    /// not who asked for it still waits. Only the first such call counts. What is told must not wait for anything.
    pub fn on_accepted(&self, told: impl Fn(&[NewEvent], &[Accepted]) + Send + Sync + 'static) {
        let _ = self.0.on_accepted.set(Box::new(told));
    }

    /// Stores events, each with a pending delivery for each of its channels, all of them or none. An event whose id is
    /// already there is answered with what the first one got.
    pub async fn accept(&self, events: impl Into<Arc<[NewEvent]>>) -> Result<Vec<Accepted>> {
        if let Some(reason) = self.trouble() {
            return Err(StoreError::Trouble(reason));
        }
        match self.0.writer.run(Op::Accept(events.into())).await? {
            Answer::Accepted(accepted) => Ok(accepted),
            _ => Err(StoreError::Closed),
        }
    }

    /// Records attempts and where they leave their deliveries, all of them or none. For each: true when more has become due
    /// on its channel than the settlement says.
    pub async fn settle(&self, settled: Vec<Arc<Settled>>) -> Result<Vec<bool>> {
        match self.0.writer.run(Op::Settle(settled)).await? {
            Answer::Settled(more) => Ok(more),
            _ => Err(StoreError::Closed),
        }
    }

    /// Keeps the next request of an attempt, before it is sent.
    pub async fn keep_hop(&self, seq: i64, record: String) -> Result<()> {
        self.0.writer.run(Op::Hop(seq, record)).await.map(drop)
    }

    /// Remembers what a channel has come to, and tells of it; false when something newer is remembered.
    pub async fn set_channel(&self, name: String, state: ChannelState, news: Option<NewEvent>) -> Result<bool> {
        self.tell(Op::Channel(Box::new((name, state, news)))).await
    }

    /// Retries or cancels a delivery.
    pub async fn act(&self, action: Action, id: DeliveryId, now: Millis) -> Result<Acted> {
        match self.0.writer.run(Op::Act(action, id, now)).await? {
            Answer::Acted(acted) => Ok(acted),
            _ => Err(StoreError::Closed),
        }
    }

    /// Gives an event new deliveries; false when it is gone.
    pub async fn replay(&self, event: i64, new: Vec<NewDelivery>, now: Millis) -> Result<bool> {
        self.tell(Op::Replay(event, new, now)).await
    }

    /// Writes bulk work down, so that it survives a restart.
    pub async fn begin(&self, job: Job) -> Result<()> {
        self.0.writer.run(Op::Begin(job)).await.map(drop)
    }

    /// Does a step of bulk work; false when that has been ended.
    pub async fn step(&self, step: Step) -> Result<bool> {
        self.tell(Op::Step(step)).await
    }

    /// Stops bulk work before its end, with the reason; false when there is none that goes on.
    pub async fn stop(&self, id: JobId, why: String, now: Millis) -> Result<bool> {
        self.tell(Op::Stop(id, why, now)).await
    }

    /// Takes away some of what is to go.
    pub async fn prune(&self, what: Prune) -> Result<Pruned> {
        match self.0.writer.run(Op::Prune(what)).await? {
            Answer::Pruned(pruned) => Ok(pruned),
            _ => Err(StoreError::Closed),
        }
    }

    /// Hands some of the space that is not used any more back to the file system; true when there is more.
    pub async fn give_back(&self) -> Result<bool> {
        self.tell(Op::GiveBack).await
    }

    async fn tell(&self, op: Op) -> Result<bool> {
        match self.0.writer.run(op).await? {
            Answer::Told(told) => Ok(told),
            _ => Err(StoreError::Closed),
        }
    }

    /// What is due on a channel, the longest due first, without what is in hand already; and when more will be.
    pub async fn due(&self, channel: &str, now: Millis, in_hand: Vec<DeliveryId>, limit: usize) -> Result<Window> {
        let channel = channel.to_owned();
        self.0.due.run(move |c| read::due(c, &channel, now, &in_hand, limit)).await
    }

    /// What is remembered of the channels, or of the one.
    pub async fn channels(&self, only: Option<String>) -> Result<HashMap<String, ChannelState>> {
        self.0.due.run(move |c| read::channels(c, only.as_deref())).await
    }

    /// Deliveries, the newest first.
    pub async fn page(&self, filter: Filter) -> Result<Vec<Listed>> {
        self.0.questions.run(move |c| read::page(c, &filter)).await
    }

    /// A delivery with its event and its last attempts.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Detail>> {
        self.delivery_with(id, Attempts::default()).await
    }

    /// A delivery with its event and some of its attempts.
    pub async fn delivery_with(&self, id: DeliveryId, which: Attempts) -> Result<Option<Detail>> {
        self.0.questions.run(move |c| read::delivery(c, id, which)).await
    }

    /// The events with that id, one a source, with their rows.
    pub async fn events(&self, id: String) -> Result<Vec<(i64, Event)>> {
        self.0.questions.run(move |c| read::events(c, &id)).await
    }

    /// How many deliveries each channel has in each state.
    pub async fn counts(&self) -> Result<Vec<Counts>> {
        self.0.questions.run(read::counts).await
    }

    /// Bytes of the file that are in use.
    pub async fn size(&self) -> Result<u64> {
        self.0.questions.run(read::size).await
    }

    /// Bulk work, with the row that it has come to: what is unfinished, or all, the newest first.
    pub async fn jobs(&self, unfinished: bool) -> Result<Vec<(Job, i64)>> {
        self.0.questions.run(move |c| read::jobs(c, unfinished)).await
    }

    /// One piece of bulk work.
    pub async fn job(&self, id: JobId) -> Result<Option<Job>> {
        self.0.questions.run(move |c| read::job(c, id)).await
    }

    /// The deliveries that the next step of bulk work is to change.
    pub async fn find_deliveries(&self, job: &Job, after: i64) -> Result<Found<i64>> {
        let (selection, id) = (job.selection.clone(), job.id);
        self.0.questions.run(move |c| read::find_deliveries(c, &selection, after, id)).await
    }

    /// The events that the next step of a replay is to deliver again.
    pub async fn find_events(&self, job: &Job, after: i64) -> Result<Found<Replayable>> {
        let (selection, id) = (job.selection.clone(), job.id);
        self.0.questions.run(move |c| read::find_events(c, &selection, after, id)).await
    }
}
