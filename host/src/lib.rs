//! Herald carries an application's events to the people and systems that want to know.
//!
//! | module | what it is for |
//! |---|---|
//! | [`model`] | the words as types, and the pure decisions |
//! | [`config`] | raw TOML → checked config; references to secrets |
//! | [`store`] | events, deliveries and attempts; the only place that knows SQL |
//! | [`adapter`] | channel types as WebAssembly components; the only place that knows wasmtime |
//! | [`outbound`] | the way out: guard, secrets, signing, the HTTP client |
//! | [`pipeline`] | accept → store → due → render → send → interpret → settle |
//! | [`api`] | the HTTP API; the only place that knows axum |
//! | [`app`] | builds a host of all these, runs it, drains it |
//! | [`cli`] | one file a command |
//! | [`clock`], [`wake`], [`files`] | the only places that read a clock, listen to the file system, and read files of others |
//!
//! `model` imports nothing of ours; `config`, `store`, `adapter` and `outbound` import `model` and never each other;
//! `pipeline` imports those; `api` imports `model`, `store` and `pipeline`; `app` and `cli` import all.

pub mod adapter;
pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod files;
pub mod model;
pub mod outbound;
pub mod pipeline;
pub mod store;
pub mod wake;

#[cfg(test)]
mod tests {
    use std::process::Command;

    /// The tests of this library as its runner lists them: all, or with `--ignored` those that it leaves out.
    fn listed(more: &[&str]) -> Vec<String> {
        let mut runner = Command::new(std::env::current_exe().unwrap());
        let output = runner.args(["--list", "--format", "terse"]).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
    }

    #[test]
    fn every_test_of_the_library_that_the_threat_model_names_is_run() {
        let named = include_str!("../../SECURITY.md").lines().filter_map(|row| {
            let test = row.strip_suffix("` |")?.rsplit_once('`')?.1;
            test.strip_prefix("host/src/")?.split_once(".rs::")
        });
        let named: Vec<_> = named.collect();
        assert!(named.len() > 10, "only {named:?} were found");
        let (all, left_out) = (listed(&[]), listed(&["--ignored"]));
        for (file, name) in named {
            let (begin, end) = (format!("{}::", file.replace('/', "::")), format!("::{name}"));
            let is_it = |test: &String| test.starts_with(&begin) && test.ends_with(&end);
            assert!(all.iter().any(is_it), "{file}::{name} is named and does not exist");
            assert!(!left_out.iter().any(is_it), "{file}::{name} is named and is not run");
        }
    }
}
