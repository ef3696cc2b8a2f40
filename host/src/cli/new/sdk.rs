//! The SDK's crate as it stands in a new project in Rust: its sources are those of `adapters/sdk`, its manifest says what
//! it had left to its workspace.

use toml::{Table, Value};

use super::embedded::{SDK, SDK_WORKSPACE};

/// The folder, which is the crate's name as well.
pub(super) const FOLDER: &str = "herald-channel";
const MANIFEST: &str = "Cargo.toml";

/// The files of the crate, by their path in its folder.
pub(super) fn files() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let file = |(path, bytes): &(&str, &[u8])| {
        let text = str::from_utf8(bytes)?;
        let text = match *path {
            MANIFEST => manifest(text, SDK_WORKSPACE)?,
            // The contract lies in the project's folder, which is this one's.
            _ => text.replace("\"../../wit\"", "\"../wit\""),
        };
        Ok(((*path).to_owned(), text.into_bytes()))
    };
    SDK.iter().map(file).collect()
}

/// The manifest with the workspace's values in the place of each `workspace = true`.
fn manifest(own: &str, workspace: &str) -> anyhow::Result<String> {
    let mut own: Table = own.parse()?;
    let workspace: Table = workspace.parse()?;
    let shared = |section: &str| workspace.get("workspace").and_then(|all| all.get(section)?.as_table());
    // Which lints are asked for is the repository's affair.
    own.remove("lints");
    for (section, of_workspace) in [
        ("package", "package"),
        ("dependencies", "dependencies"),
        ("dev-dependencies", "dependencies"),
        ("build-dependencies", "dependencies"),
    ] {
        let entries = own.get_mut(section).and_then(Value::as_table_mut).into_iter().flatten();
        for (name, value) in entries {
            if let (Some(entry), Some(shared)) = (value.as_table(), shared(of_workspace).and_then(|all| all.get(name)))
                && entry.get("workspace") == Some(&Value::Boolean(true))
            {
                *value = inherited(entry, shared);
            }
        }
    }
    Ok(toml::to_string(&own)?)
}

/// What the workspace says, and what the entry adds to it.
fn inherited(entry: &Table, shared: &Value) -> Value {
    let mut own = entry.clone();
    own.remove("workspace");
    if own.is_empty() {
        return shared.clone();
    }
    let mut all = match shared {
        Value::Table(table) => table.clone(),
        version => Table::from_iter([("version".to_owned(), version.clone())]),
    };
    for (name, value) in own {
        match (all.get_mut(&name), value) {
            (Some(Value::Array(there)), Value::Array(more)) => there.extend(more),
            (_, value) => {
                all.insert(name, value);
            }
        }
    }
    Value::Table(all)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_to_the_workspace_is_said() {
        let own = "[package]\nname = \"a\"\nedition.workspace = true\n[dependencies]\nx.workspace = true\n\
                   y = { workspace = true, features = [\"b\"], optional = true }\n[lints]\nworkspace = true\n";
        let workspace = "[workspace.package]\nedition = \"2024\"\n[workspace.dependencies]\nx = \"1\"\n\
                         y = { version = \"2\", features = [\"a\"] }\n";
        let written: Table = manifest(own, workspace).unwrap().parse().unwrap();
        let expected = "[package]\nname = \"a\"\nedition = \"2024\"\n[dependencies]\nx = \"1\"\n\
                        y = { version = \"2\", features = [\"a\", \"b\"], optional = true }\n";
        assert_eq!(written, expected.parse().unwrap());
    }

    #[test]
    fn the_crate_stands_by_itself() {
        for (path, bytes) in files().unwrap() {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("workspace = true") && !text.contains("../../wit"), "{path}: {text}");
        }
    }
}
