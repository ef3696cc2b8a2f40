//! The committed components are built from the sources beside them.

use std::path::Path;

#[test]
fn prebuilt_adapters_are_built_from_the_sources_beside_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if let Err(problems) = xtask::prebuilt::verify_sources(&root) {
        panic!("{}\nrun `cargo xtask adapters`", problems.join("\n"));
    }
}
