//! The one thread that writes. What has gathered while it was busy goes into one transaction, so that a busy host pays for
//! one sync a batch and not one an event; a quiet one waits for nobody.

use std::{sync::Arc, thread};

use crossbeam_channel::{Receiver, Sender};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::oneshot;

use super::{
    StoreError,
    write::{self, Accepted, NewEvent, Settlement},
};

/// Operations in one commit: bounds the time that the first of them waits.
const BATCH: usize = 512;

pub(super) enum Op {
    Accept(Vec<NewEvent>),
    Settle(Arc<Settlement>),
    Enable(String),
}

pub(super) enum Answer {
    Accepted(Vec<Accepted>),
    Done,
}

impl Op {
    fn apply(&self, connection: &Connection) -> Result<Answer> {
        match self {
            Self::Accept(events) => {
                events.iter().map(|event| write::accept(connection, event)).collect::<Result<_>>().map(Answer::Accepted)
            }
            Self::Settle(settlement) => write::settle(connection, settlement).map(|()| Answer::Done),
            Self::Enable(channel) => write::enable(connection, channel).map(|()| Answer::Done),
        }
    }
}

type Result<T> = std::result::Result<T, StoreError>;
type Waiting = (Op, oneshot::Sender<Result<Answer>>);

/// The way to the thread, which ends when this is dropped, after what was handed to it.
pub(super) struct Writer {
    sender: Option<Sender<Waiting>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    pub fn start(connection: Connection) -> Result<Self> {
        let (sender, receiver) = crossbeam_channel::unbounded();
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_all(connection, &receiver))
            .map_err(|_| StoreError::Closed)?;
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
        if let Some(thread) = self.thread.take() {
            // A panic there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

fn write_all(mut connection: Connection, receiver: &Receiver<Waiting>) {
    while let Ok(first) = receiver.recv() {
        let mut batch = vec![first];
        batch.extend(receiver.try_iter().take(BATCH - 1));
        match commit(&mut connection, batch.iter().map(|(op, _)| op)) {
            Ok(answers) => {
                for ((_, reply), answer) in batch.into_iter().zip(answers) {
                    // Who asked may have gone away; the commit stands.
                    let _ = reply.send(Ok(answer));
                }
            }
            // One of them can't be done: alone, each of the others can.
            Err(_) => {
                for (op, reply) in batch {
                    let answer = commit(&mut connection, [&op]);
                    let _ = reply.send(answer.and_then(|a| a.into_iter().next().ok_or(StoreError::Closed)));
                }
            }
        }
    }
}

fn commit<'a>(connection: &mut Connection, ops: impl IntoIterator<Item = &'a Op>) -> Result<Vec<Answer>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let answers = ops.into_iter().map(|op| op.apply(&transaction)).collect::<Result<Vec<_>>>()?;
    transaction.commit()?;
    Ok(answers)
}
