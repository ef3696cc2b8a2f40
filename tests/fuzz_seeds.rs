//! What `cargo xtask fuzz` begins with for components: guests made to order, so that a changed contract is not fuzzed with
//! files that are refused at the door.

use std::path::Path;

use herald::adapter::{Options, Origin, Registry};

use crate::harness::guests::{Act, Guest};

/// `HERALD_BLESS=1` writes them anew.
#[test]
fn the_components_that_fuzzing_begins_with_are_adapters() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/component");
    let well = Guest::new("1", "https://receiver.example/");
    let conversational = Guest { conversational: true, ..well.clone() };
    let trapping = Guest { render: Act::Trap, ..well.clone() };
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    for (name, guest) in [("well", well), ("conversational", conversational), ("trapping", trapping)] {
        let (file, component) = (folder.join(format!("{name}.wasm")), guest.component());
        if std::env::var_os("HERALD_BLESS").is_some() {
            std::fs::write(&file, &component).unwrap();
        }
        let seed = std::fs::read(&file).unwrap();
        assert!(seed == component, "{name}.wasm is not what the tests' guests are now: HERALD_BLESS=1 writes it");
        registry.load(name, &seed, Origin::File(file)).unwrap();
    }
}
