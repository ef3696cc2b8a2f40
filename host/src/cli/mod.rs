//! The commands, one file each: arguments in, text or JSON out, an exit code.

mod adapters;
mod args;
mod bulk;
mod channels;
mod check;
mod deliveries;
mod demo;
mod events;
mod jobs;
mod log;
mod output;
mod remote;
mod send;
mod serve;
mod token;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Reads the arguments and does what they say. 0: done; 1: it failed; 2: the arguments, the config or an adapter is wrong.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let Some(command) = args.command else {
        // Without a command: help, and nothing is done.
        return match <Args as clap::CommandFactory>::command().print_help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    };
    let common = args.common;
    let result = match command {
        Command::Serve(serve) => serve::run(&common, &serve),
        Command::Check => check::run(&common),
        Command::Send(send) => send::run(&common, &send),
        Command::Demo(demo) => demo::run(&demo),
        Command::Adapters(command) => adapters::run(&common, &command),
        Command::Channels(command) => channels::run(&common, &command),
        Command::Deliveries(command) => deliveries::run(&common, &command),
        Command::Events(command) => events::run(&common, &command),
        Command::Jobs(command) => jobs::run(&common, &command),
        Command::Token(command) => token::run(&common, &command),
    };
    result.unwrap_or_else(|error| {
        if output::is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        match error.downcast_ref::<crate::config::Problems>() {
            Some(problems) => {
                output::error(problems);
                ExitCode::from(2)
            }
            None => {
                output::error(format_args!("error: {error:#}"));
                ExitCode::FAILURE
            }
        }
    })
}
