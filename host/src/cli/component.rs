//! `herald component`: the last step of building an adapter in a language whose compiler makes core modules.
//!
//! Must not need the config or a host: it is a build tool.

use std::{fs, path::Path, process::ExitCode};

use anyhow::{Context, bail};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::{args::Component, output};

/// WASI preview 1 with nothing behind it: `component/preview1.wat`.
const PREVIEW_1: &[u8] = include_bytes!("component/preview1.wasm");
/// What a compiled language calls it.
const PREVIEW_1_NAME: &str = "wasi_snapshot_preview1";

pub(super) fn run(command: &Component) -> anyhow::Result<ExitCode> {
    let Component { module, output, wit, world } = command;
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = component(bytes, wit, world).with_context(|| format!("{} made no component", module.display()))?;
    fs::write(output, &component).with_context(|| format!("cannot write {}", output.display()))?;
    output::line(format!("{}: {} bytes", output.display(), component.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn component(mut module: Vec<u8>, wit: &Path, world: &str) -> anyhow::Result<Vec<u8>> {
    if Parser::is_component(&module) {
        bail!("it is a component already: put it into the adapters folder as it is");
    }
    if !Parser::is_core_wasm(&module) {
        bail!("it is no WebAssembly module");
    }
    if !names_its_world(&module)? {
        let mut resolve = Resolve::default();
        let (package, _) = resolve
            .push_path(wit)
            .with_context(|| format!("the contract can't be read from {}: name its folder by --wit", wit.display()))?;
        let world = resolve.select_world(&[package], Some(world))?;
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    }
    ComponentEncoder::default().validate(true).module(&module)?.adapter(PREVIEW_1_NAME, PREVIEW_1)?.encode()
}

/// Bindings for C bring the contract along, those for Go do not.
fn names_its_world(module: &[u8]) -> anyhow::Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::CustomSection(section) = payload?
            && section.name().starts_with("component-type")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What it needs of the contract.
    const WIT: &str = "package herald:channel@0.1.0; \
                       interface log { enum level { debug, info, warn, error } write: func(level: level, message: string); } \
                       world prints { import log; }";

    #[test]
    fn preview_1_is_made_of_the_text_beside_it() {
        let mut made = wat::parse_str(include_str!("component/preview1.wat")).unwrap();
        let mut resolve = Resolve::default();
        let package = resolve.push_str("prints.wit", WIT).unwrap();
        let world = resolve.select_world(&[package], Some("prints")).unwrap();
        embed_component_metadata(&mut made, &resolve, world, StringEncoding::UTF8).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/component/preview1.wasm");
        if std::env::var_os("HERALD_BLESS").is_some() {
            fs::write(file, &made).unwrap();
            return;
        }
        assert!(made == PREVIEW_1, "make it anew: HERALD_BLESS=1 cargo test -p herald preview_1");
    }

    #[test]
    fn a_file_that_is_no_core_module_is_refused_with_the_reason() {
        let refused =
            |bytes: &[u8]| format!("{:#}", component(bytes.to_vec(), Path::new("none"), "channel").unwrap_err());
        assert!(refused(b"#!/bin/sh").contains("no WebAssembly module"));
        assert!(refused(&wat::parse_str("(component)").unwrap()).contains("is a component already"));
        let no_contract = refused(&wat::parse_str("(module)").unwrap());
        assert!(no_contract.contains("can't be read from none: name its folder by --wit"), "{no_contract}");
    }
}
