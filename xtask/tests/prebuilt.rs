//! A stale component is found by its digest alone.

#![allow(clippy::unwrap_used, reason = "a test may fail where it stands, its helpers too")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::prebuilt::{self, COMPONENTS, Entry, Manifest};

/// A repository with just enough in it, gone when the test is.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("herald-xtask-{name}-{}", std::process::id()));
        let repository = Self(root);
        let adapters = COMPONENTS.iter().map(|component| component.adapter);
        for crate_folder in adapters.chain(["sdk", "engine"]) {
            repository.write(&format!("adapters/{crate_folder}/Cargo.toml"), "[package]");
            repository.write(&format!("adapters/{crate_folder}/src/lib.rs"), "//! Nothing.");
        }
        for file in ["wit/channel.wit", "adapters/Cargo.toml", "adapters/Cargo.lock"] {
            repository.write(file, "");
        }
        let mut components = BTreeMap::new();
        for component in &COMPONENTS {
            repository.write(&format!("adapters/prebuilt/{}.wasm", component.name), component.name);
            let sources = prebuilt::source_digest(&repository.0, component).unwrap();
            let entry =
                Entry { sha256: prebuilt::sha256(component.name.as_bytes()), size: component.name.len(), sources };
            components.insert(component.name.to_owned(), entry);
        }
        Manifest { compiler: "none".into(), components }.write(&repository.0).unwrap();
        repository
    }

    fn write(&self, file: &str, content: &str) {
        let path = self.0.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// The components that are complained of.
fn stale(repository: &Repository) -> Vec<String> {
    let problems = prebuilt::verify_sources(repository.root()).err().unwrap_or_default();
    problems.iter().map(|problem| problem.split(".wasm").next().unwrap().to_owned()).collect()
}

#[test]
fn what_was_built_from_these_sources_is_fine() {
    assert_eq!(prebuilt::verify_sources(Repository::new("fine").root()), Ok(()));
}

#[test]
fn a_changed_source_makes_stale_what_is_built_from_it() {
    let repository = Repository::new("source");
    repository.write("adapters/slack/src/lib.rs", "//! Something.");
    assert_eq!(stale(&repository), ["slack"]);
    repository.write("adapters/board/src/new.rs", "");
    assert_eq!(stale(&repository), ["slack", "board-1.0.0", "board-1.1.0"]);
    repository.write("wit/channel.wit", "package herald:channel;");
    assert_eq!(stale(&repository).len(), COMPONENTS.len());
}

#[test]
fn what_an_editor_leaves_behind_is_no_source() {
    let repository = Repository::new("editor");
    repository.write("adapters/slack/src/lib.rs~", "//! Something.");
    assert_eq!(prebuilt::verify_sources(repository.root()), Ok(()));
}

#[test]
fn another_component_than_the_manifests_is_found() {
    let repository = Repository::new("component");
    repository.write("adapters/prebuilt/webhook.wasm", "another");
    assert_eq!(stale(&repository), ["webhook"]);
    fs::remove_file(repository.root().join("adapters/prebuilt/manifest.json")).unwrap();
    assert_eq!(prebuilt::verify_sources(repository.root()).unwrap_err().len(), 1);
}
