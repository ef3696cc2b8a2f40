//! What a registry is made of and what it publishes. Data: must not load anything itself.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use minisign_verify::PublicKey;
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    cache::Cache,
    component::{Adapter, LoadError},
    engine::Limits,
};

/// What a registry is made of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The adapters folder; none: only what is compiled in.
    pub folder: Option<PathBuf>,
    /// Where machine code is kept; none: compiled at every start.
    pub cache: Option<Cache>,
    /// Files of much code are compiled beside everything else, and published when that is done: for who watches the folder.
    pub compiles_beside: bool,
    /// Of every adapter that has none of its own.
    pub limits: Limits,
    /// Of single adapters, by name.
    pub limits_of: BTreeMap<String, Limits>,
    /// The digests that adapters must have, by name: `sha256:…`. Whoever is not named may have any.
    pub require: BTreeMap<String, String>,
    /// Who must have signed a file; nobody: it need not be signed.
    pub signed_by: Vec<PublicKey>,
    /// For an author: calls that fail come with a backtrace.
    pub explain: bool,
}

impl Options {
    /// What an adapter of that name may use.
    pub(super) fn limits(&self, name: &str) -> Limits {
        self.limits_of.get(name).copied().unwrap_or(self.limits)
    }

    /// Refuses bytes other than those that the operator has named.
    pub(super) fn check_pin(&self, name: &str, digest: &str) -> Result<(), LoadError> {
        match self.require.get(name) {
            Some(required) if required != digest => Err(LoadError::new(
                "pin",
                format!(
                    "its digest is {digest}, and adapters.require wants {required}: put the right file there, or change what is required"
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// A configured channel, whose settings a new version of its adapter must take.
#[derive(Clone)]
pub struct LiveChannel {
    /// The channel's name.
    pub name: String,
    /// Its adapter's name.
    pub adapter: String,
    /// Its settings, secrets resolved.
    pub settings: Arc<Value>,
}

/// What is usable now, and what is not and why. Immutable; a change makes another.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// By channel type.
    pub adapters: BTreeMap<String, Arc<Adapter>>,
    /// By the name that the file would have had.
    pub refused: BTreeMap<String, Refused>,
    /// The names of files that are being compiled: what served before serves on.
    pub compiling: BTreeSet<String>,
}

impl Published {
    /// That file is good as it is; what serves is this, or what serves already.
    pub(super) fn good(&mut self, name: &str, adapter: Option<Adapter>) {
        self.refused.remove(name);
        self.compiling.remove(name);
        if let Some(adapter) = adapter {
            self.adapters.insert(name.to_owned(), Arc::new(adapter));
        }
    }

    /// That file is being compiled. `alone`: no built-in adapter of that name serves meanwhile.
    pub(super) fn comes(&mut self, name: &str, alone: bool) {
        self.compiling.insert(name.to_owned());
        if alone && self.adapters.get(name).is_some_and(|adapter| adapter.origin.file().is_none()) {
            self.adapters.remove(name);
        }
    }

    /// That file is none.
    pub(super) fn bad(&mut self, name: &str, refused: Refused) {
        self.compiling.remove(name);
        self.refused.insert(name.to_owned(), refused);
    }

    /// There is no such file any more.
    pub(super) fn gone(&mut self, name: &str) {
        self.refused.remove(name);
        self.compiling.remove(name);
        self.adapters.remove(name);
    }

    /// Everything about all of them, for the API and the command line.
    pub fn account(&self) -> Value {
        let adapters: Vec<Value> = self.adapters.values().map(|adapter| adapter.account()).collect();
        let refused: Vec<Value> = self
            .refused
            .iter()
            .map(|(name, refused)| {
                json!({
                    "name": name,
                    "file": refused.file,
                    "digest": refused.digest,
                    "step": refused.error.step,
                    "message": refused.error.message,
                })
            })
            .collect();
        json!({ "adapters": adapters, "refused": refused, "compiling": self.compiling })
    }
}

/// A file that is no adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The file.
    pub file: PathBuf,
    /// Of its bytes, where they could be read; the same bytes are not tried again.
    pub digest: Option<String>,
    /// Which step failed, and why.
    #[serde(flatten)]
    pub error: LoadError,
}
