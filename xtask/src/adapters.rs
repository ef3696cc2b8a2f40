//! `cargo xtask adapters`: builds the components that the host embeds, or checks that they are what the sources make.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

use crate::compiler::Compiler;
use crate::prebuilt::{self, COMPONENTS, Component, Entry, Manifest};
use crate::tools::Tools;

/// Builds all components and writes them with their manifest.
pub fn build(root: &Path) -> Result<()> {
    let compiler = Compiler::find(root, &mut Tools::default())?;
    println!("with {}", compiler.version);
    fs::create_dir_all(prebuilt::folder(root)).context("can't make adapters/prebuilt")?;
    let mut components = BTreeMap::new();
    if let Some(component) = COMPONENTS.iter().find(|component| !compiler.builds(component)) {
        bail!("{}.wasm has C in it, and there is no clang: install clang and llvm", component.name);
    }
    for component in &COMPONENTS {
        let bytes = make(root, &compiler, component)?;
        let path = prebuilt::file(root, component);
        fs::write(&path, &bytes).with_context(|| format!("can't write {}", path.display()))?;
        let sources = prebuilt::source_digest(root, component)?;
        println!("{:>8} bytes  adapters/prebuilt/{}.wasm", bytes.len(), component.name);
        components
            .insert(component.name.to_owned(), Entry { sha256: prebuilt::sha256(&bytes), size: bytes.len(), sources });
    }
    Manifest { compiler: compiler.version, components }
        .write(root)
        .context("can't write adapters/prebuilt/manifest.json")
}

/// Checks digests only.
pub fn check_digests(root: &Path) -> Result<()> {
    if let Err(problems) = prebuilt::verify_sources(root) {
        bail!("the prebuilt adapters are stale:\n  {}", problems.join("\n  "));
    }
    println!("the prebuilt adapters are those of the manifest, and the sources are the ones they were built from");
    Ok(())
}

/// Checks digests, then builds again and compares.
pub fn check(root: &Path) -> Result<()> {
    check_with(root, &mut Tools::default())
}

/// [`check`], with a record of what was installed for it.
pub fn check_with(root: &Path, tools: &mut Tools) -> Result<()> {
    check_digests(root)?;
    let manifest = Manifest::read(root)?;
    let compiler = Compiler::find(root, tools)?;
    let comparable = compiler.version == manifest.compiler;
    let mut different = Vec::new();
    for component in &COMPONENTS {
        if !compiler.builds(component) {
            println!("{}.wasm is not built again: it has C in it, and there is no clang", component.name);
            continue;
        }
        let bytes = make(root, &compiler, component)?;
        let same = fs::read(prebuilt::file(root, component)).is_ok_and(|prebuilt| prebuilt == bytes);
        if comparable && !same {
            different.push(format!("{}.wasm", component.name));
        }
    }
    if !different.is_empty() {
        bail!(
            "built again, these have other bytes than in adapters/prebuilt: {}. Run `cargo xtask adapters`",
            different.join(", ")
        );
    }
    if comparable {
        println!("built again with {}: the same bytes", compiler.version);
    } else {
        println!(
            "the prebuilt adapters were made with {}, and here is {}: all build, but the bytes can't be compared",
            manifest.compiler, compiler.version
        );
    }
    Ok(())
}

/// Builds one component.
fn make(root: &Path, compiler: &Compiler, component: &Component) -> Result<Vec<u8>> {
    let module = compiler.core_module(root, component)?;
    let bytes = fs::read(&module).with_context(|| format!("can't read {}", module.display()))?;
    let encoded = ComponentEncoder::default().validate(true).module(&bytes).and_then(|mut encoder| encoder.encode());
    encoded.with_context(|| format!("{} can't be made a component", component.name))
}
