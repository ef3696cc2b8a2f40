//! `cargo xtask test`: every check and test, from cheap to dear, up to the first failure. CI runs this and nothing else.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::adapters;
use crate::compiler::{Compiler, target_dir};
use crate::fuzz;
use crate::instructions;
use crate::isolation;
use crate::languages;
use crate::process::{cargo, run as run_command, run_seeing};
use crate::tools::Tools;

type Step = fn(&mut Suite) -> Result<()>;

const STEPS: [(&str, Step); 13] = [
    ("formatting", formatting),
    ("lints", lints),
    ("dependencies", dependencies),
    ("tests of the host", host_tests),
    ("receivers with published libraries", receivers),
    ("new projects", projects),
    ("examples in each language", examples),
    ("tests of the adapters, native", adapter_tests),
    ("prebuilt adapters", prebuilt),
    ("the demo", demo),
    ("instructions", instructions),
    ("isolation", isolated),
    ("fuzzing", fuzzed),
];

/// The host's tests that need what a machine may not have. `cargo test` leaves them out (`#[ignore]`); a step each brings that
/// along and runs them.
pub const NEED_TOOLS: [&str; 3] = [RECEIVERS, PROJECTS, LANGUAGES];
const RECEIVERS: &str = "receivers::";
const PROJECTS: &str = "authoring::";
const LANGUAGES: &str = "languages::";

struct Suite<'a> {
    root: &'a Path,
    online: bool,
    tools: Tools,
    passed: u64,
    failed: u64,
}

/// Runs all steps.
pub fn run(root: &Path, online: bool) -> Result<()> {
    let mut suite = Suite { root, online, tools: Tools::default(), passed: 0, failed: 0 };
    let begin = now();
    let result = suite.steps();
    println!("\n{} in {}", suite.tools.summary(), shown(begin.elapsed()));
    println!("{} passed, {} failed", suite.passed, suite.failed);
    result
}

impl Suite<'_> {
    fn steps(&mut self) -> Result<()> {
        for (index, (name, step)) in STEPS.iter().enumerate() {
            println!("\n=== {} of {}: {name}", index + 1, STEPS.len());
            let begin = now();
            step(self).with_context(|| format!("step {} of {} ({name}) failed", index + 1, STEPS.len()))?;
            println!("=== {name}: fine, {}", shown(begin.elapsed()));
        }
        Ok(())
    }

    fn cargo(&self) -> Command {
        cargo(self.root)
    }

    /// Cargo in the adapters' workspace.
    fn guest_cargo(&self) -> Command {
        let mut command = self.cargo();
        command.current_dir(self.root.join("adapters")).env("CARGO_TARGET_DIR", target_dir(self.root));
        command
    }

    /// Cargo in the fuzz targets' workspace.
    fn fuzz_cargo(&self) -> Command {
        let mut command = self.cargo();
        command.current_dir(self.root.join("fuzz"));
        command
    }

    fn test(&mut self, command: &mut Command) -> Result<()> {
        self.counted(command.args(["test", "--locked", "--workspace", "--no-fail-fast"]))
    }

    /// Runs the host's tests of that name which are not run otherwise; that there are none is a failure, too.
    fn ignored(&mut self, mut cargo: Command, name: &str) -> Result<()> {
        cargo.args(["test", "--locked", "-p", "herald", "--test", "integration", "--", "--ignored", name]);
        let before = self.passed;
        self.counted(&mut cargo)?;
        if self.passed == before {
            bail!("none of the tests {name} was run");
        }
        Ok(())
    }

    /// Runs tests and adds up how many have passed.
    fn counted(&mut self, command: &mut Command) -> Result<()> {
        let (mut passed, mut failed) = (0, 0);
        let result = run_seeing(command, |line| {
            if let Some(counts) = counts(line) {
                passed += counts.0;
                failed += counts.1;
            }
        });
        self.passed += passed;
        self.failed += failed;
        result
    }
}

fn formatting(suite: &mut Suite) -> Result<()> {
    suite.tools.rust_components(suite.root)?;
    for mut cargo in [suite.cargo(), suite.guest_cargo(), suite.fuzz_cargo()] {
        run_command(cargo.args(["fmt", "--all", "--check"])).context("run `cargo fmt --all` in that folder")?;
    }
    Ok(())
}

fn lints(suite: &mut Suite) -> Result<()> {
    for mut cargo in [suite.cargo(), suite.guest_cargo()] {
        run_command(cargo.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    }
    Ok(())
}

fn dependencies(suite: &mut Suite) -> Result<()> {
    let deny = suite.tools.cargo_deny(suite.root)?;
    let mut checks = vec!["bans", "licenses", "sources"];
    if advisories(suite, &deny)? {
        checks.push("advisories");
    }
    for manifest in ["Cargo.toml", "adapters/Cargo.toml", "fuzz/Cargo.toml"] {
        let mut command = Command::new(&deny);
        command.current_dir(suite.root).args(["--locked", "--manifest-path", manifest, "--config", "deny.toml"]);
        command.args(["check", "--hide-inclusion-graph"]).args(&checks);
        run_command(&mut command)?;
    }
    Ok(())
}

/// Whether the database of known vulnerabilities is there, as it is now. A machine whose network does not have it can test
/// all the rest, unless it was asked for.
fn advisories(suite: &Suite, deny: &Path) -> Result<bool> {
    let mut fetch = Command::new(deny);
    fetch.current_dir(suite.root).args(["--config", "deny.toml", "fetch", "db"]).env("GIT_TERMINAL_PROMPT", "0");
    match run_command(&mut fetch) {
        Ok(()) => println!("known vulnerabilities: looked for, in RustSec's database as it is now"),
        Err(error) if suite.online => {
            return Err(error.context("known vulnerabilities: their database can't be fetched"));
        }
        Err(_) => {
            println!("known vulnerabilities: NOT looked for, as this network does not have RustSec's database");
            return Ok(false);
        }
    }
    Ok(true)
}

fn host_tests(suite: &mut Suite) -> Result<()> {
    let mut cargo = suite.cargo();
    suite.test(&mut cargo)
}

/// The tests that need what other languages publish.
fn receivers(suite: &mut Suite) -> Result<()> {
    let libraries = suite.tools.webhook_libraries(suite.root)?;
    let mut cargo = suite.cargo();
    cargo.env("HERALD_NODE_MODULES", libraries.node_modules).env("HERALD_PYTHON", libraries.python);
    suite.ignored(cargo, RECEIVERS)
}

/// The tests that need a compiler for guests.
fn projects(suite: &mut Suite) -> Result<()> {
    Compiler::find(suite.root, &mut suite.tools)?;
    suite.tools.wasi_libc()?;
    let cargo = suite.cargo();
    suite.ignored(cargo, PROJECTS)
}

/// Builds the examples as their users do, and has a host deliver with each. `herald` is a part of some of the commands.
fn examples(suite: &mut Suite) -> Result<()> {
    // With the tests' features: by itself it would be another build of everything.
    run_command(suite.cargo().args(["test", "--locked", "-p", "herald", "--test", "integration", "--no-run"]))?;
    let built = languages::build(suite.root, &mut suite.tools)?;
    let path = suite.tools.of_languages(suite.root)?;
    let path = std::env::join_paths(path).context("a folder's name has a colon in it")?;
    let mut cargo = suite.cargo();
    cargo.env("HERALD_EXAMPLES", built).env("HERALD_EXAMPLES_PATH", path);
    suite.ignored(cargo, LANGUAGES)
}

fn adapter_tests(suite: &mut Suite) -> Result<()> {
    let mut cargo = suite.guest_cargo();
    suite.test(&mut cargo)
}

fn prebuilt(suite: &mut Suite) -> Result<()> {
    adapters::check_with(suite.root, &mut suite.tools)
}

fn demo(suite: &mut Suite) -> Result<()> {
    run_command(suite.cargo().args(["run", "--release", "--locked", "--", "demo", "--once"]))
}

fn instructions(suite: &mut Suite) -> Result<()> {
    instructions::run_with(suite.root, instructions::COMPARE, &mut suite.tools)
}

/// Measured, so after everything else, with the build that the demo has made.
fn isolated(suite: &mut Suite) -> Result<()> {
    isolation::run(suite.root, &isolation::USUAL)
}

/// Last, as it compiles everything in a way of its own.
fn fuzzed(suite: &mut Suite) -> Result<()> {
    fuzz::run(suite.root, &fuzz::usual(), &mut suite.tools)
}

/// Passed and failed, of a line like `test result: ok. 12 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = counts.split("; ").map(|part| part.split(' ').next()?.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// For people to read; nothing is decided by it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn shown(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn counts_are_read_from_cargos_lines() {
        assert_eq!(counts("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured"), Some((12, 0)));
        assert_eq!(counts("test result: FAILED. 3 passed; 2 failed; 0 ignored"), Some((3, 2)));
        assert_eq!(counts("test result: odd"), None);
        assert_eq!(counts("12 passed; 0 failed"), None);
    }
}
