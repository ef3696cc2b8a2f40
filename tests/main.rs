//! The integration tests: a real host, real sockets, real SQLite, real components. One binary, a module per subject.
//!
//! A test's name is the promise that it keeps. Nothing here sleeps: a test waits for a condition, under a deadline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod accepting;
mod cli;
mod config_reload;
mod connections;
mod delivering;
mod golden;
mod harness;
mod hostile;
mod hot_reload;
mod prebuilt;
mod readme;
mod robust;
mod store;
mod tidy;
