//! From machine code to a warm adapter: checked, pre-instantiated, described.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use serde::Serialize;
use sha2::{Digest, Sha256};
use wasmtime::component::{InstancePre, types::ComponentItem};

use super::{
    bindings::v0_1::{Exports, REPLIES},
    bounds,
    compile::Built,
    engine::{HostState, Limits, Sandbox},
    fit::{self, REBUILD},
    schema::SettingsSchema,
    trial::Trial,
};
use crate::model::{AdapterId, Description};

/// Of the next adapter that is loaded.
static NEXT: AtomicU64 = AtomicU64::new(0);

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

impl Origin {
    /// The file, where there is one.
    pub(super) fn file(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::File(file) | Self::LastGood(file) => Some(file),
        }
    }
}

/// A channel type, ready to be called.
pub struct Adapter {
    /// The channel type: the file's name without its ending.
    pub name: Arc<str>,
    /// Name, version and digest, as every attempt records them.
    pub id: AdapterId,
    /// What it says of itself.
    pub description: Description,
    /// The settings that it takes.
    pub schema: SettingsSchema,
    /// Where it came from.
    pub origin: Origin,
    /// Bytes of the file.
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
    /// No other adapter or version of it has the same.
    pub(super) serial: u64,
    grew: AtomicBool,
    /// The most bytes of memory that a call has had.
    memory: AtomicUsize,
}

/// Why a component is no adapter for this host: which step failed, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct LoadError {
    /// `engine`, `name`, `read`, `pin`, `signature`, `script`, `validate`, `imports`, `exports`, `instantiate`, `describe`, `schema`, `settings`, `examples` or `calls`.
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
    /// Everything between the machine code and the first call.
    pub(super) fn load(sandbox: &Sandbox, name: &str, built: Built, origin: Origin) -> Result<Self, LoadError> {
        let ty = built.component.component_type();
        // An engine's code, and the memory that it begins with, are modules. Nobody else's are linked.
        let imports: Vec<String> = ty
            .imports(&sandbox.engine)
            .filter(|(_, item)| !matches!(item.ty, ComponentItem::Module(_)))
            .map(|(name, _)| name.to_owned())
            .collect();
        let exported = |wanted: fn(&ComponentItem) -> bool| -> Vec<String> {
            let wanted = ty.exports(&sandbox.engine).filter(|(_, item)| wanted(&item.ty));
            wanted.map(|(name, _)| name.to_owned()).filter(|name| built.reads_replies || name != REPLIES).collect()
        };
        let exports_named = exported(|item| matches!(item, ComponentItem::ComponentInstance(_)));
        fit::check_imports(&imports)?;
        fit::check_exports(&exported(|item| !matches!(item, ComponentItem::Type(_))))?;
        let pre = built
            .linker
            .instantiate_pre(&built.component)
            .map_err(|error| LoadError::new("imports", format!("{error:#}")))?;
        let has_replies = exports_named.iter().any(|name| name == REPLIES);
        let exports = Exports::find(&pre, has_replies).map_err(|error| wrong_types(&error.to_string()))?;
        let mut adapter = Self {
            name: name.into(),
            id: AdapterId { name: name.to_owned(), version: String::new(), digest: built.digest },
            description: Description {
                title: String::new(),
                version: String::new(),
                summary: String::new(),
                settings_schema: String::new(),
                hosts: Vec::new(),
            },
            schema: SettingsSchema::any(),
            origin,
            size: built.size,
            imports,
            exports_named,
            from_cache: built.from_cache,
            sandbox: sandbox.clone(),
            pre,
            exports,
            trial: Trial::default(),
            serial: NEXT.fetch_add(1, Ordering::Relaxed),
            grew: AtomicBool::new(false),
            memory: AtomicUsize::new(0),
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
        bounds::description(&description)
            .map_err(|message| LoadError::new("describe", format!("`describe` {message}")))?;
        self.schema =
            SettingsSchema::parse(&description.settings_schema).map_err(|message| LoadError::new("schema", message))?;
        self.id.version.clone_from(&description.version);
        self.description = description;
        Ok(())
    }

    /// What a call of it may use.
    pub fn limits(&self) -> &Limits {
        &self.sandbox.limits
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
            "memory": self.memory(),
            "isolation": self.sandbox.limits.isolation,
            "settings_schema": self.schema.document(),
        })
    }

    /// The most bytes of memory that a call has had so far.
    pub fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Looks first: what every call writes to, the cores would pass to and fro.
    pub(super) fn note_memory(&self, state: &HostState) {
        if state.grew && !self.grows_memory() {
            self.grew.store(true, Ordering::Relaxed);
        }
        if state.memory() > self.memory() {
            self.memory.fetch_max(state.memory(), Ordering::Relaxed);
        }
    }
}

impl std::fmt::Debug for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Adapter").field("id", &self.id).finish_non_exhaustive()
    }
}

fn wrong_types(what: &str) -> LoadError {
    LoadError::new("exports", format!("its exports do not have the types of the contract: {what}; {REBUILD}"))
}
