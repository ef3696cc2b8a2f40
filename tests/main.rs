//! The integration tests: a real host, real sockets, real SQLite, real components. One binary, a module per subject.
//!
//! A test's name is the promise that it keeps. Nothing here sleeps: a test waits for a condition, under a deadline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod accepting;
mod authenticating;
mod authoring;
#[cfg(target_os = "linux")]
mod backlog;
mod breaker;
mod channels;
mod cli;
mod commands;
mod config_reload;
mod connections;
mod contract;
mod crash;
mod crash_store;
mod crowds;
mod deep;
mod delivering;
#[cfg(target_os = "linux")]
mod faulty_disk;
mod fuzz_seeds;
mod golden;
mod handing_over;
mod harness;
mod hops;
mod hostile;
mod hostile_guests;
mod hot_reload;
mod injection;
mod kept;
mod languages;
mod large;
mod many_attempts;
mod new_versions;
mod operating;
mod pacing;
mod pages;
mod prebuilt;
#[cfg(target_os = "linux")]
mod process;
mod proxies;
mod readme;
mod receivers;
mod replaying;
mod retention;
mod robust;
mod scripts;
mod secrecy;
mod signatures;
mod slow_clients;
mod socket;
mod sources;
mod store;
mod store_model;
mod tidy;
mod tls;
mod tokens;
mod transports;
mod way_out;
mod wire;
