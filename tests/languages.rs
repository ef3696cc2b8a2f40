//! The examples in each language at work in a live host.
//!
//! `cargo xtask test` installs what they are built with, builds them as their users do, says where by two variables, and
//! runs this. `cargo test` alone does without.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use herald::adapter::{Cache, Options, Origin, Registry, golden};
use serde_json::json;

use crate::harness::{Receiver, Setup, TestHost, shared_cache};

const KEY: &str = "k-9f3a";
/// Compiling Python's interpreter in a debug build on a busy machine.
const LONG: Duration = Duration::from_mins(5);

/// An example that was built.
struct Example {
    language: String,
    folder: PathBuf,
    build: Option<String>,
    component: PathBuf,
}

fn variable(name: &str) -> OsString {
    std::env::var_os(name)
        .unwrap_or_else(|| panic!("{name} is not set: `cargo xtask test` sets it, and builds what it points at"))
}

/// All whose folder is in the repository; one that was not built is a failure.
fn examples() -> Vec<Example> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/adapters");
    let built = PathBuf::from(variable("HERALD_EXAMPLES"));
    let mut found: Vec<_> = fs::read_dir(sources)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        // One with a dash shows something else of a language.
        .filter(|language| !language.contains('-'))
        .map(|language| {
            let folder = built.join(&language);
            let recipe = fs::read_to_string(folder.join("adapter.toml"));
            let recipe: toml::Table = recipe.unwrap_or_else(|error| panic!("{language}: {error}")).parse().unwrap();
            let text = |key: &str| recipe.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            let component = folder.join(text("component").unwrap());
            assert!(component.is_file(), "{language}: {} is missing", component.display());
            Example { language, folder, build: text("build"), component }
        })
        .collect();
    found.sort_by(|a, b| a.language.cmp(&b.language));
    assert!(!found.is_empty());
    found
}

impl Example {
    /// Under its own name, as it stands in the adapters folder.
    fn file_name(&self) -> String {
        format!("{}.{}", self.language, self.component.extension().unwrap().to_str().unwrap())
    }

    fn put(&self, setup: &Setup) {
        let next = setup.folder.path().join("next");
        fs::copy(&self.component, &next).unwrap();
        fs::rename(next, setup.adapters().join(self.file_name())).unwrap();
    }

    /// Changes its sources and builds them again.
    fn change(&self, changes: &[(&str, &str)]) {
        let mut changed = 0;
        for file in fs::read_dir(self.folder.join("src")).unwrap().map(|entry| entry.unwrap().path()) {
            let Ok(text) = fs::read_to_string(&file) else { continue };
            let next = changes.iter().fold(text.clone(), |text, (old, new)| text.replace(old, new));
            changed += usize::from(next != text);
            fs::write(file, next).unwrap();
        }
        assert_eq!(changed, 1, "{}: what was to be changed stands elsewhere", self.language);
        let mut shell = Command::new("sh");
        shell.args(["-c", self.build.as_ref().unwrap()]).current_dir(&self.folder);
        let usual = std::env::var_os("PATH").unwrap();
        let installed = variable("HERALD_EXAMPLES_PATH");
        let path = std::env::split_paths(&installed).chain(std::env::split_paths(&usual));
        assert!(shell.env("PATH", std::env::join_paths(path).unwrap()).status().unwrap().success());
    }
}

#[test]
#[ignore = "needs the examples built: `cargo xtask test` builds them and runs this"]
fn the_golden_cases_of_each_language_come_true() {
    let cache = Cache::open(&shared_cache()).unwrap();
    let registry = Registry::open(Options { cache: Some(cache), ..Options::default() }, Vec::new()).unwrap();
    for example in examples() {
        let Example { language, component, folder, .. } = &example;
        let bytes = fs::read(component).unwrap();
        let adapter = registry
            .load(language, &bytes, Origin::File(component.clone()))
            .unwrap_or_else(|error| panic!("{language}: {} ({})", error, error.step));
        let cases = golden::read(&folder.join("cases")).unwrap();
        assert!(cases.len() >= 2, "{language}: {} cases", cases.len());
        for case in cases {
            case.run(&adapter).unwrap_or_else(|difference| panic!("{language}, {}: {difference}", case.name));
        }
    }
}

/// A channel of each language, none of whose adapters is there yet.
fn config(examples: &[Example], receiver: &Receiver) -> String {
    let channel = |example: &Example| {
        let (language, url) = (&example.language, receiver.url(&format!("/{}", example.language)));
        format!(
            "[[channel]]\nname = \"{language}\"\nadapter = \"{language}\"\n[channel.settings]\nurl = \"{url}\"\n\
             key = \"{KEY}\"\n[[route]]\nchannel = \"{language}\"\nevents = [\"execution_*\"]\n"
        )
    };
    let limits = "[adapters.limits.python]\nisolation = \"channel\"\n";
    limits.to_owned() + &examples.iter().map(channel).collect::<String>()
}

async fn loaded(host: &TestHost, language: &str, version: impl Fn(&str) -> bool) {
    let registry = host.app.pipeline().registry();
    let mut changes = registry.changes();
    let arrives = changes.wait_for(|_| {
        let refused = registry.published().refused.get(language).map(|refused| refused.error.to_string());
        assert!(refused.is_none(), "{language}: {refused:?}");
        registry.get(language).is_some_and(|adapter| version(&adapter.id.version))
    });
    let came = tokio::time::timeout(LONG, arrives).await;
    came.unwrap_or_else(|_| panic!("{language} was not loaded in {LONG:?}")).unwrap();
}

/// Posts an event, and holds what each channel sends against what it should.
async fn delivers(
    host: &TestHost,
    receiver: &Receiver,
    count: usize,
    kind: &str,
    level: impl Fn(&str) -> &'static str,
) {
    let before = receiver.received().len();
    host.accepted(json!({ "type": kind, "title": "Größe \u{2713} \"x\"" }).to_string()).await;
    let received = receiver.wait_for(before + count).await;
    host.drain().await;
    for request in &received[before..] {
        let language = request.path.trim_start_matches('/');
        assert_eq!((request.method.as_str(), request.header("x-key")), ("POST", KEY), "{language}");
        assert_eq!(request.header("content-type"), "application/json", "{language}");
        let expected = json!({ "text": "Größe \u{2713} \"x\"", "level": level(language) });
        assert_eq!(request.json(), expected, "{language}");
    }
    let paths: std::collections::BTreeSet<_> = received[before..].iter().map(|request| &request.path).collect();
    assert_eq!(paths.len(), count, "one of each: {paths:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the examples built: `cargo xtask test` builds them and runs this"]
async fn an_adapter_in_each_language_is_dropped_in_delivers_and_is_changed_live() {
    let (examples, receiver) = (examples(), Receiver::start().await);
    let setup = Setup::new(&config(&examples, &receiver));
    let host = setup.start().await;
    for example in &examples {
        example.put(&setup);
    }
    for example in &examples {
        loaded(&host, &example.language, |_| true).await;
    }
    delivers(&host, &receiver, examples.len(), "execution_completed", |_| "green").await;
    delivers(&host, &receiver, examples.len(), "execution_failed", |_| "red").await;
    let changed = |language: &str| ["js", "python"].contains(&language);
    for example in examples.iter().filter(|example| changed(&example.language)) {
        example.change(&[("1.0.0", "1.1.0"), ("\"green\"", "\"lime\"")]);
        example.put(&setup);
        loaded(&host, &example.language, |version| version == "1.1.0").await;
    }
    let level = |language: &str| if changed(language) { "lime" } else { "green" };
    delivers(&host, &receiver, examples.len(), "execution_completed", level).await;
    host.stop().await;
}

#[test]
fn each_example_brings_the_contract_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let contract = fs::read_to_string(root.join("wit/channel.wit")).unwrap();
    let copies = fs::read_dir(root.join("examples/adapters"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("wit/channel.wit"));
    let copies: Vec<_> = copies.filter(|copy| copy.exists()).collect();
    assert!(copies.len() >= 5, "{copies:?}");
    for copy in copies {
        assert!(fs::read_to_string(&copy).unwrap() == contract, "copy wit/channel.wit to {}", copy.display());
    }
}
