//! The words of Herald as types, and the decisions that need nothing but their arguments.
//!
//! Must not do I/O, be async or read a clock: time, randomness and ids come in as arguments.
//! Imports nothing else of this crate.

mod access;
mod delivery;
mod event;
mod health;
mod ids;
mod isolation;
mod job;
mod message;
mod rate;
mod record;
mod retry;
mod route;
mod rule;
mod source;
mod transport;

pub use access::{LONGEST_TOKEN, Scope, Scopes, Token, TokenHash, scopes_of};
pub use delivery::{
    Attempt, AttemptSummary, Blame, Delivery, Exchange, FailReason, Outcome, SentRequest, State, Timing, TransportError,
};
pub use event::{Event, EventType, InvalidType};
pub use health::{Breaker, Change, ChannelState, Disabled, Health, Sign, Tripped};
pub use ids::{DeliveryId, JobId};
pub use isolation::Isolation;
pub use job::{Action, Job, Selection};
pub use message::{
    AdapterId, Auth, AwsSigv4, Body, ClientAuth, Context, Description, Hash, Header, Hmac, Hop, Oauth2, Refusal,
    Request, Response, Verdict,
};
pub use rate::Rate;
pub use retry::{Policy, Tried, Wait, exponential, retry_after};
pub use route::{Pattern, Route};
pub use rule::judge_by_status;
pub use source::{Encoding, Key, SignedHeader, Source, Verify, WebhookKey};
pub use transport::{Certificates, Identity, Proxy, ProxyKind, Tls, Transport, Unusable};

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = u64;

/// A duration in milliseconds.
pub fn millis(duration: std::time::Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
