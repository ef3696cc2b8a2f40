//! The command line of `cargo xtask`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use xtask::measurements::{self, Measurement};
use xtask::{adapters, soak, suite, tools};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Developer commands of Herald")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the adapters into adapters/prebuilt
    Adapters {
        /// Write nothing: fail when the prebuilt adapters aren't what the sources make
        #[arg(long)]
        check: bool,
        /// With --check: compare digests only, which needs no guest compiler
        #[arg(long, requires = "check")]
        no_build: bool,
    },
    /// Run every check and test; install what they need
    Test(suite::Options),
    /// Measure everything, with one table at the end, or one thing; no part of `test`
    Measure {
        #[command(subcommand)]
        what: Option<Measurement>,
    },
    /// Run the integration tests again and again on a machine that is kept busy
    Soak(soak::Options),
    /// Install what the other commands need
    Setup,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<()> {
    let root = root()?;
    match command {
        Command::Adapters { check: false, .. } => adapters::build(&root),
        Command::Adapters { no_build: true, .. } => adapters::check_digests(&root),
        Command::Adapters { .. } => adapters::check(&root),
        Command::Measure { what: Some(measurement) } => measurement.run(&root).map(drop),
        Command::Measure { what: None } => measurements::run_all(&root),
        Command::Soak(options) => soak::run(&root, options),
        Command::Test(options) => suite::run(&root, options),
        Command::Setup => tools::setup(&root),
    }
}

/// The repository: the nearest folder upwards with the contract in it.
fn root() -> Result<PathBuf> {
    let here = std::env::current_dir().context("can't tell the current folder")?;
    let root = here.ancestors().find(|folder| folder.join("wit/channel.wit").is_file()).map(Path::to_path_buf);
    root.context("not in Herald's repository: there is no wit/channel.wit here or above")
}
