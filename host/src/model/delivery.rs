//! A delivery and what has been tried for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{AdapterId, DeliveryId, Header, Millis, Response};

/// One event on one channel: the durable unit of work.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Sent along as `herald-delivery-id`.
    pub id: DeliveryId,
    /// The event's id.
    pub event: String,
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The channel's name.
    pub channel: String,
    /// Where it stands.
    pub state: State,
    /// Why it failed, when it did.
    pub reason: Option<FailReason>,
    /// How many attempts have been settled.
    pub attempts: u32,
    /// How many delays of the retry schedule have been used up.
    #[serde(skip)]
    pub step: u32,
    /// When the next attempt is due, while `pending`; none while an earlier delivery of its subject comes first.
    pub due_at: Option<Millis>,
    /// When its schedule began: at its acceptance, or when somebody had it retried.
    #[serde(skip)]
    pub since: Millis,
    /// When the event was accepted.
    pub created_at: Millis,
    /// When the state last changed.
    pub updated_at: Millis,
}

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// An attempt is due, now or later.
    Pending,
    /// The receiver has taken it.
    Delivered,
    /// Given up, see [`FailReason`].
    Failed,
    /// Somebody stopped it.
    Cancelled,
}

/// Why a delivery failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailReason {
    /// The receiver will never take it.
    Rejected,
    /// The last attempt of the schedule did not succeed.
    Exhausted,
    /// The adapter trapped, ran out of a limit, or refused the event or its settings.
    Adapter,
    /// The request went where this host does not send.
    Blocked,
}

/// Texts for the store, the API and the command line; one table a type.
macro_rules! named {
    ($type:ty { $($variant:ident => $text:literal),* $(,)? }) => {
        impl $type {
            /// The name in the API, the store and the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
            /// The reverse of [`Self::as_str`].
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$variant),)* _ => None }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named!(State { Pending => "pending", Delivered => "delivered", Failed => "failed", Cancelled => "cancelled" });
named!(FailReason { Rejected => "rejected", Exhausted => "exhausted", Adapter => "adapter", Blocked => "blocked" });
named!(super::Action { Retry => "retry", Cancel => "cancel", Replay => "replay" });
named!(Outcome { Delivered => "delivered", Retry => "retry", Rejected => "rejected" });
named!(Blame { Adapter => "adapter", Host => "host", Receiver => "receiver", Settings => "settings" });
named!(TransportError {
    Dns => "dns", Connect => "connect", Tls => "tls", Timeout => "timeout", Reset => "reset", Protocol => "protocol",
    Proxy => "proxy",
});

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The receiver has taken it.
    Delivered,
    /// Another attempt may succeed.
    Retry,
    /// No other attempt would.
    Rejected,
}

/// Whose fault a failure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blame {
    /// The adapter's code.
    Adapter,
    /// Herald, the machine that it runs on, or the proxy that it goes by.
    Host,
    /// The service at the other end, or the way there.
    Receiver,
    /// The channel's settings.
    Settings,
}

/// What went wrong on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportError {
    /// The name did not resolve.
    Dns,
    /// No connection.
    Connect,
    /// The certificate or the handshake.
    Tls,
    /// The deadline passed.
    Timeout,
    /// The connection broke in the middle.
    Reset,
    /// The answer was not HTTP.
    Protocol,
    /// The proxy did not bring it to the receiver.
    Proxy,
}

/// One try of a delivery, as it is kept. Secrets are redacted before it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Millis,
    /// From the first call of the adapter to the outcome, in microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why: what the service, the adapter or the host said.
    pub reason: Option<String>,
    /// Whose fault it is, when it did not succeed.
    pub blame: Option<Blame>,
    /// Which adapter did it; none when it could not be asked.
    pub adapter: Option<AdapterId>,
    /// Each request and its response, in order.
    pub exchanges: Vec<Exchange>,
}

/// An attempt in a list: what happened, without headers and bodies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptSummary {
    /// 1 for the first.
    pub number: u32,
    /// When it began.
    pub started_at: Millis,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// Why.
    pub reason: Option<String>,
    /// Whose fault it is, when it did not succeed.
    pub blame: Option<Blame>,
    /// Which adapter did it.
    pub adapter: Option<AdapterId>,
    /// The status of the last response.
    pub status: Option<u16>,
}

impl Attempt {
    /// Of one delivery, headers and bodies are kept of the first attempts and of the last ones, so many at most: between
    /// them they seldom tell anything new, and a receiver that has a delivery tried again and again must not fill the disk.
    const FIRST: u32 = 3;
    const LAST: u32 = 20;
    /// What stands in the place of a body that is kept no longer.
    const LEFT_OUT: &str =
        "[left out, as the headers are: there are many attempts, or the store has grown to `store.max_size`]";

    /// The attempt of which they are kept no longer when the one with this number is there.
    pub fn kept_no_longer(number: u32) -> Option<u32> {
        number.checked_sub(Self::LAST).filter(|number| *number > Self::FIRST)
    }

    /// Leaves out headers and bodies, and says so.
    #[must_use]
    pub fn thinned(mut self) -> Self {
        for exchange in &mut self.exchanges {
            exchange.request.headers = Vec::new();
            exchange.request.body = Some(Self::LEFT_OUT.to_owned());
            if let Some(response) = &mut exchange.response {
                let body = Self::LEFT_OUT.to_owned();
                *response = Arc::new(Response { status: response.status, headers: Vec::new(), body });
            }
        }
        self
    }

    /// Leaves out the bodies that are the event's payload byte for byte: it is kept beside them.
    pub fn without_payload(mut self, payload: &[u8]) -> Self {
        let requests = self.exchanges.iter_mut().map(|exchange| &mut exchange.request);
        for request in requests.filter(|request| request.body.as_ref().is_some_and(|body| body.as_bytes() == payload)) {
            request.body = None;
        }
        self
    }

    /// Puts back what [`Self::without_payload`] has left out.
    pub fn with_payload(mut self, payload: &[u8]) -> Self {
        let requests = self.exchanges.iter_mut().map(|exchange| &mut exchange.request);
        for request in requests.filter(|request| request.body.is_none()) {
            request.body = Some(String::from_utf8_lossy(payload).into_owned());
        }
        self
    }

    /// For lists.
    pub fn summary(self) -> AttemptSummary {
        let response = self.exchanges.last().and_then(|last| last.response.as_ref());
        AttemptSummary {
            number: self.number,
            started_at: self.started_at,
            duration_us: self.duration_us,
            outcome: self.outcome,
            status: response.map(|response| response.status),
            reason: self.reason,
            blame: self.blame,
            adapter: self.adapter,
        }
    }
}

/// A request and its response.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// What was sent, redacted.
    pub request: SentRequest,
    /// What came back, redacted; none when nothing did.
    pub response: Option<Arc<Response>>,
    /// What went wrong on the wire, and in words.
    pub error: Option<(TransportError, String)>,
    /// How long it took.
    pub timing: Timing,
}

/// A request as it is kept: final, signed, redacted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentRequest {
    /// The HTTP method.
    pub method: String,
    /// The URL, secrets redacted.
    pub url: String,
    /// The headers, secrets redacted.
    pub headers: Vec<Header>,
    /// The body as text, secrets redacted; none while it is left out, see [`Attempt::without_payload`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// The parts of an exchange's time, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Resolving, connecting and the TLS handshake; none on a reused connection.
    pub connect_us: Option<u64>,
    /// Until the response's headers were there.
    pub first_byte_us: Option<u64>,
    /// Until the response's body was read, or until it failed.
    pub total_us: u64,
}
