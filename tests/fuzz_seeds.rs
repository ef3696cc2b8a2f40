//! The fuzz targets' properties hold for their committed seeds. `cargo xtask measure fuzz` looks for inputs for which they do not;
//! each one that it finds becomes a seed.

use std::{fs, path::Path};

use arbitrary::{Arbitrary, Unstructured};
use herald::adapter::{Options, Origin, Registry};

use crate::harness::guests::{Act, Guest};

#[path = "../fuzz/properties/address.rs"]
mod address;
#[path = "../fuzz/properties/cloudevents.rs"]
mod cloudevents;
#[path = "../fuzz/properties/component.rs"]
mod component;
#[path = "../fuzz/properties/config.rs"]
mod config;
#[path = "../fuzz/properties/event.rs"]
mod event;
#[path = "../fuzz/properties/mrkdwn.rs"]
mod mrkdwn;
#[path = "../fuzz/properties/secrets.rs"]
mod secrets;

const FUZZ: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz");

/// Calls `check` with each seed of a target, read in the way libFuzzer reads it.
fn each_seed(target: &str, mut check: impl FnMut(&[u8])) {
    let mut files: Vec<_> =
        fs::read_dir(Path::new(FUZZ).join("seeds").join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    for file in files {
        // Shown only when the test fails: a property that does not hold panics.
        println!("seed {}", file.display());
        check(&fs::read(&file).unwrap());
    }
}

fn read<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> T {
    T::arbitrary_take_rest(Unstructured::new(bytes)).unwrap()
}

#[test]
fn addresses_that_are_not_public_are_refused_in_each_spelling() {
    each_seed("address", |bytes| address::check(read(bytes)));
}

#[test]
fn cloudevents_keep_their_properties() {
    each_seed("cloudevents", cloudevents::check);
}

#[test]
fn component_files_are_loaded_or_refused_with_a_reason() {
    component::prepare();
    each_seed("component", component::check);
}

#[test]
fn config_files_are_read_the_same_way_twice() {
    each_seed("config", |bytes| assert!(config::check(read(bytes)), "the seed is left out"));
}

#[test]
fn events_keep_their_payloads() {
    each_seed("event", event::check);
}

#[test]
fn markdown_becomes_mrkdwn_within_its_limit() {
    each_seed("mrkdwn", |bytes| mrkdwn::check(read(bytes)));
}

#[test]
fn secrets_reach_a_request_unchanged() {
    each_seed("secrets", |bytes| assert!(secrets::check(read(bytes)), "the seed is left out"));
}

#[test]
fn every_target_has_a_test() {
    let tests = include_str!("fuzz_seeds.rs");
    for entry in fs::read_dir(Path::new(FUZZ).join("targets")).unwrap() {
        let file = entry.unwrap().path();
        let target = file.file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(tests.contains(&format!("each_seed(\"{target}\"")), "no test runs the seeds of {target}");
    }
}

/// `HERALD_BLESS=1` writes them anew. A component of another contract would be refused at once, and nothing behind that
/// would be fuzzed.
#[test]
fn the_components_that_fuzzing_begins_with_are_adapters() {
    let folder = Path::new(FUZZ).join("seeds/component");
    let well = Guest::new("1", "https://receiver.example/");
    let conversational = Guest { conversational: true, ..well.clone() };
    let trapping = Guest { render: Act::Trap, ..well.clone() };
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    for (name, guest) in [("well", well), ("conversational", conversational), ("trapping", trapping)] {
        let (file, component) = (folder.join(format!("{name}.wasm")), guest.component());
        if std::env::var_os("HERALD_BLESS").is_some() {
            fs::write(&file, &component).unwrap();
        }
        let seed = fs::read(&file).unwrap();
        assert!(seed == component, "{name}.wasm is not what the tests' guests are now: HERALD_BLESS=1 writes it");
        registry.load(name, &seed, Origin::File(file)).unwrap();
    }
}
