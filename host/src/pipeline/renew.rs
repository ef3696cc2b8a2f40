//! What a version of an adapter could not do, another one may: deliveries that failed as `adapter` are tried again, by bulk
//! work, when another version of their adapter serves their channel.
//!
//! Nothing is remembered for that but what each attempt says of its adapter. So each version tries a delivery once, a
//! version that was there before the start is no news, and one that came while the host was down is. A delivery whose
//! event the adapter refused was not failed but judged, and is left alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use super::{Channel, Inner, Pipeline};
use crate::{
    clock,
    model::{Action, AdapterId, FailReason, Selection, State, millis},
    store::{Filter, StoreError},
};

/// How long to wait when the store can't be read or written.
const STORE_TROUBLE: Duration = Duration::from_secs(1);

/// Channels on which an attempt that had begun with one version ended as `adapter` when another one served already.
#[derive(Default)]
pub(super) struct Overtaken {
    /// Held for moments only.
    channels: Mutex<BTreeSet<String>>,
    some: Notify,
}

impl Overtaken {
    fn add(&self, channel: &str) {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).insert(channel.to_owned());
        self.look_again();
    }

    /// A channel may have come, or have another adapter.
    pub fn look_again(&self) {
        self.some.notify_one();
    }

    fn take(&self) -> BTreeSet<String> {
        std::mem::take(&mut *self.channels.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    /// After the commit of a delivery's failure: whoever looked before it, because of the new version, did not find it.
    pub(super) fn note_adapter_failed(&self, channel: &str, by: Option<&AdapterId>) {
        let plan = self.plan.load();
        let serves = plan.channels.get(channel).and_then(|channel| self.registry.get(&channel.adapter));
        if serves.is_some_and(|serves| by.is_some_and(|by| by.digest != serves.id.digest)) {
            self.overtaken.add(channel);
        }
    }
}

/// Looks at the channels of each adapter that is new, at the start at all of them, until the host stops.
pub(super) async fn run(pipeline: Pipeline) {
    let inner = &pipeline.0;
    let mut changes = inner.registry.changes();
    // By channel, the digest of the version that everything has been looked through for.
    let mut looked = BTreeMap::new();
    let work = async {
        loop {
            changes.borrow_and_update();
            if let Err(error) = look(&pipeline, &mut looked).await {
                tracing::error!(%error, "cannot look for what a new version of an adapter may deliver; trying again");
                clock::pause(STORE_TROUBLE).await;
                continue;
            }
            tokio::select! {
                _ = changes.changed() => {}
                () = inner.overtaken.some.notified() => {}
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = pipeline.stopping() => {}
    }
}

async fn look(pipeline: &Pipeline, looked: &mut BTreeMap<String, String>) -> Result<(), StoreError> {
    for channel in pipeline.0.overtaken.take() {
        looked.remove(&channel);
    }
    let plan = pipeline.plan();
    let serving =
        plan.channels.values().filter_map(|channel| Some((channel, pipeline.registry().get(&channel.adapter)?)));
    let new: Vec<_> = serving.filter(|(channel, by)| looked.get(&channel.name) != Some(&by.id.digest)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let counts = pipeline.store().counts().await?;
    let failed: BTreeSet<_> =
        counts.iter().filter(|counts| counts.state == State::Failed).map(|counts| &counts.channel).collect();
    for (channel, adapter) in new {
        if failed.contains(&channel.name) {
            renew(pipeline, channel, &adapter.id).await?;
        }
        looked.insert(channel.name.clone(), adapter.id.digest.clone());
    }
    Ok(())
}

/// Begins bulk work, if there is any to do.
async fn renew(pipeline: &Pipeline, channel: &Channel, by: &AdapterId) -> Result<(), StoreError> {
    let now = pipeline.clock().now();
    let selection = Selection {
        channel: Some(channel.name.clone()),
        state: Some(State::Failed),
        reason: Some(FailReason::Adapter),
        new_version: Some(by.digest.clone()),
        // Nobody has asked for it, so what would be too late stays where it is.
        since: channel.policy.max_age.map(|most| now.saturating_sub(millis(most))),
        ..Selection::default()
    };
    let filter = Filter { selection: selection.clone(), limit: 1, ..Filter::default() };
    if pipeline.store().page(filter).await?.is_empty() {
        return Ok(());
    }
    let job = pipeline.begin(Action::Retry, selection).await?;
    tracing::info!(
        channel = channel.name, adapter = by.name, version = by.version, digest = by.digest, %job,
        "what another version of the adapter has failed is tried again"
    );
    Ok(())
}
