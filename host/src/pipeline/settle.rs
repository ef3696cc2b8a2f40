//! From the end of an attempt to what is written down: the account, what becomes of the delivery and of the channel, and
//! what others are told.

use std::time::Duration;

use super::{
    deliver::{End, Work},
    lane::{Lane, Told},
    news::{self, News},
};
use crate::model::{Attempt, Blame, FailReason, Millis, Outcome, Policy, Sign, Tried, Wait, millis};
use crate::store::{HopAfter, Next, Settlement};

/// Of what an adapter says, in bytes: why it ended so, and what it leaves for the next event of the subject. Both are kept, and
/// are sentences and ids where they mean well.
const LONGEST_REASON: usize = 4 * 1024;
const LONGEST_REFERENCE: usize = 4 * 1024;

impl Work<'_> {
    /// The account of the attempt, and where it leaves the delivery.
    pub fn settle(self, end: &End, duration_us: u64, lane: &Lane) -> Settlement {
        let now = self.inner.clock.now();
        let channel = &self.served.channel;
        let delivered = matches!(end, End::Delivered { .. });
        let sign = if self.over_limit { Sign::Ill(Blame::Adapter) } else { Sign::of(delivered, self.exchanges.last()) };
        let asked = match end {
            End::Retry { after_ms, .. } => channel.policy.asked(after_ms.map(Duration::from_millis)),
            _ => None,
        };
        let next = self.next(end, asked, now);
        let (blame, reason) = account(end, channel.policy.max_age);
        // What an adapter or a service says may hold what it was sent.
        let reason = reason.map(|reason| shortened(self.secrets.redact(&reason).into_owned()));
        let reason = match next {
            Next::Failed(FailReason::Exhausted) => reason.map(|reason| reason + &self.no_more(end, asked, now)),
            _ => reason,
        };
        let disable = matches!(end, End::Disable(_)).then(|| reason.clone().unwrap_or_default());
        let told = Told {
            sign,
            began: self.started_at,
            now,
            quiet_until: asked.map(|asked| now.saturating_add(millis(asked))),
            disable: disable.as_deref(),
            reason: reason.as_deref().unwrap_or_default(),
            quiet: self.due.event.kind.is_reserved(),
        };
        let (change, state) = lane.note(&told, &channel.breaker);
        let plan = self.inner.plan.load();
        let delivery = &self.due.delivery;
        let failed = |why| news::delivery_failed(&plan, &self.due.event, delivery, why, reason.as_deref(), now);
        let thread = match end {
            End::Delivered { reference } => self.due.event.subject.clone().zip(self.short(reference.as_ref()).cloned()),
            _ => None,
        };
        Settlement {
            seq: self.due.seq,
            since: self.due.delivery.since,
            now,
            hop: if self.hops == 0 || matches!(next, Next::Again { .. }) { HopAfter::None } else { HopAfter::Gone },
            thread: thread.map(|(subject, reference)| (channel.name.clone(), subject, reference)),
            news: change
                .and_then(|change| {
                    news::of(
                        &plan,
                        &News { channel: &channel.name, change, state: &lane.channel(), reason: told.reason, now },
                    )
                })
                .into_iter()
                .collect(),
            failure: match next {
                Next::Failed(why) => failed(why),
                _ => None,
            },
            fallback: match (&channel.fallback, next) {
                (Some(fallback), Next::Failed(FailReason::Exhausted))
                    if news::about(&self.due.event).as_ref() != Some(fallback) =>
                {
                    plan.delivery(fallback, &self.due.event, now)
                }
                _ => None,
            },
            channel: channel.name.clone(),
            state,
            attempt: Attempt {
                number: self.number(),
                started_at: self.started_at,
                duration_us,
                outcome: Outcome::from(end),
                reason: if disable.is_some() {
                    reason.map(|reason| format!("the channel is disabled: {reason}"))
                } else {
                    reason
                },
                blame,
                adapter: Some(self.served.adapter.id.clone()),
                exchanges: self.exchanges,
            }
            .without_payload(&self.due.event.payload),
            next,
        }
    }

    /// Why there is no other attempt, and who gets the delivery now.
    fn no_more(&self, end: &End, asked: Option<Duration>, now: Millis) -> String {
        let channel = &self.served.channel;
        let ageless = Policy { max_age: None, ..channel.policy.clone() };
        let by_age = ageless.wait(self.tried(now), asked, 0.5).is_some();
        let why = match (end, channel.policy.max_age) {
            (End::TooOld, _) => String::new(),
            (_, Some(most)) if by_age => {
                format!("; at the next attempt it would be older than `max_age`, {}", humantime::format_duration(most))
            }
            _ => "; that was the last attempt of the schedule".to_owned(),
        };
        match &channel.fallback {
            Some(fallback) => format!("{why}; the channel `{fallback}` takes over"),
            None => why,
        }
    }

    /// A person's retry begins the schedule anew, and gives no new attempts that use up none of it.
    fn tried(&self, now: Millis) -> Tried {
        let delivery = &self.due.delivery;
        let free = delivery.attempts.saturating_sub(delivery.step);
        Tried { step: delivery.step, free, age: self.due.age(now) }
    }

    /// The reference, unless it is none that a service would give.
    fn short<'r>(&self, reference: Option<&'r String>) -> Option<&'r String> {
        let length = reference?.len();
        if length > LONGEST_REFERENCE {
            let (channel, adapter) = (&self.served.channel.name, &self.served.adapter.id);
            tracing::warn!(channel, %adapter, length, "the adapter left a reference longer than {LONGEST_REFERENCE} bytes: it is not kept");
            return None;
        }
        reference
    }

    fn next(&self, end: &End, asked: Option<Duration>, now: Millis) -> Next {
        let step = self.due.delivery.step;
        match end {
            End::Delivered { .. } => Next::Delivered,
            End::Retry { .. } => match self.served.channel.policy.wait(self.tried(now), asked, rand::random()) {
                None => Next::Failed(FailReason::Exhausted),
                Some(Wait { delay, step }) => Next::Again { at: now.saturating_add(millis(delay)), step },
            },
            // Due at once, a disabled channel's when somebody enables it.
            End::Renewed(_) | End::Disable(_) => Next::Again { at: now, step },
            End::Rejected(_) => Next::Failed(FailReason::Rejected),
            End::TooOld => Next::Failed(FailReason::Exhausted),
            End::Failed { reason, .. } => Next::Failed(*reason),
        }
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > LONGEST_REASON {
        reason.truncate(reason.floor_char_boundary(LONGEST_REASON));
        reason.push('…');
    }
    reason
}

/// Whose fault it is, and why.
fn account(end: &End, max_age: Option<Duration>) -> (Option<Blame>, Option<String>) {
    match end {
        End::Delivered { .. } => (None, None),
        End::Retry { reason, blame, .. } => (Some(*blame), Some(reason.clone())),
        End::Rejected(reason) | End::Disable(reason) => (Some(Blame::Receiver), Some(reason.clone())),
        End::Renewed(reason) => (Some(Blame::Settings), Some(reason.clone())),
        End::TooOld => {
            let most = humantime::format_duration(max_age.unwrap_or_default());
            (
                Some(Blame::Settings),
                Some(format!("it is older than the channel's `max_age` of {most}: nothing was sent")),
            )
        }
        End::Failed { blame, message, .. } => (Some(*blame), Some(message.clone())),
    }
}
