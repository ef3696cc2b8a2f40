//! What people do while the host runs: enable and disable channels, retry and cancel deliveries, replay events.

use std::sync::Arc;

use super::{
    Pipeline,
    lane::Lane,
    news::{self, News},
};
use crate::{
    model::{Action, Change, ChannelState, DeliveryId},
    store::{Acted, NewEvent, StoreError},
};

/// What came of a replay.
#[derive(Debug)]
pub enum Replayed {
    /// The new deliveries.
    Done(Vec<DeliveryId>),
    /// There is no such event.
    NoEvent,
    /// There are several of that id, from these sources.
    Several(Vec<String>),
    /// There is no such channel.
    NoChannel(String),
    /// No route leads it anywhere.
    NoRoute,
}

impl Pipeline {
    /// Lets a channel that was disabled deliver again; false when there is no such channel.
    pub async fn enable(&self, channel: &str) -> Result<bool, StoreError> {
        let Some(lane) = self.known(channel).await? else {
            return Ok(false);
        };
        let this = self.clone();
        to_the_end(async move {
            // An attempt may have changed the channel in between: then it is enabled as that has left it.
            while !this.set(&lane, lane.enabled(this.0.clock.now()), None).await? {}
            lane.refresh();
            Ok(true)
        })
        .await
    }

    /// Stops a channel's deliveries until somebody enables it; false when there is no such channel.
    pub async fn disable(&self, channel: &str, reason: &str) -> Result<bool, StoreError> {
        let Some(lane) = self.known(channel).await? else {
            return Ok(false);
        };
        let (this, reason) = (self.clone(), reason.to_owned());
        to_the_end(async move {
            let now = this.0.clock.now();
            while let Some(state) = lane.disabled(now, &reason) {
                let news = News { channel: &lane.name, change: Change::GivenUp, state: &state, reason: &reason, now };
                let news = news::of(&this.plan(), &news);
                if this.set(&lane, state, news).await? {
                    break;
                }
            }
            lane.wake();
            Ok(true)
        })
        .await
    }

    /// Writes a channel's state down, then takes it over; false when something newer is known by now.
    async fn set(&self, lane: &Lane, state: ChannelState, news: Option<NewEvent>) -> Result<bool, StoreError> {
        let others: Vec<_> = news.iter().flat_map(|new| &new.deliveries).map(|new| new.channel.clone()).collect();
        let written = self.0.store.set_channel(lane.name.clone(), state.clone(), news).await?;
        for channel in &others {
            self.0.wake(channel);
        }
        // What an attempt has changed meanwhile is written with the attempt, and is the newer one.
        Ok(written && lane.remember(state))
    }

    /// A channel's lane, which by then knows what the store remembers. One that is not in the config any more has none, and
    /// gets one that does not run.
    async fn known(&self, channel: &str) -> Result<Option<Arc<Lane>>, StoreError> {
        let remembered = self.0.store.channels(Some(channel.to_owned())).await?.remove(channel);
        let lane = match (self.0.lane(channel), &remembered) {
            (Some(lane), _) => lane,
            (None, Some(_)) => Arc::new(Lane::new(channel)),
            (None, None) => return Ok(None),
        };
        if let Some(state) = remembered {
            lane.remember(state);
        }
        Ok(Some(lane))
    }

    /// Makes a delivery due again, before all others of its channel; or stops it.
    pub async fn act(&self, action: Action, id: DeliveryId) -> Result<Acted, StoreError> {
        let inner = self.0.clone();
        to_the_end(async move {
            let now = inner.clock.now();
            let acted = inner.store.act(action, id, now).await?;
            if let Acted::Done(channel) = &acted
                && let Some(lane) = inner.lane(channel)
            {
                if action == Action::Retry {
                    lane.urge(now);
                }
                lane.refresh();
            }
            Ok(acted)
        })
        .await
    }

    /// Delivers an event again, where the routes lead it now or on the one channel.
    pub async fn replay(
        &self,
        event: &str,
        source: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Replayed, StoreError> {
        let mut found = self.0.store.events(event.to_owned()).await?;
        if let Some(source) = source {
            found.retain(|(_, event)| event.source == source);
        }
        let (seq, event) = match found.as_slice() {
            [] => return Ok(Replayed::NoEvent),
            [one] => one,
            several => {
                return Ok(Replayed::Several(several.iter().map(|(_, event)| event.source.clone()).collect()));
            }
        };
        let plan = self.plan();
        if let Some(channel) = channel.filter(|channel| !plan.channels.contains_key(*channel)) {
            return Ok(Replayed::NoChannel(channel.to_owned()));
        }
        let channels = channel.map_or_else(|| plan.channels_of(event), |channel| std::iter::once(channel).collect());
        let now = self.0.clock.now();
        let new: Vec<_> = channels.into_iter().filter_map(|channel| plan.delivery(channel, event, now)).collect();
        if new.is_empty() {
            return Ok(Replayed::NoRoute);
        }
        let (ids, names): (Vec<_>, Vec<_>) = new.iter().map(|new| (new.id, new.channel.clone())).unzip();
        let (inner, seq) = (self.0.clone(), *seq);
        let replayed = to_the_end(async move {
            let replayed = inner.store.replay(seq, new, now).await?;
            for name in &names {
                inner.wake(name);
            }
            Ok(replayed)
        });
        Ok(if replayed.await? { Replayed::Done(ids) } else { Replayed::NoEvent })
    }
}

/// Does it to its end, though who asked may go away in the middle: what is committed has to be told to the lanes.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(work).await.map_err(|_| StoreError::Closed)?
}
