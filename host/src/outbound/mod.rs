//! The way out: the only place that knows the HTTP client.
//!
//! A request passes through four hands, in this order:
//! 1. [`Secrets::seal`] puts a fresh handle in the place of each secret before an adapter sees the settings.
//! 2. [`prepare()`] takes what the adapter made of them, checks where it goes and, only if it may go there, puts the
//!    secrets in, each escaped for where it stands, and signs the final bytes.
//! 3. [`Client::send`] resolves the name, refuses the addresses that are not allowed, and does the one exchange under
//!    one deadline. What comes of it is data, never an error.
//! 4. [`Secrets::redact`] takes the secrets out of all that is kept or shown.
//!
//! Must not know adapters, the store or the configuration's files: it imports `model` and `clock`, nothing else of ours.
//! Nothing else in this crate opens a connection.

mod check;
mod client;
mod connect;
mod connection;
mod failure;
mod filling;
mod guard;
mod oauth;
mod pool;
mod prepare;
mod progress;
mod proxy;
mod redact;
mod resolve;
mod secrets;
mod sign;
mod skip;
mod stream;
mod tcp;
mod tls;

pub use check::{Options, Refused};
pub use client::{BuildError, Client, Sent};
pub use guard::is_refused;
pub use oauth::{AccessToken, Asked, NoToken, TokenRequest, Tokens, token_request};
pub use prepare::{Destination, Prepared, prepare};
pub use secrets::{BadSecret, Sealed, Secrets};
