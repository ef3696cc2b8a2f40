//! Herald carries an application's events to the people and systems that want to know.
//!
//! | module | what it is for |
//! |---|---|
//! | [`model`] | the words as types, and the pure decisions |
//! | [`config`] | raw TOML → checked config; references to secrets |
//! | [`store`] | events, deliveries and attempts; the only place that knows SQL |
//! | [`adapter`] | channel types as WebAssembly components; the only place that knows wasmtime |
//! | [`outbound`] | the way out: guard, secrets, signing, the HTTP client |
//! | [`pipeline`] | accept → store → due → render → send → interpret → settle |
//! | [`api`] | the HTTP API; the only place that knows axum |
//! | [`app`] | builds a host of all these, runs it, drains it |
//! | [`cli`] | one file a command |
//! | [`clock`], [`wake`], [`files`] | the only places that read a clock, listen to the file system, and read files of others |
//!
//! `model` imports nothing of ours; `config`, `store`, `adapter` and `outbound` import `model` and never each other;
//! `pipeline` imports those; `api` imports `model`, `store` and `pipeline`; `app` and `cli` import all.

pub mod adapter;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod files;
pub mod model;
pub mod outbound;
pub mod pipeline;
pub mod store;
pub mod wake;
