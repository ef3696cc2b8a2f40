//! `cargo xtask measure fuzz`: what reads the bytes of strangers, given bytes of all kinds, for a short while each.
//!
//! The targets stand in `fuzz/targets`; what they begin with, in `fuzz/seeds`. Without a sanitizer, so that a stable Rust
//! will do: Herald has no unsafe code of its own to watch, and what the targets look for are panics and broken promises.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::measure::Finding;
use crate::process::{clean, run as run_command, shown};
use crate::tools::Tools;

/// How long, and what.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Targets, of those in fuzz/targets; none: all
    targets: Vec<String>,
    /// How long each is run
    #[arg(long, default_value_t = 15)]
    seconds: u32,
    /// Where its random numbers begin: the same finds the same, as far as time allows; 0: elsewhere each time
    #[arg(long, default_value_t = 1)]
    seed: u32,
}

impl Options {
    /// All targets, for a short while each.
    pub fn usual() -> Self {
        Self { targets: Vec::new(), seconds: 15, seed: 1 }
    }
}

/// Builds and runs the targets; the error says what was found, and how to see it again.
pub fn run(root: &Path, options: &Options, tools: &mut Tools) -> Result<Vec<Finding>> {
    let program = tools.cargo_fuzz(root)?;
    tools.cxx()?;
    let known = known(root)?;
    for name in &options.targets {
        ensure!(known.contains(name), "there is no target `{name}`; there are {}", known.join(", "));
    }
    let fuzz = |action: &str| {
        // Cargo's build of us is not to leak into this one.
        let mut command = clean(&program);
        command.current_dir(root).args([action, "--sanitizer", "none", "--fuzz-dir", "fuzz"]);
        command.args(["--target-dir", "target/fuzz"]);
        command
    };
    run_command(&mut fuzz("build")).context("the fuzz targets can't be built")?;
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    let mut findings = Vec::new();
    for name in targets {
        let (found, seeds) = (format!("target/fuzz/corpus/{name}"), format!("fuzz/seeds/{name}"));
        std::fs::create_dir_all(root.join(&found)).with_context(|| format!("can't make {found}"))?;
        let artifacts = format!("-artifact_prefix={}/", root.join("target/fuzz").display());
        let mut command = fuzz("run");
        command.args([
            name,
            &found,
            &seeds,
            "--",
            &artifacts,
            // For a machine that is slow and busy; what never ends is found all the same.
            "-timeout=60",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]);
        command.arg(format!("-max_total_time={}", options.seconds)).arg(format!("-seed={}", options.seed));
        let found = one(&mut command)?;
        println!("{name}: {found}");
        findings.push(Finding { what: name.clone(), found });
    }
    Ok(findings)
}

/// Runs one target: the inputs that it was given, in words.
fn one(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("can't start `{shown}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{said}\nan input was found that must not be: see above for it, and for the file that it was written to");
    }
    let inputs = executed(&said).with_context(|| format!("{said}\n`{shown}` didn't say how many inputs it tried"))?;
    ensure!(inputs > 0, "{said}\n`{shown}` tried no input");
    Ok(format!("{inputs} inputs, none of which did harm"))
}

fn executed(said: &str) -> Option<u64> {
    let count = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    count.trim().parse().ok()
}

fn known(root: &Path) -> Result<Vec<String>> {
    let folder = root.join("fuzz/targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
    let name = |file: std::io::Result<std::fs::DirEntry>| Some(file.ok()?.path().file_stem()?.to_str()?.to_owned());
    let mut names: Vec<String> = files.filter_map(name).collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::executed;

    #[test]
    fn the_number_of_inputs_is_read_from_what_libfuzzer_says() {
        assert_eq!(executed("Done 12 runs\nstat::number_of_executed_units: 8712\nstat::x: 1"), Some(8712));
        assert_eq!(executed("==1== ERROR: libFuzzer: deadly signal"), None);
    }
}
