//! One attempt of a delivery: render, send, interpret, perhaps again, settle. What goes wrong on the way is data.

use std::{sync::Arc, time::Duration};

use super::{Inner, schedule::Lane, secrets::Served};
use crate::{
    adapter::CallError,
    clock::{self, Stopwatch},
    model::{
        Attempt, Blame, Context, Exchange, FailReason, Millis, Outcome, Request, Response, TransportError, Verdict,
        Wait, judge_by_status,
    },
    outbound::{self, Destination, Refused, Sealed},
    store::{Job, Next, Settlement},
};

/// Requests of one attempt: an adapter that never comes to an end is stopped here.
const HOPS: usize = 8;
/// How long to wait before a settlement is tried again that the store could not take.
const STORE_TROUBLE: Duration = Duration::from_millis(500);

/// What an attempt came to, before the schedule is asked.
enum End {
    Delivered {
        reference: Option<String>,
    },
    Retry {
        reason: String,
        after_ms: Option<u64>,
        blame: Blame,
    },
    Rejected(String),
    Disable(String),
    /// No request, or no sense in the answer: not the receiver's doing.
    Failed {
        reason: FailReason,
        blame: Blame,
        message: String,
    },
}

impl From<CallError> for End {
    fn from(error: CallError) -> Self {
        let (message, blame) = (error.to_string(), Blame::Adapter);
        if error.may_pass {
            Self::Retry { reason: message, after_ms: None, blame }
        } else {
            Self::Failed { reason: FailReason::Adapter, blame, message }
        }
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        let message = match refused.hint {
            Some(hint) => format!("{}; {hint}", refused.message),
            None => refused.message,
        };
        Self::Failed { reason: refused.reason, blame: refused.blame, message }
    }
}

/// Makes one attempt and records it. The answer says when the delivery is due again, if it is.
pub(super) async fn deliver(inner: Arc<Inner>, lane: Arc<Lane>, served: Arc<Served>, job: Job) -> Option<Millis> {
    let watch = Stopwatch::start();
    let mut work = Work::new(&inner, &served, &job);
    let end = work.run().await;
    let settlement = work.settle(end, watch.micros(), &lane);
    let (next, outcome) = (settlement.next, settlement.attempt.outcome);
    // Before the commit: who sees the new state finds it counted.
    inner.totals.count(outcome);
    inner.record(&lane, &job, settlement).await;
    inner.settled.send_modify(|count| *count += 1);
    match next {
        Next::Again { at, .. } => Some(at),
        Next::Delivered | Next::Failed(_) => None,
    }
}

/// An attempt under way.
struct Work<'a> {
    inner: &'a Inner,
    served: &'a Served,
    job: &'a Job,
    started_at: Millis,
    delivery_id: String,
    exchanges: Vec<Exchange>,
}

impl<'a> Work<'a> {
    fn new(inner: &'a Inner, served: &'a Served, job: &'a Job) -> Self {
        Self {
            inner,
            served,
            job,
            started_at: inner.clock.now(),
            delivery_id: job.delivery.id.to_string(),
            exchanges: Vec::with_capacity(1),
        }
    }

    fn number(&self) -> u32 {
        self.job.delivery.attempts.saturating_add(1)
    }

    /// Fresh handles in the settings, for one call.
    fn call(&self) -> (Arc<Context>, Sealed) {
        let mut sealed = self.served.secrets.seal(rand::random);
        let context = Context {
            delivery_id: self.delivery_id.clone(),
            channel: self.served.channel.name.clone(),
            settings: std::mem::take(&mut sealed.settings_json),
            attempt: self.number(),
            now: self.inner.clock.now(),
            reference: self.job.reference.clone(),
        };
        (Arc::new(context), sealed)
    }

    async fn run(&mut self) -> End {
        let (context, mut sealed) = self.call();
        let adapter = &self.served.adapter;
        let rendered = self.inner.threads.render(adapter, &context, &self.job.event).await;
        let mut request = match rendered {
            Ok(Ok(request)) => request,
            Ok(Err(refusal)) => {
                let blame = match refusal {
                    crate::model::Refusal::Setting(..) => Blame::Settings,
                    crate::model::Refusal::Event(_) => Blame::Adapter,
                };
                return End::Failed { reason: FailReason::Adapter, blame, message: refusal.to_string() };
            }
            Err(error) => return error.into(),
        };
        let mut state = Vec::new();
        for _ in 0..HOPS {
            let response = match self.exchange(&request, &sealed).await {
                Ok(response) => response,
                Err(end) => return end,
            };
            if !adapter.reads_replies() {
                return end_of(judge_by_status(&response, self.inner.clock.now()));
            }
            // The handles of a further request are those of the call that asked for it.
            let (context, fresh) = self.call();
            let event = &self.job.event;
            match self.inner.threads.interpret(adapter, &context, event, state, response).await {
                Ok(Verdict::Next(hop)) => (request, state, sealed) = (hop.request, hop.state, fresh),
                Ok(verdict) => return end_of(verdict),
                Err(error) => return error.into(),
            }
        }
        End::Failed {
            reason: FailReason::Adapter,
            blame: Blame::Adapter,
            message: format!("asked for more than {HOPS} requests in one attempt"),
        }
    }

    /// Sends one request and notes what came of it.
    async fn exchange(&mut self, request: &Request, sealed: &Sealed) -> Result<Arc<Response>, End> {
        let client = self.inner.client.load_full();
        let secrets = &self.served.secrets;
        let destination = Destination {
            options: client.options(),
            hosts: &self.served.adapter.description.hosts,
            delivery_id: &self.delivery_id,
            payload: &self.job.event.payload,
            now: self.inner.clock.now(),
        };
        let prepared = outbound::prepare(request, sealed, &destination)?;
        let request = prepared.sent(secrets);
        let sent = client.send(prepared, self.served.channel.timeout, secrets).await;
        let response = sent.response.map(Arc::new);
        let end = match (sent.blocked, &sent.error, &response) {
            (Some(refused), ..) => Err(refused.into()),
            (None, Some((kind, message)), _) => Err(broken(*kind, message)),
            (None, None, Some(response)) => Ok(response.clone()),
            (None, None, None) => Err(broken(TransportError::Protocol, "there was no answer")),
        };
        self.exchanges.push(Exchange { request, response, error: sent.error, timing: sent.timing });
        end
    }

    /// The account of the attempt, and where it leaves the delivery.
    fn settle(self, end: End, duration_us: u64, lane: &Lane) -> Settlement {
        let now = self.inner.clock.now();
        let channel = &self.served.channel;
        let mut settlement = Settlement {
            seq: self.job.seq,
            attempt: Attempt {
                number: self.number(),
                started_at: self.started_at,
                duration_us,
                outcome: Outcome::Rejected,
                reason: None,
                blame: None,
                adapter: Some(self.served.adapter.id.clone()),
                exchanges: self.exchanges,
            },
            next: Next::Delivered,
            now,
            disable: None,
            thread: None,
        };
        let attempt = &mut settlement.attempt;
        match end {
            End::Delivered { reference } => {
                attempt.outcome = Outcome::Delivered;
                let subject = self.job.event.subject.clone();
                settlement.thread =
                    subject.zip(reference).map(|(subject, reference)| (channel.name.clone(), subject, reference));
            }
            End::Retry { reason, after_ms, blame } => {
                attempt.outcome = Outcome::Retry;
                attempt.blame = Some(blame);
                attempt.reason = Some(reason);
                let asked = after_ms.map(Duration::from_millis);
                let age = Duration::from_millis(now.saturating_sub(self.job.delivery.created_at));
                let wait = channel.policy.wait(self.job.delivery.step, age, asked, rand::random());
                settlement.next = match wait {
                    None => Next::Failed(FailReason::Exhausted),
                    Some(Wait { delay, step }) => {
                        let at = now.saturating_add(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
                        if asked.is_some() {
                            lane.pause(at);
                        }
                        Next::Again { at, step }
                    }
                };
            }
            End::Rejected(reason) => {
                attempt.blame = Some(Blame::Receiver);
                attempt.reason = Some(reason);
                settlement.next = Next::Failed(FailReason::Rejected);
            }
            End::Disable(reason) => {
                attempt.outcome = Outcome::Retry;
                attempt.blame = Some(Blame::Receiver);
                attempt.reason = Some(format!("the channel is disabled: {reason}"));
                // Due at once when somebody enables the channel.
                settlement.next = Next::Again { at: now, step: self.job.delivery.step };
                settlement.disable = Some((channel.name.clone(), reason));
            }
            End::Failed { reason, blame, message } => {
                attempt.blame = Some(blame);
                attempt.reason = Some(message);
                settlement.next = Next::Failed(reason);
            }
        }
        // What an adapter or a service says may hold what it was sent.
        attempt.reason = attempt.reason.take().map(|reason| self.served.secrets.redact(&reason).into_owned());
        settlement
    }
}

fn end_of(verdict: Verdict) -> End {
    match verdict {
        Verdict::Delivered { reference } => End::Delivered { reference },
        Verdict::Retry { reason, after_ms } => End::Retry { reason, after_ms, blame: Blame::Receiver },
        Verdict::Rejected(reason) => End::Rejected(reason),
        Verdict::Disable(reason) => End::Disable(reason),
        Verdict::Next(_) => End::Rejected("the adapter asked for another request".to_owned()),
    }
}

fn broken(kind: TransportError, message: &str) -> End {
    End::Retry { reason: format!("{kind}: {message}"), after_ms: None, blame: Blame::Receiver }
}

impl Inner {
    /// Writes a settlement down. The receiver has answered by now, so it is tried until the store takes it.
    async fn record(&self, lane: &Lane, job: &Job, settlement: Settlement) {
        let attempt = &settlement.attempt;
        let (delivery, event, outcome) = (job.delivery.id, &job.event.id, attempt.outcome);
        match &attempt.reason {
            None => {
                tracing::info!(
                    channel = lane.name, %delivery, event, attempt = attempt.number, micros = attempt.duration_us, "delivered"
                );
            }
            Some(reason) => tracing::warn!(
                channel = lane.name, %delivery, event, attempt = attempt.number, %outcome, next = settlement.next.state().as_str(), "{reason}"
            ),
        }
        if settlement.disable.is_some() {
            lane.disable(true);
        }
        let settlement = Arc::new(settlement);
        while let Err(error) = self.store.settle(settlement.clone()).await {
            tracing::error!(channel = lane.name, %delivery, %error, "cannot record an attempt; trying again");
            clock::pause(STORE_TROUBLE).await;
        }
    }
}
