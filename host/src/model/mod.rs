//! The words of Herald as types, and the decisions that need nothing but their arguments.
//!
//! Must not do I/O, be async or read a clock: time, randomness and ids come in as arguments.
//! Imports nothing else of this crate.

mod delivery;
mod event;
mod ids;
mod message;
mod retry;
mod route;
mod rule;

pub use delivery::{
    Attempt, AttemptSummary, Blame, Delivery, Exchange, FailReason, Outcome, SentRequest, State, Timing, TransportError,
};
pub use event::{Event, EventType, InvalidType};
pub use ids::DeliveryId;
pub use message::{
    AdapterId, Auth, Body, Context, Description, Hash, Header, Hmac, Hop, Refusal, Request, Response, Verdict,
};
pub use retry::{Policy, Wait, retry_after};
pub use route::{Pattern, Route};
pub use rule::judge_by_status;

/// Milliseconds since the Unix epoch, UTC.
pub type Millis = u64;
