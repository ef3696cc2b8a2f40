//! The one thread that writes. What has gathered while it was busy goes into one transaction, so that a busy host pays for
//! one sync a batch and not one an event; a quiet one waits for nobody.

use std::{
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender, select};
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{
    StoreError,
    transaction::Transaction,
    trouble::Trouble,
    write::{self, Accepted, Acted, NewDelivery, NewEvent, Prune, Pruned, Settled, Step},
};
use crate::model::{Action, ChannelState, DeliveryId, Job, JobId, Millis};

/// Operations in one commit: bounds the time that the first of them waits.
const BATCH: usize = 512;
/// Where the last commit had so many, the next one waits a moment for more: a commit has its price whatever is in it, and
/// while this thread sleeps nobody has to wake it. Who is alone is not kept waiting.
const BUSY: usize = 8;
const GATHER: Duration = Duration::from_micros(500);
/// How often a store that can't be written is tried.
const PROBE: Duration = Duration::from_secs(1);

pub(super) enum Op {
    Accept(Arc<[NewEvent]>),
    Settle(Vec<Arc<Settled>>),
    Hop(i64, String),
    Channel(Box<(String, ChannelState, Option<NewEvent>)>),
    Act(Action, DeliveryId, Millis),
    Replay(i64, Vec<NewDelivery>, Millis),
    Begin(Job),
    Step(Step),
    Stop(JobId, String, Millis),
    Prune(Prune),
    GiveBack,
}

pub(super) enum Answer {
    Accepted(Vec<Accepted>),
    Settled(Vec<bool>),
    Acted(Acted),
    Pruned(Pruned),
    Told(bool),
    Done,
}

impl Op {
    fn apply(&self, transaction: &mut Transaction<'_>) -> Result<Answer> {
        match self {
            Self::Accept(events) => {
                let accepted = events.iter().map(|event| write::accept(transaction, event));
                return accepted.collect::<Result<_>>().map(Answer::Accepted);
            }
            Self::Settle(settled) => {
                let more = settled.iter().map(|settled| write::settle(transaction, settled));
                return more.collect::<Result<_>>().map(Answer::Settled);
            }
            Self::Hop(seq, record) => write::hop(transaction, *seq, record)?,
            Self::Channel(channel) => {
                let (name, state, news) = &**channel;
                let written = write::channel(transaction, name, state)?;
                if let Some(news) = news.as_ref().filter(|_| written) {
                    write::accept(transaction, news)?;
                }
                return Ok(Answer::Told(written));
            }
            Self::Act(action, id, now) => return write::act(transaction, *action, *id, *now).map(Answer::Acted),
            Self::Replay(event, new, now) => {
                let made = write::replay(transaction, *event, new, *now)?;
                return Ok(Answer::Told(made > 0));
            }
            Self::Begin(job) => write::begin(transaction, job)?,
            Self::Step(step) => return write::step(transaction, step).map(Answer::Told),
            Self::Stop(id, why, now) => return write::stop(transaction, *id, why, *now).map(Answer::Told),
            Self::Prune(what) => return write::prune(transaction, *what).map(Answer::Pruned),
            Self::GiveBack => return write::give_back(transaction).map(Answer::Told),
        }
        Ok(Answer::Done)
    }
}

type Result<T> = std::result::Result<T, StoreError>;
type Waiting = (Op, oneshot::Sender<Result<Answer>>);

/// Told of what has been accepted, right after the commit, in the order of the rows. It must not wait for anything.
pub(super) type OnAccepted = Arc<OnceLock<Box<dyn Fn(&[NewEvent], &[Accepted]) + Send + Sync>>>;

/// The way to the thread, which ends when this is dropped, after what was handed to it.
pub(super) struct Writer {
    sender: Option<Sender<Waiting>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub fn start(connection: Connection, trouble: Arc<Trouble>, on_accepted: OnAccepted) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let (begun, has_begun) = crossbeam_channel::bounded(1);
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || match Transaction::new(&connection) {
                Ok(mut transaction) => {
                    let _ = begun.send(Ok(()));
                    write_all(&mut transaction, &receiver, &trouble, &on_accepted);
                }
                Err(error) => {
                    let _ = begun.send(Err(error));
                }
            })
            .map_err(|_| StoreError::Closed)?;
        has_begun.recv().map_err(|_| StoreError::Closed)??;
        Ok(Self { sender: Some(sender), thread: Some(thread) })
    }

    /// Answers after the commit.
    pub async fn run(&self, op: Op) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        let sender = self.sender.as_ref().ok_or(StoreError::Closed)?;
        sender.send((op, reply)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.sender = None;
        // The last handle may have been let go by whoever is told of what was accepted, which is the thread itself.
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn write_all(
    transaction: &mut Transaction<'_>,
    receiver: &Receiver<Waiting>,
    trouble: &Trouble,
    on_accepted: &OnAccepted,
) {
    let ticks = crossbeam_channel::tick(PROBE);
    let never = crossbeam_channel::never();
    let mut busy = false;
    let mut batch = Vec::with_capacity(BATCH);
    let mut answers = Vec::with_capacity(BATCH);
    loop {
        let first = select! {
            recv(receiver) -> first => match first {
                Ok(first) => first,
                Err(_) => return,
            },
            recv(if trouble.may_pass() { &ticks } else { &never }) -> _ => {
                if probe(transaction).is_ok() {
                    trouble.over();
                }
                continue;
            }
        };
        batch.push(first);
        if busy {
            thread::sleep(GATHER);
        }
        batch.extend(receiver.try_iter().take(BATCH - 1));
        busy = batch.len() >= BUSY;
        let committed = transaction.commit(|transaction| {
            for (op, _) in &batch {
                answers.push(op.apply(transaction)?);
            }
            Ok(())
        });
        match committed {
            Ok(()) => {
                for ((op, reply), answer) in batch.drain(..).zip(answers.drain(..)) {
                    tell(&op, &answer, on_accepted);
                    // Who asked may have gone away; the commit stands.
                    let _ = reply.send(Ok(answer));
                }
            }
            // One of them can't be done: alone, each of the others can.
            Err(_) => {
                answers.clear();
                for (op, reply) in batch.drain(..) {
                    let answer = transaction.commit(|transaction| op.apply(transaction));
                    if let Ok(answer) = &answer {
                        tell(&op, answer, on_accepted);
                    }
                    let _ = reply.send(answer.inspect_err(|error| trouble.note(error)));
                }
            }
        }
    }
}

/// Not left to who asked: that one may have gone away, and nobody would know what is due.
fn tell(op: &Op, answer: &Answer, on_accepted: &OnAccepted) {
    if let (Op::Accept(events), Answer::Accepted(accepted), Some(on_accepted)) = (op, answer, on_accepted.get()) {
        on_accepted(events, accepted);
    }
}

/// Writes more than fits between the lines, and takes it away again.
fn probe(transaction: &mut Transaction<'_>) -> Result<()> {
    for statement in ["INSERT INTO probe (bytes) VALUES (zeroblob(262144))", "DELETE FROM probe"] {
        transaction.commit(|transaction| Ok(transaction.connection.execute(statement, [])?))?;
    }
    Ok(())
}
