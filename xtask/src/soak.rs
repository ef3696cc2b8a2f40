//! `cargo xtask soak`: the host's tests again and again, on a machine that is kept busy, in random order and with a random
//! number of them at once. A test that holds only on a quiet machine shows itself here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::measure::now;
use crate::process::{cargo, time};

/// How much.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How often all tests are run
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// Of the first round; each round after it has the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only tests with this in their names
    tests: Option<String>,
}

/// A process that keeps a core busy, gone when this is dropped.
struct Busy(Child);

impl Busy {
    fn start() -> Result<Self> {
        // It ends with us, also when we are killed.
        let spin = Command::new("sh").args(["-c", "while kill -0 $PPID 2>/dev/null; do :; done"]).spawn();
        Ok(Self(spin.context("can't start a shell that keeps a core busy")?))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Runs the rounds; the error says how many failed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let binary = build(root)?;
    let folder = root.join("target/soak");
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let _busy = (0..cores.max(2)).map(|_| Busy::start()).collect::<Result<Vec<_>>>()?;
    let mut failed = 0;
    for round in 0..options.rounds {
        let seed = options.seed + round;
        let log = folder.join(format!("seed-{seed}.log"));
        let begin = now();
        let mut command = tests(&binary, seed);
        command.current_dir(root.join("host")).args(&options.tests);
        let output = File::create(&log).with_context(|| format!("can't write {}", log.display()))?;
        command.stdout(output.try_clone()?).stderr(output).stdin(Stdio::null());
        let status = command.status().with_context(|| format!("can't start {}", binary.display()))?;
        let output = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        let result = output.lines().rev().find_map(|line| line.strip_prefix("test result: ")).unwrap_or("no result");
        println!(
            "round {} of {}, seed {seed}, {} at once: {result}; {}",
            round + 1,
            options.rounds,
            at_once(seed),
            time(begin.elapsed())
        );
        if !status.success() {
            failed += 1;
            for name in output.lines().filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED")) {
                println!("  failed: {name}, with seed {seed}; its output is in {}", log.display());
            }
            println!("  again: cargo xtask soak --rounds 1 --seed {seed}");
        }
    }
    println!("{} of {} rounds passed", options.rounds - failed, options.rounds);
    if failed > 0 {
        bail!("{failed} of {} rounds failed", options.rounds);
    }
    Ok(())
}

/// Builds the integration tests; the answer is their program.
fn build(root: &Path) -> Result<PathBuf> {
    let mut command = cargo(root);
    command.args(["test", "--locked", "-p", "herald", "--test", "integration", "--no-run", "--message-format", "json"]);
    let output = command.stderr(Stdio::inherit()).output().context("can't start cargo")?;
    if !output.status.success() {
        bail!("the integration tests can't be built");
    }
    let program = String::from_utf8_lossy(&output.stdout).lines().rev().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_ours = message.pointer("/target/name").and_then(Value::as_str) == Some("integration");
        message.get("executable").filter(|_| is_ours)?.as_str().map(PathBuf::from)
    });
    program.context("cargo named no program of the integration tests")
}

/// How many tests run at once: 1 to 8, by the seed.
fn at_once(seed: u64) -> u64 {
    // Knuth's multiplicative hash: neighbouring seeds give different numbers.
    (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61) + 1
}

fn tests(binary: &Path, seed: u64) -> Command {
    let mut command = Command::new(binary);
    // The order of tests can be random by an unstable option alone.
    command.env("RUSTC_BOOTSTRAP", "1").env("RUST_BACKTRACE", "1");
    command.args(["-Z", "unstable-options", "--shuffle-seed", &seed.to_string()]);
    command.args(["--test-threads", &at_once(seed).to_string()]);
    command
}

#[cfg(test)]
mod tests {
    use super::at_once;

    #[test]
    fn seeds_give_one_to_eight_tests_at_once() {
        let mut numbers: Vec<u64> = (1..=40).map(at_once).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
