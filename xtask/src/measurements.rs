//! `cargo xtask measure`: what depends on the machine and its load, and so is no part of `cargo xtask test`.

use std::path::Path;

use anyhow::{Result, bail};
use clap::Subcommand;

use crate::measure::{Finding, now};
use crate::tools::Tools;
use crate::{fuzz, instructions, isolation, load, process::time};

/// One measurement, with its options.
#[derive(Debug, Clone, Subcommand)]
pub enum Measurement {
    /// Measure what hostile receivers and adapters cost the other channels
    Isolation(isolation::Options),
    /// Measure how fast Herald is, beside a bare forwarder, nginx and Alertmanager
    Load(load::Options),
    /// Count the instructions of the pure stages, beside the committed figures
    Instructions(instructions::Options),
    /// Look for inputs that break a property of what reads the bytes of strangers
    Fuzz(fuzz::Options),
}

impl Measurement {
    fn name(&self) -> &'static str {
        match self {
            Self::Isolation(_) => "isolation",
            Self::Load(_) => "load",
            Self::Instructions(_) => "instructions",
            Self::Fuzz(_) => "fuzz",
        }
    }

    /// Measures, prints the figures, and fails when one is beyond its limit.
    pub fn run(&self, root: &Path) -> Result<Vec<Finding>> {
        match self {
            Self::Isolation(options) => isolation::run(root, options),
            Self::Load(options) => load::run(root, options),
            Self::Instructions(options) => instructions::run(root, *options),
            Self::Fuzz(options) => fuzz::run(root, options, &mut Tools::default()),
        }
    }
}

/// Runs all measurements and prints one table at the end. The others go on when one fails.
pub fn run_all(root: &Path) -> Result<()> {
    // Instructions and fuzzing need no quiet machine; the others come first, beside no build.
    let all = [
        Measurement::Load(load::Options::usual()),
        Measurement::Isolation(isolation::USUAL),
        Measurement::Isolation(isolation::USUAL.with_adapters()),
        Measurement::Instructions(instructions::COMPARE),
        Measurement::Fuzz(fuzz::Options::usual()),
    ];
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for measurement in &all {
        let name = measurement.name();
        println!("\n=== {name}");
        let begin = now();
        let result = measurement.run(root);
        println!("=== {name}: {}", time(begin.elapsed()));
        match result {
            Ok(findings) => rows.extend(findings.into_iter().map(|finding| (name, finding))),
            Err(error) => {
                let found = format!("FAILED: {error:#}");
                rows.push((
                    name,
                    Finding { what: String::new(), found: found.lines().last().unwrap_or_default().to_owned() },
                ));
                println!("{error:#}");
                failed.push(name);
            }
        }
    }
    println!("\n| measurement | what | found |\n|---|---|---|");
    for (name, Finding { what, found }) in rows {
        println!("| {name} | {what} | {found} |");
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}
