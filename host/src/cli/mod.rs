//! The commands, one file each: arguments in, text or JSON out, an exit code.

mod adapters;
mod args;
mod bulk;
mod channels;
mod check;
mod component;
mod deliveries;
mod demo;
mod dev;
mod events;
mod jobs;
mod log;
mod new;
mod output;
mod panics;
mod process;
mod rehearsal;
mod remote;
mod render;
mod send;
mod serve;
mod test;
mod token;
mod workbench;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Reads the arguments and does what they say. 0: done; 1: it failed; 2: the arguments, the config or an adapter is wrong.
pub fn main() -> ExitCode {
    panics::hide();
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
        Command::New(new) => new::run(&common, &new),
        Command::Render(render) => render::run(&common, &render),
        Command::Test(test) => test::run(&common, &test),
        Command::Dev(dev) => dev::run(&common, &dev),
        Command::Adapters(command) => adapters::run(&common, &command),
        Command::Component(command) => component::run(&command),
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
                output::error(output::harmless(&format!("error: {error:#}")));
                if error.is::<Wrong>() { ExitCode::from(2) } else { ExitCode::FAILURE }
            }
        }
    })
}

/// What the command was given is wrong: an argument, a file, an adapter.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Wrong(String);
