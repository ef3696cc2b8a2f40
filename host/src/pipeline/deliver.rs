//! One attempt of a delivery: render, send, interpret, perhaps again, settle. What goes wrong on the way is data.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Inner,
    lane::Begun,
    record::{self, Ended},
    secrets::Served,
};
use crate::{
    adapter::CallError,
    clock::Stopwatch,
    model::{
        Auth, Blame, Context, Exchange, FailReason, Hop, Millis, Outcome, Refusal, Request, Response, SentRequest,
        TransportError, Verdict, judge_by_status,
    },
    outbound::{self, Destination, Options, Refused, Sealed, Secrets, Sent},
    store::Due,
};

/// Requests of one attempt: an adapter that never comes to an end is stopped here.
const HOPS: usize = 8;

/// What an attempt came to, before the schedule is asked.
pub(super) enum End {
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
    /// The credentials were refused, and there are others by now: why it is tried again at once.
    Renewed(String),
    /// It is older than the channel wants it.
    TooOld,
    /// No request, or no sense in the answer: not the receiver's doing.
    Failed {
        reason: FailReason,
        blame: Blame,
        message: String,
    },
}

impl End {
    /// The same, said of something else than the receiver.
    pub fn about(self, what: &str) -> Self {
        match self {
            Self::Retry { reason, after_ms, blame } => {
                Self::Retry { reason: format!("{what}: {reason}"), after_ms, blame }
            }
            Self::Failed { reason, blame, message } => {
                Self::Failed { reason, blame, message: format!("{what}: {message}") }
            }
            other => other,
        }
    }
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

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        let blame = match refusal {
            Refusal::Setting(..) => Blame::Settings,
            Refusal::Event(_) => Blame::Adapter,
        };
        Self::Failed { reason: FailReason::Adapter, blame, message: refusal.to_string() }
    }
}

/// A further request as it is kept before it is sent, so that whoever goes on with the attempt begins with it. Of the
/// secrets only their handles are in it.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// Of the attempt that it belongs to.
    number: u32,
    /// Requests before it.
    hops: usize,
    request: Request,
    state: Vec<u8>,
    handles: Vec<(String, String)>,
    /// What came of the requests before it.
    exchanges: Vec<Exchange>,
}

/// Makes one attempt. What it comes to is left to the lane to write down.
pub(super) async fn deliver(inner: Arc<Inner>, mut begun: Begun, served: Arc<Served>, due: Due) {
    let watch = Stopwatch::start();
    let mut work = Work::new(&inner, &served, &due);
    let end = work.run().await;
    let end = work.or_renewed(end, &begun.lane).await;
    let settlement = work.settle(&end, watch.micros(), &begun.lane);
    // Before the commit: who sees the new state finds it counted.
    inner.totals.count(settlement.attempt.outcome);
    record::log(&begun.lane, &due, &settlement);
    let ended = Ended::new(&inner, &mut begun, settlement);
    // Events may be large, and there may be many whose outcome waits to be written. Whoever hears of the end may rely on
    // nothing of the host being held here any more.
    drop((due, served, inner));
    match ended {
        Ok(ended) => begun.end(ended),
        Err(error) => tracing::error!(channel = begun.lane.name, %error, "an attempt's account can't be written"),
    }
}

/// An attempt under way.
pub(super) struct Work<'a> {
    pub inner: &'a Inner,
    pub served: &'a Served,
    pub due: &'a Due,
    pub started_at: Millis,
    delivery_id: String,
    /// Requests so far beyond the first, those of a run of the host before this one included.
    pub hops: usize,
    pub exchanges: Vec<Exchange>,
    /// The adapter hit one of its limits.
    pub over_limit: bool,
    /// What is redacted: the channel's, and the access tokens of this attempt.
    pub secrets: Secrets,
}

impl<'a> Work<'a> {
    fn new(inner: &'a Inner, served: &'a Served, due: &'a Due) -> Self {
        Self {
            inner,
            served,
            due,
            started_at: inner.clock.now(),
            delivery_id: due.delivery.id.to_string(),
            hops: 0,
            exchanges: Vec::with_capacity(1),
            over_limit: false,
            secrets: served.secrets.clone(),
        }
    }

    pub fn number(&self) -> u32 {
        self.due.delivery.attempts.saturating_add(1)
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
            reference: self.due.reference.clone(),
        };
        (Arc::new(context), sealed)
    }

    async fn run(&mut self) -> End {
        if self.served.channel.policy.is_over(self.due.age(self.started_at)) {
            return End::TooOld;
        }
        let (mut hop, mut sealed) = match self.resume() {
            Some(kept) => kept,
            None => {
                let (context, sealed) = self.call();
                match self.inner.threads.render(&self.served.adapter, &context, &self.due.event).await {
                    Ok(Ok(request)) => (Hop { request, state: Vec::new() }, sealed),
                    Ok(Err(refusal)) => return refusal.into(),
                    Err(error) => return self.call_failed(error),
                }
            }
        };
        loop {
            let response = match self.exchange(&hop.request, &sealed).await {
                Ok(response) => response,
                Err(end) => return end,
            };
            let adapter = &self.served.adapter;
            if !adapter.reads_replies() {
                return end_of(judge_by_status(&response, self.inner.clock.now()));
            }
            // The handles of a further request are those of the call that asked for it.
            let (context, fresh) = self.call();
            match self.inner.threads.interpret(adapter, &context, &self.due.event, hop.state, response).await {
                Ok(Verdict::Next(next)) => (hop, sealed) = (next, fresh),
                Ok(verdict) => return end_of(verdict),
                Err(error) => return self.call_failed(error),
            }
            self.hops += 1;
            if self.hops == HOPS {
                return End::Failed {
                    reason: FailReason::Adapter,
                    blame: Blame::Adapter,
                    message: format!("asked for more than {HOPS} requests in one attempt"),
                };
            }
            self.keep(&hop, &sealed).await;
        }
    }

    fn call_failed(&mut self, error: CallError) -> End {
        self.over_limit = error.over_limit;
        error.into()
    }

    /// The request that was kept, when the delivery is in the middle of several.
    fn resume(&mut self) -> Option<(Hop, Sealed)> {
        let record = self.due.hop.as_ref()?;
        let kept: Kept = match serde_json::from_str(record) {
            Ok(kept) => kept,
            Err(error) => {
                tracing::error!(delivery = self.delivery_id, %error, "the request to go on with can't be read: the delivery begins anew");
                return None;
            }
        };
        self.hops = kept.hops;
        // Those of an attempt that has been settled are in its own account.
        if kept.number == self.number() {
            self.exchanges = kept.exchanges;
        }
        let sealed = self.served.secrets.unseal(&kept.handles);
        Some((Hop { request: kept.request, state: kept.state }, sealed))
    }

    /// Keeps a further request before it is sent.
    async fn keep(&self, hop: &Hop, sealed: &Sealed) {
        let kept = Kept {
            number: self.number(),
            hops: self.hops,
            request: hop.request.clone(),
            state: hop.state.clone(),
            handles: sealed.handles(),
            exchanges: self.exchanges.clone(),
        };
        let kept = match serde_json::to_string(&kept) {
            Ok(record) => self.inner.store.keep_hop(self.due.seq, record).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // The attempt goes on: what the receiver has begun is better finished now.
        if let Err(error) = kept {
            tracing::error!(
                delivery = self.delivery_id,
                error,
                "cannot keep the next request: after a crash the delivery begins anew"
            );
        }
    }

    /// Where the requests of this attempt may go.
    pub fn destination<'b>(&'b self, options: &'b Options) -> Destination<'b> {
        Destination {
            options,
            hosts: &self.served.adapter.description.hosts,
            listed: self.served.channel.hosts.as_deref(),
            delivery_id: &self.delivery_id,
            payload: &self.due.event.payload,
            now: self.inner.clock.now(),
        }
    }

    /// Makes one exchange, with all that its authentication asks for.
    async fn exchange(&mut self, request: &Request, sealed: &Sealed) -> Result<Arc<Response>, End> {
        match &request.auth {
            Some(Auth::Oauth2(oauth)) => self.exchange_by_token(request, oauth, sealed).await,
            _ => self.send(request, sealed, self.served.channel.timeout).await,
        }
    }

    /// Sends one request and notes what came of it.
    pub async fn send(&mut self, request: &Request, sealed: &Sealed, deadline: Duration) -> Result<Arc<Response>, End> {
        let client = &self.served.channel.client;
        let prepared = outbound::prepare(request, sealed, &self.destination(client.options()))?;
        let request = prepared.sent(&self.secrets);
        let sent = client.send(prepared, deadline, &self.secrets).await;
        self.note(request, sent)
    }

    /// Notes an exchange in the account, and gives its response, when that can be judged.
    pub fn note(&mut self, request: SentRequest, sent: Sent) -> Result<Arc<Response>, End> {
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

pub(super) fn broken(kind: TransportError, message: &str) -> End {
    // A proxy is the operator's own: the receiver was not even asked.
    let blame = if kind == TransportError::Proxy { Blame::Host } else { Blame::Receiver };
    End::Retry { reason: format!("{kind}: {message}"), after_ms: None, blame }
}

impl From<&End> for Outcome {
    fn from(end: &End) -> Self {
        match end {
            End::Delivered { .. } => Self::Delivered,
            End::Retry { .. } | End::Renewed(_) | End::Disable(_) => Self::Retry,
            End::Rejected(_) | End::TooOld | End::Failed { .. } => Self::Rejected,
        }
    }
}
