//! `cargo xtask test`: every check and test, from cheap to dear, up to the first failure. CI runs this and nothing else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::adapters;
use crate::compiler::target_dir;
use crate::failures::Failures;
use crate::languages;
use crate::measure::now;
use crate::process::{cargo, run as run_command, run_seeing, time};
use crate::tools::Tools;

struct Step {
    /// What `--only` takes.
    name: &'static str,
    title: &'static str,
    run: fn(&mut Suite) -> Result<()>,
}

const STEPS: [Step; 10] = [
    Step { name: "formatting", title: "formatting", run: formatting },
    Step { name: "lints", title: "lints", run: lints },
    Step { name: "dependencies", title: "dependencies", run: dependencies },
    Step { name: "host", title: "tests of the host", run: host_tests },
    Step { name: "receivers", title: "receivers with published libraries", run: receivers },
    Step { name: "projects", title: "new projects", run: projects },
    Step { name: "languages", title: "examples in each language", run: examples },
    Step { name: "adapters", title: "tests of the adapters, native", run: adapter_tests },
    Step { name: "prebuilt", title: "prebuilt adapters", run: prebuilt },
    Step { name: "demo", title: "the demo", run: demo },
];

/// The host's tests that need what a machine may not have. `cargo test` leaves them out (`#[ignore]`); a step each brings that
/// along and runs them.
pub const NEED_TOOLS: [&str; 3] = [RECEIVERS, PROJECTS, LANGUAGES];
const RECEIVERS: &str = "receivers::";
const PROJECTS: &str = "authoring::";
const LANGUAGES: &str = "languages::";

/// What is run.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Look for known vulnerabilities too: fetches a database
    #[arg(long)]
    online: bool,
    /// Only this step; may be given again
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(STEPS.map(|step| step.name)))]
    only: Vec<String>,
}

struct Suite<'a> {
    root: &'a Path,
    online: bool,
    tools: Tools,
    passed: u64,
    failed: u64,
    failures: Failures,
    /// Commands that repeat the failed tests.
    repeat: Vec<String>,
}

/// Runs the steps up to the first that fails. The output ends with how many tests passed and, after a failure, with the
/// step, the tests and the command that repeats them.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let (tools, failures) = (Tools::default(), Failures::default());
    let mut suite = Suite { root, online: options.online, tools, passed: 0, failed: 0, failures, repeat: Vec::new() };
    let begin = now();
    let steps: Vec<&Step> = STEPS
        .iter()
        .filter(|step| options.only.is_empty() || options.only.iter().any(|name| name == step.name))
        .collect();
    let mut failed = None;
    for (index, step) in steps.iter().enumerate() {
        let number = format!("{} of {}", index + 1, steps.len());
        println!("\n=== {number}: {}", step.title);
        let begin = now();
        if let Err(error) = (step.run)(&mut suite) {
            failed = Some((number, *step, error));
            break;
        }
        println!("=== {}: fine, {}", step.title, time(begin.elapsed()));
    }
    println!("\n{} in {}", suite.tools.summary(), time(begin.elapsed()));
    println!("{} passed, {} failed", suite.passed, suite.failed);
    let Some((number, step, error)) = failed else { return Ok(()) };
    println!("\n=== FAILED: step {number}, {}", step.title);
    println!("{error:#}");
    for name in suite.failures.names() {
        println!("failed test: {name}");
    }
    for command in &suite.repeat {
        println!("repeat just that: {command}");
    }
    println!("repeat the step: cargo xtask test --only {}", step.name);
    bail!("step {number} ({}) failed", step.name)
}

impl Suite<'_> {
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

    /// Runs all tests of the workspace in `folder`.
    fn test(&mut self, command: &mut Command, folder: &str) -> Result<()> {
        let result = self.counted(command.args(["test", "--locked", "--workspace", "--no-fail-fast"]));
        let prefix = if folder.is_empty() { String::new() } else { format!("cd {folder} && ") };
        self.repeat = self.failures.commands(&prefix);
        result
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
        run_seeing(command, |line| {
            self.failures.read(line);
            if let Some(counts) = counts(line) {
                self.passed += counts.0;
                self.failed += counts.1;
            }
        })
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
    if suite.online {
        checks.push("advisories");
    } else {
        println!(
            "known vulnerabilities are looked for with --online only: what their database holds changes by itself"
        );
    }
    for manifest in ["Cargo.toml", "adapters/Cargo.toml", "fuzz/Cargo.toml"] {
        let mut command = Command::new(&deny);
        command.current_dir(suite.root).args(["--locked", "--manifest-path", manifest, "--config", "deny.toml"]);
        command.args(["check", "--hide-inclusion-graph"]).args(&checks);
        run_command(&mut command)?;
    }
    Ok(())
}

fn host_tests(suite: &mut Suite) -> Result<()> {
    let mut cargo = suite.cargo();
    suite.test(&mut cargo, "")
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
    suite.tools.wasi_libc(suite.root)?;
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
    suite.test(&mut cargo, "adapters")
}

fn prebuilt(suite: &mut Suite) -> Result<()> {
    adapters::check_with(suite.root, &mut suite.tools)
}

fn demo(suite: &mut Suite) -> Result<()> {
    run_command(suite.cargo().args(["run", "--release", "--locked", "--", "demo", "--once"]))
}

/// Passed and failed, of a line like `test result: ok. 12 passed; 0 failed; …`.
fn counts(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = counts.split("; ").map(|part| part.split(' ').next()?.parse().ok());
    Some((numbers.next()??, numbers.next()??))
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
