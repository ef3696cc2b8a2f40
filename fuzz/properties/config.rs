//! Config files: each is taken, or refused with its problems, and taken in the same way twice.
//!
//! References are resolved while a config is read, and one kind runs a command: files that have one are left out.

use herald::config::{self, Sources};

/// Panics when the property does not hold; answers whether the input was one that can be judged.
pub fn check(text: &str) -> bool {
    // What can't be parsed here isn't parsed there, either: it is the same parser.
    if toml::from_str::<toml::Value>(text).is_ok_and(|config| runs_a_command(&config)) {
        return false;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("herald.toml");
    std::fs::write(&file, text).expect("a file");
    let sources = Sources { file: Some(file), env: Vec::new(), flags: Vec::new(), variable: &|_| None };
    let (first, problems) = config::examine(&sources);
    let (second, again) = config::examine(&sources);
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
    assert_eq!(problems.to_string(), again.to_string());
    assert!(first.is_some() || !problems.is_empty(), "refused without a reason");
    true
}

fn runs_a_command(value: &toml::Value) -> bool {
    match value {
        toml::Value::Table(table) => table.contains_key("exec") || table.values().any(runs_a_command),
        toml::Value::Array(items) => items.iter().any(runs_a_command),
        _ => false,
    }
}
