//! Bulk work: retry, cancel or replay whatever a selection finds, in steps that are committed together with how far they
//! came, so that it goes on where it was after a crash.

use std::{collections::HashMap, sync::Arc, time::Duration};

use super::{Inner, Phase, Pipeline};
use crate::{
    clock,
    model::{Action, Job, JobId, Selection},
    store::{Step, StoreError, Work},
};

/// Rows that may be looked at in vain before that is written down.
const UNCOMMITTED: i64 = 50_000;
/// How long to wait when the store can't be read or written.
const STORE_TROUBLE: Duration = Duration::from_secs(1);

impl Pipeline {
    /// Begins bulk work, which is then done whatever happens to the host.
    pub async fn begin(&self, action: Action, selection: Selection) -> Result<JobId, StoreError> {
        let now = self.0.clock.now();
        let id = JobId::new(now, rand::random());
        let job = Job {
            id,
            action,
            selection,
            created_at: now,
            ended_at: None,
            stopped: None,
            looked_at: 0,
            of: 0,
            changed: 0,
        };
        self.0.store.begin(job).await?;
        self.0.jobs.notify_one();
        Ok(id)
    }

    /// Stops bulk work; what it has done stays done. False when there is none that goes on.
    pub async fn stop_job(&self, id: JobId) -> Result<bool, StoreError> {
        self.0.store.stop(id, "by hand".to_owned(), self.0.clock.now()).await
    }
}

/// Works on what is unfinished, a step of each in turn.
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
    // How far each has looked: where it found nothing, nothing is committed.
    let mut looked = HashMap::new();
    loop {
        let jobs = inner.store.jobs(true).await?;
        if jobs.is_empty() {
            return Ok(());
        }
        for (job, at) in jobs {
            let after = at.max(looked.get(&job.id).copied().unwrap_or_default());
            match step(inner, &job, at, after).await {
                Ok(at) => drop(looked.insert(job.id, at)),
                Err(error) if inner.store.trouble().is_some() => return Err(error),
                Err(error) => {
                    tracing::error!(job = %job.id, %error, "bulk work is stopped");
                    inner.store.stop(job.id, error.to_string(), inner.clock.now()).await?;
                }
            }
        }
    }
}

/// How far it has come.
async fn step(inner: &Inner, job: &Job, committed: i64, after: i64) -> Result<i64, StoreError> {
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
    // Where nothing was found there is little to commit: after a crash it is looked for again.
    if empty && !ended && at.saturating_sub(committed) < UNCOMMITTED {
        return Ok(at);
    }
    let step = Step { id: job.id, work, at, ended, now: inner.clock.now() };
    inner.store.step(step).await?;
    for handle in inner.lanes().values() {
        handle.lane.refresh();
    }
    Ok(at)
}
