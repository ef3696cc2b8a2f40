//! `cargo xtask measure instructions`: how many instructions the pure stages of an event's way take, beside what they took when
//! the figures were committed. A guard against slowness that needs no quiet machine.
//!
//! Callgrind counts them. It presents every program the same processor, so the choices that libraries make by that are the
//! same on all x86-64 machines with AVX2. Another compiler makes other code: then the figures are shown and nothing fails.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::measure::{Finding, Scratch, target};
use crate::process::{cargo, output, run as run_command};
use crate::tools::Tools;

/// As `herald-stages` has them.
const STAGES: [&str; 7] = ["read", "route", "prepare", "sign", "redact", "settle", "record"];
const TIMES: u64 = 1000;
/// In percent.
const TOLERANCE: u64 = 5;
const FIGURES: &str = "tests/load/instructions.json";

/// What to do with the figures.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Options {
    /// Write them down instead of comparing them
    #[arg(long)]
    update: bool,
}

/// Compares them.
pub const COMPARE: Options = Options { update: false };

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    compiler: String,
    /// What they were counted on.
    architecture: String,
    /// Instructions an event, by stage.
    stages: BTreeMap<String, u64>,
}

/// Counts, prints, and compares or writes.
pub fn run(root: &Path, options: Options) -> Result<Vec<Finding>> {
    if std::env::consts::OS != "linux" {
        println!("instructions are counted on Linux only");
        return Ok(Vec::new());
    }
    Tools::default().valgrind()?;
    let mut build = cargo(root);
    // Together with the host, whose crates are built by then; built incrementally, it is other code.
    build.args(["build", "--release", "--locked", "--package", "herald", "--package", "herald-load"]);
    run_command(build.args(["--bin", "herald-stages"]).env("CARGO_INCREMENTAL", "0"))?;
    let mut found = Figures {
        compiler: output(Command::new("rustc").current_dir(root).arg("--version")).context("there is no rustc")?,
        architecture: std::env::consts::ARCH.to_owned(),
        stages: BTreeMap::new(),
    };
    let folder = Scratch::new("instructions")?;
    for stage in STAGES {
        found.stages.insert(stage.to_owned(), count(stage, folder.path())?);
    }
    let file = root.join(FIGURES);
    if options.update {
        let text = serde_json::to_string_pretty(&found)? + "\n";
        println!("{text}");
        std::fs::write(&file, text).with_context(|| format!("can't write {FIGURES}"))?;
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&file).with_context(|| format!("can't read {FIGURES}"))?;
    compare(&serde_json::from_str(&text).with_context(|| format!("{FIGURES} is not understood"))?, &found)
}

/// Instructions an event of one stage.
fn count(stage: &str, folder: &Path) -> Result<u64> {
    let file = folder.join(stage);
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--toggle-collect=*counted*"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    run_command(command.arg(target()?.join("release/herald-stages")).arg(stage))?;
    let told = std::fs::read_to_string(&file).context("callgrind wrote nothing")?;
    match total(&told) {
        Some(total) if total > TIMES => Ok(total / TIMES),
        _ => bail!("callgrind has counted nothing of the stage `{stage}`"),
    }
}

/// Of a line like `summary: 12345`.
fn total(told: &str) -> Option<u64> {
    told.lines().find_map(|line| line.strip_prefix("summary:"))?.trim().parse().ok()
}

fn compare(committed: &Figures, found: &Figures) -> Result<Vec<Finding>> {
    let comparable = (&committed.compiler, &committed.architecture) == (&found.compiler, &found.architecture);
    let (mut worse, mut findings) = (Vec::new(), Vec::new());
    for (stage, now) in &found.stages {
        let Some(before) = committed.stages.get(stage) else { bail!("{FIGURES} lacks the stage `{stage}`") };
        println!("{stage:8} {now:>8} instructions an event, committed {before:>8}");
        findings
            .push(Finding { what: stage.clone(), found: format!("{now} instructions an event, committed {before}") });
        if is_more(*before, *now) {
            worse.push(stage.as_str());
        } else if is_more(*now, *before) {
            println!("         fewer than before: `cargo xtask measure instructions --update` keeps it so");
        }
    }
    if !comparable {
        println!("the committed figures are of {} on {}: not compared", committed.compiler, committed.architecture);
    } else if !worse.is_empty() {
        bail!(
            "over {TOLERANCE} % more instructions than committed: {}. If that is worth it: `cargo xtask measure instructions --update`",
            worse.join(", ")
        );
    }
    Ok(findings)
}

/// By more than the tolerance.
fn is_more(before: u64, now: u64) -> bool {
    now * 100 > before * (100 + TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(compiler: &str, read: u64) -> Figures {
        let stages = BTreeMap::from([("read".to_owned(), read)]);
        Figures { compiler: compiler.to_owned(), architecture: "x86_64".to_owned(), stages }
    }

    #[test]
    fn more_than_five_percent_fails() {
        assert!(compare(&figures("a", 1000), &figures("a", 1050)).is_ok());
        assert!(compare(&figures("a", 1000), &figures("a", 1051)).is_err());
        assert!(compare(&figures("a", 1000), &figures("a", 10)).is_ok());
    }

    #[test]
    fn another_compiler_fails_nothing() {
        assert!(compare(&figures("a", 1000), &figures("b", 2000)).is_ok());
    }

    #[test]
    fn the_total_is_read_from_callgrinds_file() {
        assert_eq!(total("version: 1\nsummary: 12345\n\nfn=x\n"), Some(12345));
        assert_eq!(total("version: 1\n"), None);
    }
}
