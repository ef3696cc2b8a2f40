//! The programs that `cargo xtask measure load` measures with, each a process of its own: a load generator (`drive`), a receiver
//! (`sink`), and a bare forwarder (`forward`), which is what Herald's HTTP parts can do at best. `fill` makes large stores.
//!
//! The generator and the receiver share the machine with what is measured, so they do as little as possible.

mod drive;
mod fill;
mod forward;
mod request;
mod sink;
mod wire;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "herald-load", about = "A load generator, a receiver and a bare forwarder")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Posts events as fast as they are answered, or at a rate, and prints what came of it as JSON
    Drive(drive::Options),
    /// Takes what is delivered; prints its address first. `GET /` tells what has come since the last `DELETE /`
    Sink(sink::Options),
    /// Passes each request on and answers when it was answered; prints its address first
    Forward(forward::Options),
    /// Fills a store that a host has made, and that none uses now
    Fill(fill::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Drive(options) => drive::run(&options),
        Command::Sink(options) => sink::run(&options),
        Command::Forward(options) => forward::run(&options),
        Command::Fill(options) => fill::run(&options),
    }
}
