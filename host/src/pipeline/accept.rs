//! From events to stored events with a pending delivery for each channel that wants them.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use super::{
    Inner, Pipeline, Plan,
    incoming::{self, BadInput, Post, Surroundings},
    news,
};
use crate::{
    model::{DeliveryId, Event, EventType, Millis},
    store::{Accepted, Due, NewDelivery, NewEvent, StoreError},
};

/// Why a post was not accepted.
#[derive(Debug)]
pub enum NotAccepted {
    /// It is the sender's fault.
    Bad(BadInput),
    /// The store could not take it.
    Store(StoreError),
}

/// What a post came to.
#[derive(Debug)]
pub struct Receipt {
    /// In the order in which they came.
    pub events: Vec<Accepted>,
    /// One event is answered as one, a list as a list.
    pub is_list: bool,
}

impl Pipeline {
    /// Reads a post and stores its events, all or none. Returns after the commit.
    pub async fn accept(&self, post: &Post<'_>) -> Result<Receipt, NotAccepted> {
        let plan = self.plan();
        let now = self.0.clock.now();
        let read =
            incoming::read(post, &Surroundings { now, app_url: plan.app_url.as_ref(), new_id: &|| event_id(now) })
                .map_err(NotAccepted::Bad)?;
        let events = read
            .events
            .into_iter()
            .map(|event| {
                let channels = plan.channels_of(&event);
                let deliveries =
                    channels.into_iter().filter_map(|channel| plan.delivery(channel, &event, now)).collect();
                NewEvent { event: event.into(), deliveries }
            })
            .collect::<Vec<_>>();
        let events = self.0.store.accept(events).await.map_err(NotAccepted::Store)?;
        Ok(Receipt { events, is_list: read.is_list })
    }

    /// Accepts a test event for one channel, whatever the routes say; `None` when there is no such channel.
    pub async fn test(&self, channel: &str) -> Result<Option<DeliveryId>, StoreError> {
        let now = self.0.clock.now();
        let event = test_event(channel, now);
        let Some(delivery) = self.plan().delivery(channel, &event, now) else {
            return Ok(None);
        };
        let delivery = NewDelivery { first: true, ..delivery };
        let id = delivery.id;
        self.0.store.accept([NewEvent { event: event.into(), deliveries: vec![delivery] }]).await?;
        Ok(Some(id))
    }
}

impl Inner {
    /// Hands what has been accepted to the lanes of its channels.
    pub(super) fn hand_over(&self, events: &[NewEvent], accepted: &[Accepted]) {
        for (new, accepted) in events.iter().zip(accepted) {
            for (delivery, row) in new.deliveries.iter().zip(&accepted.rows) {
                match (self.lane(&delivery.channel), row) {
                    (Some(lane), Some(row)) if !delivery.first => lane.offer(Due::new(*row, delivery, &new.event)),
                    (Some(lane), Some(_)) => {
                        // Somebody waits for it.
                        lane.urge(self.clock.now());
                        lane.refresh();
                    }
                    // It waits for another one, whose end makes it due; or nobody delivers it now.
                    _ => {}
                }
            }
        }
        let new = accepted.iter().filter(|accepted| !accepted.duplicate).count();
        self.totals.accepted.fetch_add(new as u64, Ordering::Relaxed);
    }
}

impl Plan {
    /// The channels that want an event, each once; what Herald tells of a channel never goes there.
    pub(super) fn channels_of(&self, event: &Event) -> BTreeSet<&str> {
        let about = news::about(event);
        let routes = self.routes.iter().filter(|route| route.matches(event));
        routes.map(|route| route.channel.as_str()).filter(|channel| about.as_deref() != Some(channel)).collect()
    }

    /// A delivery of an event on a channel; `None` when there is no such channel.
    pub(super) fn delivery(&self, channel: &str, event: &Event, now: Millis) -> Option<NewDelivery> {
        let channel = self.channels.get(channel)?;
        Some(NewDelivery {
            id: DeliveryId::new(now, rand::random()),
            channel: channel.name.clone(),
            sequence: event.subject.clone().filter(|_| channel.ordered),
            first: false,
        })
    }
}

pub(super) fn event_id(now: u64) -> String {
    let id = DeliveryId::new(now, rand::random()).to_string();
    id.replacen("dlv_", "evt_", 1)
}

/// The event that `channels test` sends.
pub fn test_event(channel: &str, now: u64) -> Event {
    let payload = serde_json::json!({
        "type": "test",
        "title": "Test message from Herald",
        "body": format!("If you can read this, the channel `{channel}` works."),
        "data": { "channel": channel },
    });
    let data = serde_json::value::to_raw_value(&serde_json::json!({ "channel": channel }));
    let text = |name: &str| payload.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    Event {
        id: event_id(now),
        source: String::new(),
        kind: EventType::test(),
        title: text("title"),
        body: text("body"),
        url: None,
        project: None,
        subject: None,
        occurred_at: now,
        received_at: now,
        data: data.unwrap_or_default(),
        payload: payload.to_string().into(),
    }
}
