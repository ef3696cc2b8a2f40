//! How many connections there are, and who goes when one more comes than there is room for: whoever has waited for the
//! longest between requests, or for the end of a first head.
//!
//! A new one is never turned away, so that no crowd of silent clients shuts out whoever has something to say. Must not end a
//! request that is under way.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::slow::Talk;

/// How long a new connection waits before it looks again for one that may be closed, while all have a request under way.
const SOON: Duration = Duration::from_millis(20);
/// How long it waits for the place of a connection that is being closed before another one is closed, too.
const ENDING: Duration = Duration::from_secs(5);

/// All connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Crowd(Arc<Inner>);

struct Inner {
    most: usize,
    places: Arc<Semaphore>,
    /// By their numbers, held for moments.
    talks: Mutex<BTreeMap<u64, Arc<Talk>>>,
    /// Counts what happens on connections: whose number is the lowest has waited for the longest.
    moments: AtomicU64,
    /// There was no place free for the last one who came: it is told once, and not for each.
    was_full: AtomicBool,
}

/// A connection's place, given back when this is dropped.
pub(super) struct Place {
    number: u64,
    pub talk: Arc<Talk>,
    crowd: Crowd,
    _permit: OwnedSemaphorePermit,
}

impl Crowd {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most,
            places: Arc::new(Semaphore::new(most)),
            talks: Mutex::default(),
            moments: AtomicU64::default(),
            was_full: AtomicBool::default(),
        }))
    }

    /// A place for one more, as soon as there is one. While every other has a request under way, that is when one of these ends.
    pub async fn place(&self) -> Place {
        let places = &self.0.places;
        let permit = loop {
            if let Ok(permit) = places.clone().try_acquire_owned() {
                break permit;
            }
            if !self.0.was_full.swap(true, Relaxed) {
                tracing::warn!(
                    most = self.0.most,
                    "the API has as many connections as there may be: for each new one the one is closed that has waited for the longest"
                );
            }
            let wait = if self.send_away() { ENDING } else { SOON };
            if let Ok(Ok(permit)) = tokio::time::timeout(wait, places.clone().acquire_owned()).await {
                break permit;
            }
        };
        if !self.is_full_by_half() {
            self.0.was_full.store(false, Relaxed);
        }
        let number = self.moment();
        let talk = Arc::new(Talk::since(number));
        self.talks().insert(number, talk.clone());
        Place { number, talk, crowd: self.clone(), _permit: permit }
    }

    /// Whether more than half of all places are taken.
    pub fn is_full_by_half(&self) -> bool {
        self.0.places.available_permits() < self.0.most / 2
    }

    /// The number of what happens now.
    pub fn moment(&self) -> u64 {
        self.0.moments.fetch_add(1, Relaxed)
    }

    /// Closes the connection that has waited for the longest; false when none may be closed.
    fn send_away(&self) -> bool {
        let talks = self.talks();
        let longest =
            talks.values().filter_map(|talk| Some((talk.waits_since()?, talk))).min_by_key(|(since, _)| *since);
        longest.is_some_and(|(_, talk)| talk.end())
    }

    fn talks(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Talk>>> {
        self.0.talks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.talks().remove(&self.number);
    }
}
