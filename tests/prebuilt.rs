//! The committed components are built from the sources beside them.

use std::path::Path;

#[test]
fn prebuilt_adapters_are_built_from_the_sources_beside_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Err(problems) = xtask::prebuilt::verify_sources(&root) {
        panic!("{}\nrun `cargo xtask adapters`", problems.join("\n"));
    }
}

/// What a component may have, in bytes: it is compiled when it is first seen, and its pages are mapped for every call.
const MOST: usize = 150_000;

/// Those that may have more, and why.
const LARGER: [(&str, usize); 4] = [
    // Markdown, Slack's answers and JSON of any kind: what is still to be brought below the bound of all.
    ("slack", 235_000),
    // Templates: the engine for them alone is half of it.
    ("webhook", 740_000),
    // Languages of their own: they are compiled once, however many files they run.
    ("script", 1_330_000),
    ("template", 880_000),
];

#[test]
fn a_prebuilt_adapter_is_no_larger_than_its_bound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for component in &xtask::prebuilt::COMPONENTS {
        let size = std::fs::metadata(xtask::prebuilt::file(&root, component)).unwrap().len();
        let most = LARGER.iter().find(|(name, _)| *name == component.name).map_or(MOST, |(_, most)| *most);
        assert!(size <= most as u64, "{}.wasm has {size} bytes, and may have {most}", component.name);
    }
}
