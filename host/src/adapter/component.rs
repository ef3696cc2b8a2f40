//! From bytes to a warm adapter: checked, compiled, pre-instantiated, described.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmparser::{Parser, Payload};
use wasmtime::component::{InstancePre, types::ComponentItem};

use super::{
    bindings::v0_1::{ADAPTER, Exports, LOG, REPLIES, TYPES},
    cache::Cache,
    engine::{HostState, Limits, Sandbox},
    schema::SettingsSchema,
    trial::Trial,
};
use crate::model::{AdapterId, Description};

/// The WASI packages that are linked, with nothing behind them.
const INERT_WASI: [&str; 5] = ["wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/"];

/// Where an adapter came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Compiled into this host.
    BuiltIn,
    /// A file in the adapters folder.
    File(PathBuf),
    /// The last good version of a file that no longer loads.
    LastGood(PathBuf),
}

/// A channel type, ready to be called.
pub struct Adapter {
    /// The channel type: the file's name without `.wasm`.
    pub name: Arc<str>,
    /// Name, version and digest, as every attempt records them.
    pub id: AdapterId,
    /// What it says of itself.
    pub description: Description,
    /// The settings that it takes.
    pub schema: SettingsSchema,
    /// Where it came from.
    pub origin: Origin,
    /// Bytes of the component.
    pub size: usize,
    /// What it imports.
    pub imports: Vec<String>,
    /// What it exports.
    pub exports_named: Vec<String>,
    /// Whether machine code was found in the cache.
    pub from_cache: bool,
    pub(super) sandbox: Sandbox,
    pub(super) pre: InstancePre<HostState>,
    pub(super) exports: Exports,
    pub(super) trial: Trial,
    grew: AtomicBool,
}

/// Why a component is no adapter for this host: which step failed, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// `engine`, `read`, `pin`, `signature`, `validate`, `imports`, `exports`, `instantiate`, `describe`, `schema`, `settings`, `examples` or `calls`.
    pub step: &'static str,
    /// For people.
    pub message: String,
}

impl LoadError {
    /// The same bytes may pass another time: the channels may have changed, or the signature may have come.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.step, "settings" | "signature")
    }

    pub(super) fn new(step: &'static str, message: impl Into<String>) -> Self {
        Self { step, message: message.into() }
    }
}

/// `sha256:` and the hexadecimal digest.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

impl Adapter {
    /// Everything between the bytes and the first call.
    pub(super) fn load(
        sandbox: &Sandbox,
        cache: Option<&Cache>,
        name: &str,
        bytes: &[u8],
        origin: Origin,
    ) -> Result<Self, LoadError> {
        let digest = digest(bytes);
        check_is_component(bytes)?;
        check_size(bytes, &sandbox.limits)?;
        let (component, from_cache) = Cache::load_or_compile(cache, &sandbox.engine, &digest, bytes)
            .map_err(|error| LoadError::new("validate", format!("not a valid component: {error:#}")))?;
        let ty = component.component_type();
        let imports: Vec<String> = ty.imports(&sandbox.engine).map(|(name, _)| name.to_owned()).collect();
        let exports_named: Vec<String> = ty
            .exports(&sandbox.engine)
            .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentInstance(_)))
            .map(|(name, _)| name.to_owned())
            .collect();
        check_imports(&imports)?;
        check_exports(&exports_named)?;
        let pre = sandbox
            .linker
            .instantiate_pre(&component)
            .map_err(|error| LoadError::new("imports", format!("{error:#}")))?;
        let has_replies = exports_named.iter().any(|name| name == REPLIES);
        let exports = Exports::find(&pre, has_replies).map_err(|error| wrong_types(&error.to_string()))?;
        let mut adapter = Self {
            name: name.into(),
            id: AdapterId { name: name.to_owned(), version: String::new(), digest },
            description: Description {
                title: String::new(),
                version: String::new(),
                summary: String::new(),
                settings_schema: String::new(),
                hosts: Vec::new(),
            },
            schema: SettingsSchema::any(),
            origin,
            size: bytes.len(),
            imports,
            exports_named,
            from_cache,
            sandbox: sandbox.clone(),
            pre,
            exports,
            trial: Trial::default(),
            grew: AtomicBool::new(false),
        };
        adapter.learn()?;
        Ok(adapter)
    }

    /// Asks the adapter what it is, under the limits of a call.
    fn learn(&mut self) -> Result<(), LoadError> {
        self.call("instantiate", |store, instance| Ok(self.exports.check(store, instance)))
            .map_err(|error| LoadError::new("instantiate", error.to_string()))?
            .map_err(|error| wrong_types(&error.root_cause().to_string()))?;
        let description = self
            .call("describe", |store, instance| self.exports.describe(store, instance))
            .map_err(|error| LoadError::new("describe", error.to_string()))?;
        self.schema =
            SettingsSchema::parse(&description.settings_schema).map_err(|message| LoadError::new("schema", message))?;
        self.id.version.clone_from(&description.version);
        self.description = description;
        Ok(())
    }

    /// Whether it reads the service's answers itself.
    pub fn reads_replies(&self) -> bool {
        self.exports.reads_replies()
    }

    /// Whether any call so far has grown the guest's memory, which makes it slower and spoils its scaling.
    pub fn grows_memory(&self) -> bool {
        self.grew.load(Ordering::Relaxed)
    }

    /// Everything about it, for the API and the command line.
    pub fn account(&self) -> serde_json::Value {
        serde_json::json!({
            "name": *self.name,
            "title": self.description.title,
            "version": self.description.version,
            "summary": self.description.summary,
            "digest": self.id.digest,
            "origin": self.origin,
            "size": self.size,
            "hosts": self.description.hosts,
            "imports": self.imports,
            "exports": self.exports_named,
            "reads_replies": self.reads_replies(),
            "grows_memory": self.grows_memory(),
            "settings_schema": self.schema.document(),
        })
    }

    pub(super) fn note_growth(&self, grew: bool) {
        if grew && !self.grows_memory() {
            self.grew.store(true, Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("id", &self.id).finish_non_exhaustive()
    }
}

fn wrong_types(what: &str) -> LoadError {
    LoadError::new(
        "exports",
        format!(
            "its exports do not have the types of the contract: {what}; rebuild it with this host's wit/channel.wit"
        ),
    )
}

/// Says what the bytes are instead, where that can be seen from their head.
fn check_is_component(bytes: &[u8]) -> Result<(), LoadError> {
    let refuse = |message: &str| Err(LoadError::new("validate", message));
    match bytes {
        [] => refuse("the file is empty"),
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => refuse(
            "a core WebAssembly module, not a component: build for wasm32-wasip2, or run `wasm-tools component new` on it",
        ),
        _ => refuse("not a WebAssembly component"),
    }
}

/// Compiling takes time and memory by what there is to compile, so that is found out first.
fn check_size(bytes: &[u8], limits: &Limits) -> Result<(), LoadError> {
    let refuse = |message: String| Err(LoadError::new("validate", message));
    if bytes.len() > limits.file {
        return refuse(format!("{} bytes: more than its limit of {} (adapters.max_file)", bytes.len(), limits.file));
    }
    let mut functions = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::CodeSectionStart { count, .. }) => {
                functions = functions.saturating_add(usize::try_from(count).unwrap_or(usize::MAX));
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
    Ok(())
}

fn check_imports(imports: &[String]) -> Result<(), LoadError> {
    let refused: Vec<&str> = imports
        .iter()
        .map(String::as_str)
        .filter(|name| !INERT_WASI.iter().any(|known| name.starts_with(known)) && *name != LOG && *name != TYPES)
        .collect();
    let Some(first) = refused.first() else {
        return Ok(());
    };
    let advice = if first.starts_with("wasi:sockets") || first.starts_with("wasi:http") {
        "an adapter has no network: return a request, and the host sends it"
    } else if first.starts_with("herald:channel/") {
        "this host speaks herald:channel@0.1.0: rebuild the adapter with its wit/channel.wit"
    } else {
        "an adapter may import herald:channel/log and inert WASI (cli, clocks, filesystem, io, random)"
    };
    Err(LoadError::new(
        "imports",
        format!("imports {}, which is not available to adapters; {advice}", refused.join(", ")),
    ))
}

fn check_exports(exports: &[String]) -> Result<(), LoadError> {
    if exports.iter().any(|name| name == ADAPTER) {
        return Ok(());
    }
    let speaks = "this host speaks herald:channel@0.1.0: rebuild the adapter with its wit/channel.wit";
    let other = exports.iter().find(|name| name.starts_with("herald:channel/adapter"));
    Err(LoadError::new(
        "exports",
        match other {
            Some(other) => format!("exports {other}; {speaks}"),
            None => format!("does not export {ADAPTER}; {speaks}"),
        },
    ))
}
