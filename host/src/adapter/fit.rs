//! Whether bytes can be an adapter at all, by their head, their imports and their exports. Each refusal tells the author
//! what to do.
//!
//! Pure: must not compile or run anything.

use wasmparser::{Parser, Payload};

use super::{
    bindings::v0_1::{ADAPTER, LOG, REPLIES, SPEAKS, TYPES},
    component::LoadError,
    engine::Limits,
};

/// The WASI packages that are linked, with nothing behind them.
const INERT_WASI: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];

/// What brings an author the contract of this host.
pub(super) const REBUILD: &str = "rebuild it with the wit/ of this host, which `herald new` brings";

/// Says what the bytes are instead, where that can be seen from their head.
pub(super) fn check_is_component(bytes: &[u8]) -> Result<(), LoadError> {
    let refuse = |message: String| Err(LoadError::new("validate", message));
    match bytes {
        [] => refuse("the file is empty".to_owned()),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            refuse(format!("a core WebAssembly module, not a component: {}", how_to_wrap(bytes)))
        }
        _ => refuse(format!("not a WebAssembly component: {}", likeness(bytes))),
    }
}

/// What makes a component of a core module: that goes by what the module says of itself.
fn how_to_wrap(module: &[u8]) -> &'static str {
    let (mut typed, mut preview_1) = (false, false);
    for payload in Parser::new(0).parse_all(module).map_while(Result::ok) {
        match payload {
            Payload::CustomSection(section) => typed |= section.name().starts_with("component-type"),
            Payload::ImportSection(imports) => {
                let mut modules = imports.into_imports().map_while(Result::ok).map(|import| import.module);
                preview_1 |= modules.any(|module| module == "wasi_snapshot_preview1");
            }
            _ => {}
        }
    }
    match (typed, preview_1) {
        (true, _) => "wrap it: `herald component IN.wasm -o OUT.wasm`",
        (false, true) => {
            "it is built for WASI preview 1. Build it for wasm32-wasip2, or wrap it: `herald component IN.wasm --wit wit \
             --world channel -o OUT.wasm`"
        }
        (false, false) => {
            "build it for wasm32-wasip2, or name its world and wrap it: `herald component IN.wasm --wit wit --world channel \
             -o OUT.wasm`"
        }
    }
}

/// What a file that is no WebAssembly looks like.
fn likeness(bytes: &[u8]) -> &'static str {
    let text = bytes.trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
    if begins(b"(component") || begins(b"(module") || begins(b";;") {
        "it is WebAssembly text: `wasm-tools parse IN.wat -o OUT.wasm` makes a binary of it"
    } else if begins(b"<!doctype") || begins(b"<html") {
        "it is a web page: was it downloaded from the wrong address?"
    } else if begins(b"version https://git-lfs") {
        "it is a pointer of Git LFS: `git lfs pull` brings the file"
    } else if bytes.starts_with(&[0x1f, 0x8b]) || bytes.starts_with(b"PK\x03\x04") {
        "it is compressed: unpack it first"
    } else {
        "such a file begins with the bytes 00 61 73 6d 0d 00 01 00; was it built for wasm32-wasip2, and copied whole?"
    }
}

/// Compiling takes time and memory by what there is to compile, so that is found out first: how many bytes of code there are.
pub(super) fn check_size(bytes: &[u8], limits: &Limits) -> Result<usize, LoadError> {
    let refuse = |message: String| Err(LoadError::new("validate", message));
    if bytes.len() > limits.file {
        return refuse(format!("{} bytes: more than its limit of {} (adapters.max_file)", bytes.len(), limits.file));
    }
    let (mut functions, mut code) = (0_usize, 0_usize);
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::CodeSectionStart { count, size, .. }) => {
                functions = functions.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
                code = code.saturating_add(usize::try_from(size).unwrap_or(usize::MAX));
            }
            Ok(_) => {}
            Err(error) => return refuse(format!("not a valid component: {error}")),
        }
    }
    if functions > limits.functions {
        return refuse(format!(
            "{functions} functions to compile: more than its limit of {} (adapters.max_functions)",
            limits.functions
        ));
    }
    Ok(code)
}

pub(super) fn check_imports(imports: &[String]) -> Result<(), LoadError> {
    let is_inert = |name: &str| INERT_WASI.iter().any(|known| name.starts_with(known)) && name.contains("@0.2.");
    let refused: Vec<&str> =
        imports.iter().map(String::as_str).filter(|name| !is_inert(name) && *name != LOG && *name != TYPES).collect();
    let Some(first) = refused.first() else {
        return Ok(());
    };
    let package = first.split('/').next().unwrap_or(first);
    let advice = if matches!(package, "wasi:sockets" | "wasi:http") {
        format!("{package} is not available to adapters: return a request instead, which the host sends")
    } else if package == "herald:channel" {
        format!("this host speaks {SPEAKS}: {REBUILD}")
    } else if INERT_WASI.iter().any(|known| first.starts_with(known)) {
        "this host has WASI 0.2: build it for wasm32-wasip2".to_owned()
    } else {
        format!(
            "{package} is not available to adapters, which may import herald:channel/log and, with nothing behind \
             them, cli, clocks, filesystem, io and random of WASI 0.2; all else comes with the call, or goes into the \
             request"
        )
    };
    Err(LoadError::new("imports", format!("imports {}; {advice}", refused.join(", "))))
}

/// `exports` are all names that it exports, of interfaces and of functions.
pub(super) fn check_exports(exports: &[String]) -> Result<(), LoadError> {
    let refuse = |message: String| Err(LoadError::new("exports", message));
    for (interface, ours) in [("herald:channel/adapter@", ADAPTER), ("herald:channel/replies@", REPLIES)] {
        if let Some(other) = exports.iter().find(|name| name.starts_with(interface) && *name != ours) {
            return refuse(format!("exports {other}; this host speaks {SPEAKS}: {REBUILD}"));
        }
    }
    if exports.iter().any(|name| name == ADAPTER) {
        return Ok(());
    }
    let instead = match exports {
        [] => "and exports nothing".to_owned(),
        others => format!("but {}", others.join(", ")),
    };
    refuse(format!(
        "does not export {ADAPTER}, {instead}; build it for the world `channel` of wit/channel.wit, or for \
         `conversational-channel`, which reads answers; `herald new` brings both"
    ))
}
