//! Herald's own events: what becomes of channels and deliveries, routed like any other event.
//!
//! Never about themselves: none goes to the channel that it is about, and a delivery of one that fails is not told of.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Plan, accept::event_id};
use crate::{
    model::{Blame, Change, ChannelState, Delivery, Event, EventType, FailReason, Millis},
    store::NewEvent,
};

/// A channel that has changed.
pub(super) struct News<'a> {
    pub channel: &'a str,
    pub change: Change,
    /// What the channel is now.
    pub state: &'a ChannelState,
    /// Why the last attempt did not succeed; empty when it did.
    pub reason: &'a str,
    pub now: Millis,
}

/// The event, when a route leads it somewhere.
pub(super) fn of(plan: &Plan, news: &News<'_>) -> Option<NewEvent> {
    let News { channel, change, state, reason, now } = *news;
    let blame = state.health.tripped.as_ref().map(|tripped| tripped.blame);
    let (kind, title, body) = match change {
        Change::Failing => (
            EventType::channel_failing(),
            format!("The channel {channel} is failing"),
            format!(
                "{} in a row. The last one: {reason}\n\nWhat is due on it waits, and one delivery after another tries whether it is well again.",
                if blame == Some(Blame::Adapter) {
                    format!("Its adapter hit its limits in {} attempts", state.health.failures)
                } else {
                    format!("{} requests failed", state.health.failures)
                }
            ),
        ),
        Change::Recovered => {
            (EventType::channel_recovered(), format!("The channel {channel} delivers again"), String::new())
        }
        Change::GivenUp => {
            let reason = state.disabled.as_ref().map_or(reason, |disabled| &disabled.reason);
            (
                EventType::channel_disabled(),
                format!("The channel {channel} is disabled"),
                format!(
                    "{reason}\n\nWhat is due on it waits until somebody enables it: `herald channels enable {channel}`"
                ),
            )
        }
    };
    let reason = (change != Change::Recovered).then_some(reason);
    let data = match (change, blame) {
        (Change::Failing, Some(blame)) => json!({ "channel": channel, "reason": reason, "blame": blame }),
        _ => json!({ "channel": channel, "reason": reason }),
    };
    let told = Told { kind, title, body, project: None, subject: channel.to_owned(), data };
    told.for_others(plan, now)
}

/// The event that tells of a delivery that has failed, when a route leads it somewhere.
pub(super) fn delivery_failed(
    plan: &Plan,
    event: &Event,
    delivery: &Delivery,
    why: FailReason,
    reason: Option<&str>,
    now: Millis,
) -> Option<NewEvent> {
    if event.kind.is_reserved() {
        return None;
    }
    let channel = &delivery.channel;
    let data = json!({
        "channel": channel,
        "delivery": delivery.id,
        "attempts": delivery.attempts.saturating_add(1),
        "failed": why,
        "reason": reason,
        "event": event.id,
        "event_type": event.kind,
        "event_title": event.title,
    });
    let told = Told {
        kind: EventType::delivery_failed(),
        title: format!("Not delivered on {channel} ({why}): {}", event.title),
        body: reason.unwrap_or_default().to_owned(),
        project: event.project.clone(),
        subject: delivery.id.to_string(),
        data,
    };
    told.for_others(plan, now)
}

/// The channel that an event of Herald's own is about.
pub(super) fn about(event: &Event) -> Option<String> {
    #[derive(Deserialize)]
    struct About {
        channel: String,
    }
    let about: Option<About> = event.kind.is_reserved().then(|| serde_json::from_str(event.data.get()).ok()).flatten();
    about.map(|about| about.channel)
}

struct Told {
    kind: EventType,
    title: String,
    body: String,
    project: Option<String>,
    subject: String,
    data: Value,
}

impl Told {
    fn for_others(self, plan: &Plan, now: Millis) -> Option<NewEvent> {
        let Self { kind, title, body, project, subject, data } = self;
        let payload = json!({
            "type": kind, "title": title, "body": body, "project": project, "subject": subject, "data": data,
        });
        let event = Event {
            id: event_id(now),
            source: "herald".to_owned(),
            kind,
            title,
            body,
            url: None,
            project,
            subject: Some(subject),
            occurred_at: now,
            received_at: now,
            data: serde_json::value::to_raw_value(&data).unwrap_or_default(),
            payload: payload.to_string().into(),
        };
        let deliveries: Vec<_> =
            plan.channels_of(&event).into_iter().filter_map(|to| plan.delivery(to, &event, now)).collect();
        (!deliveries.is_empty()).then(|| NewEvent { event: event.into(), deliveries })
    }
}
