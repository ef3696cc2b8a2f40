//! Connections that are kept: by origin, the one that was used last first. What nobody uses is closed in time.
//!
//! Whoever takes a connection looks whether it still is one, and not under the lock.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::task::JoinHandle;

use super::connection::{Connection, Own, Shared};
use crate::clock::{self, Stopwatch};

/// Shorter than the idle time of the usual load balancers (60 s), so that few requests meet a closing connection.
const IDLE: Duration = Duration::from_secs(30);
/// How often it is looked whether others have closed them, or nobody has used them for too long.
const SWEEP: Duration = Duration::from_secs(5);
/// Idle connections to one origin, and altogether. A channel has 64 deliveries under way at most, unless it is told more.
const OF_ONE: usize = 128;
const OF_ALL: usize = 1024;

#[derive(Default)]
pub(super) struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    /// By scheme, host and port, as a URL begins.
    origins: HashMap<Arc<str>, Origin>,
    /// Of all origins.
    idle: usize,
    sweeper: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Origin {
    /// The last one was used last.
    idle: Vec<(Own, Stopwatch)>,
    shared: Option<(Shared, Stopwatch)>,
}

impl Pool {
    /// A connection that is there already.
    pub(super) fn take(&self, origin: &str) -> Option<Connection> {
        loop {
            let (mut own, since) = {
                let mut state = self.lock();
                let State { origins, idle, .. } = &mut *state;
                let known = origins.get_mut(origin)?;
                if let Some((shared, used)) = known.shared.as_mut().filter(|(shared, _)| shared.is_open()) {
                    *used = Stopwatch::start();
                    return Some(Connection::Shared(shared.clone()));
                }
                let last = known.idle.pop()?;
                *idle -= 1;
                last
            };
            if since.elapsed() < IDLE && own.is_open() {
                return Some(Connection::Own(own));
            }
        }
    }

    /// Keeps a connection for who comes next. One too many is closed.
    pub(super) fn put(self: &Arc<Self>, own: Own) {
        let mut state = self.lock();
        let State { origins, idle, .. } = &mut *state;
        let known = origins.entry(Arc::clone(&own.origin)).or_default();
        if *idle < OF_ALL && known.idle.len() < OF_ONE {
            known.idle.push((own, Stopwatch::start()));
            *idle += 1;
            self.have_swept(&mut state);
        }
    }

    /// Shares a connection with all who come next, unless one is shared already: that is the answer then, and true.
    pub(super) fn share(self: &Arc<Self>, origin: &str, new: Shared) -> (Shared, bool) {
        let mut state = self.lock();
        let known = state.origins.entry(origin.into()).or_default();
        match &known.shared {
            Some((shared, _)) if shared.is_open() => (shared.clone(), true),
            _ => {
                known.shared = Some((new.clone(), Stopwatch::start()));
                self.have_swept(&mut state);
                (new, false)
            }
        }
    }

    /// Takes out what nobody uses any more.
    pub(super) fn sweep(&self) -> Vec<Own> {
        let mut gone = Vec::new();
        let mut state = self.lock();
        let State { origins, idle, .. } = &mut *state;
        origins.retain(|_, origin| {
            gone.extend(origin.idle.extract_if(.., |(own, since)| since.elapsed() >= IDLE || !own.is_open()));
            origin.shared.take_if(|(shared, used)| used.elapsed() >= IDLE || !shared.is_open());
            !origin.idle.is_empty() || origin.shared.is_some()
        });
        *idle = origins.values().map(|origin| origin.idle.len()).sum();
        gone.into_iter().map(|(own, _)| own).collect()
    }

    /// Sweeping ends with the pool, or with the runtime that it was begun on.
    fn have_swept(self: &Arc<Self>, state: &mut State) {
        if state.sweeper.as_ref().is_none_or(JoinHandle::is_finished) {
            state.sweeper = Some(tokio::spawn(sweep(Arc::downgrade(self))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn sweep(pool: Weak<Pool>) {
    loop {
        clock::pause(SWEEP).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.sweep().into_iter().for_each(Own::close);
    }
}
