//! Adapters that are a file of text: a script, a template. One engine a language, itself a component, runs them.
//!
//! The engine is compiled once. A file only changes the memory that it begins with: it is read once, in a sandbox, and the
//! memory as it is then is what every call begins with (`state`). To give one code many memories, the engine is taken apart
//! (`parts`) and linked anew. Must not let a file do, while it is read, what no call may do.

mod parts;
mod state;

use std::{
    ffi::OsStr,
    path::Path,
    sync::{Arc, OnceLock},
};

use wasmtime::{Module, component::Component};

use super::{
    builtin,
    cache::Cache,
    compile::Built,
    component::{LoadError, digest},
    engine::Sandbox,
};

/// What a file of text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    JavaScript,
    Template,
}

impl Language {
    /// By the file's ending; none: a component.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()? {
            "js" => Some(Self::JavaScript),
            "toml" => Some(Self::Template),
            _ => None,
        }
    }

    fn engine(self) -> &'static [u8] {
        match self {
            Self::JavaScript => builtin::SCRIPT_ENGINE,
            Self::Template => builtin::TEMPLATE_ENGINE,
        }
    }
}

/// The engines, each compiled when it is needed first.
#[derive(Default)]
pub(super) struct Engines {
    java_script: OnceLock<Engine>,
    template: OnceLock<Engine>,
}

/// An engine, compiled in parts.
struct Engine {
    digest: String,
    /// What runs a file; of its memory it has nothing.
    code: Module,
    /// The memory that the engine itself begins with.
    state: Module,
    /// The contract around the code.
    shell: Component,
}

impl Engines {
    fn get(&self, sandbox: &Sandbox, cache: Option<&Cache>, language: Language) -> Result<&Engine, LoadError> {
        let place = match language {
            Language::JavaScript => &self.java_script,
            Language::Template => &self.template,
        };
        match place.get() {
            Some(engine) => Ok(engine),
            None => {
                let engine = Engine::compile(sandbox, cache, language.engine())
                    .map_err(|error| LoadError::new("engine", format!("what runs it can't be set up: {error:#}")))?;
                Ok(place.get_or_init(|| engine))
            }
        }
    }
}

impl Engine {
    fn compile(sandbox: &Sandbox, cache: Option<&Cache>, bytes: &[u8]) -> wasmtime::Result<Self> {
        let parts = parts::split(bytes).map_err(|error| wasmtime::format_err!("{error}"))?;
        let module = |bytes: &[u8]| Cache::load_or_compile_module(cache, &sandbox.engine, &digest(bytes), bytes);
        let shell = Cache::load_or_compile(cache, &sandbox.engine, &digest(&parts.shell), &parts.shell)?.0;
        Ok(Self { digest: digest(bytes), code: module(&parts.code)?, state: module(&parts.state)?, shell })
    }
}

/// From a file's bytes to what is instantiated for a call.
pub(super) fn build(
    sandbox: &Sandbox,
    cache: Option<&Cache>,
    language: Language,
    file: &Path,
    bytes: &[u8],
) -> Result<Built, LoadError> {
    let refuse = |message: String| LoadError::new("script", message);
    let limit = sandbox.limits.file;
    if bytes.len() > limit {
        return Err(refuse(format!("{} bytes: more than its limit of {limit} (adapters.max_file)", bytes.len())));
    }
    let name = file.file_name().unwrap_or(OsStr::new("script")).to_string_lossy();
    let text = str::from_utf8(bytes).map_err(|error| refuse(format!("{name}: not a text in UTF-8: {error}")))?;
    let engine = sandbox.scripts.get(sandbox, cache, language)?;
    // The name is in there, as errors show it.
    let key = digest(format!("{}\n{name}\n{}", engine.digest, digest(bytes)).as_bytes());
    let (state, from_cache) = match Cache::find_module(cache, &sandbox.engine, &key) {
        Some(state) => (state, true),
        None => {
            let state = state::after_reading(sandbox, engine, &name, text).map_err(refuse)?;
            let state = Module::from_binary(&sandbox.engine, &state)
                .map_err(|error| refuse(format!("{name}: its state can't be kept: {error:#}")))?;
            Cache::keep_module(cache, &sandbox.engine, &key, &state);
            (state, false)
        }
    };
    let mut linker = (*sandbox.linker).clone();
    let mut root = linker.root();
    root.module(parts::CODE, &engine.code)
        .and_then(|()| root.module(parts::STATE, &state))
        .map_err(|error| refuse(format!("{name}: it can't be linked: {error:#}")))?;
    Ok(Built {
        component: engine.shell.clone(),
        linker: Arc::new(linker),
        digest: digest(bytes),
        size: bytes.len(),
        from_cache,
        reads_replies: state.get_export(state::READS_REPLIES).is_some(),
    })
}
