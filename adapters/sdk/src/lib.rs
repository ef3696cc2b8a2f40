//! Write a Herald channel adapter in Rust.
//!
//! An adapter is a pure function from an event to a request. It has no network, clock, files or randomness: all that
//! it may know is in its arguments. This is a whole one; `adapters/board` is another, with its tests and cases:
//!
//! ```
//! use herald_channel::{About, Channel, Context, Event, Refusal, Request, Response, Secret, Verdict, replies};
//! use herald_channel::markdown::DISCORD;
//! use schemars::JsonSchema;
//! use serde::{Deserialize, Serialize};
//!
//! /// The adapter. It has no state: every call gets a fresh sandbox.
//! pub struct Discord;
//!
//! /// A channel's settings: their schema is made of this, docs included.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! pub struct Settings {
//!     /// The address of a webhook. Who knows it can post, so it is a secret.
//!     url: Secret,
//!     /// The name to post under.
//!     #[schemars(length(max = 80))]
//!     username: Option<String>,
//! }
//!
//! #[derive(Serialize)]
//! struct Message {
//!     content: String,
//!     #[serde(skip_serializing_if = "Option::is_none")]
//!     username: Option<String>,
//!     allowed_mentions: AllowedMentions,
//! }
//!
//! /// Nobody is called by what stands in an event.
//! #[derive(Serialize)]
//! struct AllowedMentions {
//!     parse: [String; 0],
//! }
//!
//! impl Channel for Discord {
//!     type Settings = Settings;
//!
//!     const ABOUT: About = About {
//!         title: "Discord",
//!         version: "1.0.0",
//!         summary: "Posts to a Discord channel by a webhook.",
//!         hosts: &["discord.com"],
//!     };
//!
//!     fn render(settings: Settings, _context: &Context, event: &Event) -> Result<Request, Refusal> {
//!         let title = DISCORD.literal(&event.title, 250);
//!         let body = DISCORD.render(&event.body, 1700, event.url.as_deref());
//!         let message = Message {
//!             content: format!("**{title}**\n{body}"),
//!             username: settings.username,
//!             allowed_mentions: AllowedMentions { parse: [] },
//!         };
//!         Request::json("POST", settings.url, &message)
//!     }
//!
//!     // Left out, the host's own rule holds, which goes by the status. Discord says in the body how long to wait.
//!     fn interpret(context: &Context, _event: &Event, _state: &[u8], response: &Response) -> Verdict {
//!         #[derive(Deserialize)]
//!         struct Busy {
//!             retry_after: f64,
//!         }
//!         match serde_json::from_str::<Busy>(&response.body) {
//!             Ok(busy) if response.status == 429 => {
//!                 Verdict::Retry(("Discord is busy".into(), replies::milliseconds(busy.retry_after)))
//!             }
//!             _ => replies::by_status(context, response),
//!         }
//!     }
//! }
//!
//! // In an adapter's crate this line makes the component; `channel!` does for one without `interpret`.
//! // herald_channel::conversational_channel!(Discord);
//!
//! // What the host calls; an adapter's tests do too.
//! let context = Context {
//!     delivery_id: "dlv_1".into(),
//!     channel: "team".into(),
//!     settings: r#"{"url": "https://discord.com/api/webhooks/1/x"}"#.into(),
//!     attempt: 1,
//!     now: 0,
//!     reference: None,
//! };
//! let event = Event {
//!     id: "evt_1".into(),
//!     type_: "execution_failed".into(),
//!     title: "Run 7 failed".into(),
//!     body: "**3 of 4** passed. @everyone [click](javascript:alert(1))".into(),
//!     url: None,
//!     project: None,
//!     subject: None,
//!     occurred_at: 0,
//!     data: "{}".into(),
//! };
//! let request = herald_channel::render::<Discord>(&context, &event)?;
//! let expected = r#"{"content":"**Run 7 failed**\n**3 of 4** passed. @~everyone click","allowed_mentions":{"parse":[]}}"#;
//! assert_eq!(request.body, herald_channel::Body::Text(expected.replace('~', "\u{200b}")));
//!
//! // Settings that don't fit are refused, with a pointer to what is wrong.
//! let wrong = Context { settings: r#"{"url": "x", "username": 7}"#.into(), ..context };
//! assert!(matches!(herald_channel::render::<Discord>(&wrong, &event), Err(Refusal::Setting((at, _))) if at == "/username"));
//!
//! // The schema that `HERALD_BLESS=1 cargo test` writes beside the sources, where the component takes it from.
//! let schema = herald_channel::schema::of::<Settings>();
//! assert!(schema.contains(r#""writeOnly": true"#) && schema.contains("The name to post under."));
//! # Ok::<(), Refusal>(())
//! ```
//!
//! Where things are:
//! - [`Channel`]: the trait to implement; [`channel!`] and [`conversational_channel!`] make a component of it.
//! - [`schema`]: the settings' schema, from their type; [`Secret`] is a setting that is one.
//! - [`Event`], [`Context`], [`Request`], [`Response`], [`Verdict`] …: the contract's types, with [`Context::settings`],
//!   [`Event::data`], [`Request::json`] and [`Request::form`] to read and make them.
//! - [`replies`]: what answers mean: the host's own rule, and `Retry-After` in seconds or as a date.
//! - [`markdown`]: an event's body for Slack, Telegram, Discord, Adaptive Cards, or as plain text.
//! - [`text`], [`date`]: shortening by characters, bytes or UTF-16 units, durations, labels, timestamps.
//! - `arena`: the allocator of a component, which keeps a call from growing its memory.
//!
//! **Secrets.** Where a channel's setting is a secret, the adapter sees a random handle in its place. Use it like any
//! other string (as the URL, in a header, in the body), but don't look into it: it isn't the value.
//!
//! **Size.** A component is compiled on the host the first time it is seen, and its pages are mapped for every call, so
//! small is fast. What costs most is what formats and parses everything: `format!` of an `f64` is 6 KB, `sort` 5 KB, a
//! `serde_json::Value` where a struct would do 10 KB. `opt-level = "s"`, `lto = true`, `codegen-units = 1`,
//! `panic = "abort"` and `strip = true` belong into the release profile.

#[cfg(any(target_arch = "wasm32", test))]
mod arena;
#[doc(hidden)]
pub mod bindings;
mod channel;
pub mod date;
mod input;
pub mod markdown;
mod pointer;
pub mod replies;
mod request;
pub mod schema;
mod secret;
pub mod text;

pub use bindings::channel::herald::channel::log;
pub use bindings::channel::herald::channel::types::{
    Auth, AwsSigv4, Body, ClientAuth, Context, Description, Event, Hash, Header, Hmac, Hop, Oauth2, Receipt, Refusal,
    Request, Response, Verdict,
};
pub use channel::{About, Channel, describe, render};
pub use input::Data;
pub use pointer::token as pointer_token;
pub use request::form_component;
pub use secret::Secret;
