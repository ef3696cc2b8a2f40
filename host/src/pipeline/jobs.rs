//! Bulk work: retry, cancel or replay whatever a selection finds, in steps that are committed together with how far they
//! came, so that it goes on where it was after a crash.

use std::{sync::Arc, time::Duration};

use super::{Inner, Phase, Pipeline};
use crate::{
    clock,
    model::{Action, Job, JobId, Selection},
    store::{Step, StoreError, Work},
};

/// How long to wait when the store can't be read or written.
const STORE_TROUBLE: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Begins bulk work, which is then done whatever happens to the host.
    pub async fn begin(&self, action: Action, selection: Selection) -> Result<JobId, StoreError> {
        let now = self.0.clock.now();
        let id = JobId::new(now, rand::random());
        let job = Job { id, action, selection, created_at: now, ended_at: None, looked_at: 0, of: 0, changed: 0 };
        self.0.store.begin(job).await?;
        self.0.jobs.notify_one();
        Ok(id)
    }
}

/// Works on what is unfinished, one after the other.
pub(super) async fn run(inner: Arc<Inner>) {
    let mut phase = inner.phase.subscribe();
    while *phase.borrow_and_update() == Phase::Running {
        let worked = async {
            loop {
                match work(&inner).await {
                    Ok(()) => inner.jobs.notified().await,
                    Err(error) => {
                        tracing::error!(%error, "bulk work can't go on; trying again");
                        clock::pause(STORE_TROUBLE).await;
                    }
                }
            }
        };
        tokio::select! {
            () = worked => {}
            _ = phase.changed() => {}
        }
    }
}

async fn work(inner: &Inner) -> Result<(), StoreError> {
    for (job, at) in inner.store.jobs(true).await? {
        let (mut at, mut goes_on) = (at, true);
        while goes_on {
            (at, goes_on) = step(inner, &job, at).await?;
        }
    }
    Ok(())
}

/// How far it has come, and whether there is more to do.
async fn step(inner: &Inner, job: &Job, after: i64) -> Result<(i64, bool), StoreError> {
    let (work, empty, at, ended) = match job.action {
        Action::Retry | Action::Cancel => {
            let found = inner.store.find_deliveries(job, after).await?;
            (Work::Act(job.action, found.rows.clone()), found.rows.is_empty(), found.at, found.ended)
        }
        Action::Replay => {
            let found = inner.store.find_events(job, after).await?;
            let now = inner.clock.now();
            let plan = inner.plan.load();
            let events = found.rows.iter().map(|(seq, event)| {
                let channels = match &job.selection.channel {
                    Some(channel) => std::iter::once(channel.as_str()).collect(),
                    None => plan.channels_of(event),
                };
                (*seq, channels.into_iter().filter_map(|channel| plan.delivery(channel, event, now)).collect())
            });
            (Work::Replay(events.collect()), found.rows.is_empty(), found.at, found.ended)
        }
    };
    // Where nothing was found there is nothing to commit: after a crash it is looked for again.
    if empty && !ended {
        return Ok((at, true));
    }
    let step = Step { id: job.id, work, at, ended, now: inner.clock.now() };
    let live = inner.store.step(step).await?;
    for handle in inner.lanes().values() {
        handle.lane.refresh();
    }
    Ok((at, live && !ended))
}
