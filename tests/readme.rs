//! What the documents say is so: promises are tests, configs are good, commands exist, links lead somewhere.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use herald::{app, config::Sources};

const README: &str = include_str!("../README.md");

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The blocks of a language.
fn blocks(language: &str) -> Vec<&'static str> {
    let opening = format!("\n```{language}\n");
    README.split(&opening).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The tests of this program as its runner lists them: all, or with `--ignored` those that it runs only when asked to.
fn listed(more: &[&str]) -> BTreeSet<String> {
    let mut runner = Command::new(std::env::current_exe().unwrap());
    let output = runner.args(["--list", "--format", "terse"]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// The rows of a table that end with a test's name, and that name.
fn rows(table: &str) -> Vec<(&str, &str)> {
    table.lines().filter_map(|row| Some((row, row.strip_suffix("` |")?.rsplit_once('`')?.1))).collect()
}

#[test]
fn every_promise_is_the_name_of_a_test_that_is_run() {
    const BY_XTASK: &str = "(`cargo xtask test`)";
    let (_, table) = README.split_once("## What Herald promises").unwrap();
    let promises: Vec<_> = rows(table).into_iter().filter(|(_, test)| test.contains("::")).collect();
    assert!(promises.len() > 80, "only {} promises were found", promises.len());
    let (all, left_out) = (listed(&[]), listed(&["--ignored"]));
    for (row, test) in promises {
        assert!(all.contains(test), "{test} is promised and does not exist");
        assert_eq!(left_out.contains(test), row.contains(BY_XTASK), "whether {BY_XTASK} stands there: {row}");
    }
    // What is left out here is run there, each of it.
    for test in left_out {
        assert!(xtask::suite::NEED_TOOLS.iter().any(|module| test.starts_with(*module)), "nothing runs {test}");
    }
}

/// Those below `host/src` are looked for by a test of the library, whose runner knows them.
#[test]
fn every_row_of_the_threat_model_is_the_name_of_a_test_that_is_run() {
    let text = fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let all: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| who | tries")).collect();
    assert!(all.len() > 20, "only {} rows were found", all.len());
    let (run, left_out) = (listed(&[]), listed(&["--ignored"]));
    for row in all {
        let named = rows(row).first().and_then(|(_, test)| test.split_once(".rs::"));
        let (file, name) = named.unwrap_or_else(|| panic!("no test: {row}"));
        match file.strip_prefix("tests/") {
            Some(module) => {
                let test = format!("{module}::{name}");
                assert!(run.contains(&test) && !left_out.contains(&test), "{test} is named and is not run");
            }
            None => assert!(file.starts_with("host/src/"), "{file} is looked for nowhere"),
        }
    }
}

#[test]
fn every_config_shown_is_a_good_one() {
    let shown = blocks("toml");
    let quickstart = fs::read_to_string(root().join("examples/quickstart/herald.toml")).unwrap();
    assert!(shown.contains(&quickstart.as_str()), "the quickstart's file is not what the README shows");
    let folder = tempfile::tempdir().unwrap();
    for text in shown {
        let file = folder.path().join("herald.toml");
        fs::write(&file, text).unwrap();
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("adapter-cache").display().to_string();
        let sources = Sources {
            file: Some(file),
            env: Vec::new(),
            flags: vec![("adapters.cache".to_owned(), cache)],
            variable: &|name| {
                let value = if name.contains("SIGNING") {
                    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
                } else if name.contains("PROXY") {
                    "http://user:password@proxy.example:3128"
                } else if name.contains("TOKEN") {
                    "hrld_0123456789012345678901234567890123456789012"
                } else {
                    "https://secret.example/"
                };
                Some(value.to_owned())
            },
        };
        let (problems, warnings) = app::check(&sources).unwrap();
        assert!(problems.is_empty() && warnings.is_empty(), "{problems:?} {warnings:?}\nin\n{text}");
    }
}

#[test]
fn every_command_shown_exists() {
    let help = |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_herald")).args(words).arg("--help").output().unwrap();
        assert!(output.status.success(), "herald {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // Between backticks is code, be it a word in a line or a block.
    let code = README.split('`').skip(1).step_by(2).flat_map(str::lines);
    let word = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let commands: BTreeSet<Vec<&str>> = code
        .filter_map(|line| line.strip_prefix("herald "))
        .map(|rest| rest.split_whitespace().take_while(word).take(2).collect())
        .collect();
    assert!(commands.len() > 8, "only {commands:?}");
    for command in commands {
        help(&command);
    }
    let rows = README.lines().filter_map(|line| line.strip_prefix("| `herald ")?.split_once('`'));
    for (command, about) in rows {
        let help = help(&command.split(' ').take_while(word).collect::<Vec<_>>());
        for flag in about.split('`').filter(|flag| flag.starts_with("--")) {
            assert!(help.contains(flag), "herald {command} has no {flag}");
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let docs = ["docs/languages.md", "docs/script-adapters.md", "docs/writing-a-channel.md"];
    let read = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "adapters/README.md"];
    for name in read.into_iter().chain(docs) {
        let file = root().join(name);
        let text = fs::read_to_string(&file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.contains("://") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let other = if path.is_empty() { file.clone() } else { file.parent().unwrap().join(path) };
            let there = if heading.is_empty() {
                other.exists()
            } else {
                let text = fs::read_to_string(other).unwrap_or_default();
                text.lines().filter_map(|line| line.strip_prefix("#")).any(|line| anchor(line) == heading)
            };
            assert!(there, "{name}: {target} leads nowhere");
        }
    }
}

/// As GitHub names a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}
