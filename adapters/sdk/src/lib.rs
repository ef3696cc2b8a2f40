//! Write a Herald channel adapter in Rust.
//!
//! An adapter is a pure function from an event to a request. It has no network, clock, files or randomness: all that
//! it may know is in its arguments. Read `adapters/board` first, a whole adapter in forty lines:
//!
//! ```
//! use herald_channel::{Channel, Context, Description, Event, Refusal, Request};
//! use serde::{Deserialize, Serialize};
//!
//! /// The adapter. It has no state: every call gets a fresh sandbox.
//! pub struct Pager;
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     url: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Page<'a> {
//!     text: &'a str,
//! }
//!
//! impl Channel for Pager {
//!     fn describe() -> Description {
//!         Description {
//!             title: "Pager".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             summary: "Shows an event's title on a pager.".into(),
//!             settings_schema: r#"{"type": "object", "required": ["url"], "properties": {"url": {"type": "string"}}}"#.into(),
//!             hosts: vec![],
//!         }
//!     }
//!
//!     fn render(context: &Context, event: &Event) -> Result<Request, Refusal> {
//!         let settings: Settings = context.settings()?;
//!         Request::json("POST", settings.url, &Page { text: &event.title })
//!     }
//! }
//!
//! herald_channel::channel!(Pager); // or `conversational_channel!`, when it implements `interpret`
//! ```
//!
//! Where things are:
//! - [`Channel`]: the trait to implement; [`channel!`] and [`conversational_channel!`] make a component of it.
//! - [`Event`], [`Context`], [`Request`], [`Response`], [`Verdict`] …: the contract's types, with [`Context::settings`],
//!   [`Event::data`] and [`Request::json`] to read and make them.
//! - [`replies`]: what answers mean: the host's own rule, and `Retry-After`.
//! - [`mrkdwn`]: Markdown for Slack and those that speak its dialect.
//! - [`text`], [`date`]: shortening, durations, timestamps.
//! - `arena`: the allocator of a component, which keeps a call from growing its memory.
//!
//! **Secrets.** Where a channel's setting is a secret, the adapter sees a random handle in its place. Use it like any
//! other string (as the URL, in a header, in the body), but don't look into it: it isn't the value.

#[cfg(any(target_arch = "wasm32", test))]
mod arena;
#[doc(hidden)]
pub mod bindings;
mod channel;
pub mod date;
mod input;
pub mod mrkdwn;
pub mod replies;
mod request;
pub mod text;

pub use bindings::channel::herald::channel::log;
pub use bindings::channel::herald::channel::types::{
    Auth, AwsSigv4, Body, ClientAuth, Context, Description, Event, Hash, Header, Hmac, Hop, Oauth2, Receipt, Refusal,
    Request, Response, Verdict,
};
pub use channel::Channel;
pub use input::Data;
