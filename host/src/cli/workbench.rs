//! What `render`, `test` and `dev` share: an adapter found by file, project folder or built-in name, and a project's
//! `adapter.toml`. Needs no running host, and of the config only the limits and the cache.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use super::{Wrong, args::Common, log, output};
use crate::{
    adapter::{Adapter, Origin, Registry, golden},
    app,
    config::Config,
    files,
};

/// What an author's folder says of itself.
pub(super) const MANIFEST: &str = "adapter.toml";
/// A project's golden cases.
pub(super) const CASES: &str = "cases";
/// Far more than such a file needs.
const MAX_MANIFEST: usize = 1 << 20;

/// `adapter.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    /// One command for the shell; none: there is nothing to build.
    pub build: Option<String>,
    /// What is built, or the script itself, from the folder.
    pub component: PathBuf,
    /// What a change of has it built again: files and folders, from the folder.
    #[serde(default)]
    pub watch: Vec<PathBuf>,
}

impl Manifest {
    /// The manifest of a project.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let file = folder.join(MANIFEST);
        let wrong = |what: String| Wrong(format!("{}: {what}", file.display()));
        let bytes = files::read(&file, MAX_MANIFEST).map_err(|error| {
            let what_to_do = "a project says there how it is built: build = \"COMMAND\", component = \"FILE\", watch = \
                              [\"src\"]; `herald new` makes one";
            wrong(format!("{error}; {what_to_do}"))
        })?;
        let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
        Ok(toml::from_str(&text).map_err(|error| wrong(error.to_string()))?)
    }
}

/// A place to try adapters at.
pub(super) struct Workbench {
    registry: Registry,
    pub config: Config,
}

/// An adapter at the bench.
pub(super) struct Piece {
    pub adapter: Arc<Adapter>,
    /// Where its golden cases stand, if it has any; a built-in one has none at hand.
    pub cases: Option<PathBuf>,
}

impl Workbench {
    /// What adapters log goes to standard error from now on.
    pub fn open(common: &Common) -> anyhow::Result<Self> {
        log::start_plain();
        let config = match common.origin(Vec::new())?.load() {
            Ok(config) => config,
            Err(_) => {
                output::error("the config can't be used, see `herald check`: the default limits hold");
                app::Origin::default().load()?
            }
        };
        Ok(Self { registry: app::workshop(&config)?, config })
    }

    /// A project's folder, a file, or the name of a built-in adapter: what there is of these, in this order.
    pub fn find(&self, what: &Path) -> anyhow::Result<Piece> {
        if what.join(MANIFEST).is_file() {
            return self.project(what, &Manifest::read(what)?);
        }
        if what.is_file() {
            let name = what.file_stem().unwrap_or_default().to_string_lossy();
            return self.load(&name, what, golden::beside(what));
        }
        if let Some(adapter) = what.to_str().and_then(|name| self.registry.get(name)) {
            return Ok(Piece { adapter, cases: None });
        }
        if what.is_dir() {
            Manifest::read(what)?;
        }
        let published = self.registry.published();
        let built_in: Vec<&str> = published.adapters.keys().map(String::as_str).collect();
        Err(Wrong(format!(
            "{}: no file, no folder with an {MANIFEST}, and no built-in adapter (those are {})",
            what.display(),
            built_in.join(", ")
        ))
        .into())
    }

    /// What a project has built.
    pub fn project(&self, folder: &Path, manifest: &Manifest) -> anyhow::Result<Piece> {
        let name = std::path::absolute(folder)?.file_name().unwrap_or_default().to_string_lossy().into_owned();
        self.load(&name, &folder.join(&manifest.component), folder.join(CASES)).map_err(|error| {
            let missing = error.chain().any(|cause| {
                cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
            });
            match &manifest.build {
                Some(build) if missing => error.context(format!("not built yet? In {}: {build}", folder.display())),
                _ => error,
            }
        })
    }

    fn load(&self, name: &str, file: &Path, cases: PathBuf) -> anyhow::Result<Piece> {
        let wrong = |what: &str| Wrong(format!("{}: {what}", file.display()));
        let bytes =
            files::read(file, usize::MAX).map_err(|error| anyhow::Error::new(error).context(wrong("can't be read")))?;
        let adapter = self
            .registry
            .load(name, &bytes, Origin::File(file.to_owned()))
            .map_err(|error| wrong(&format!("refused ({}): {error}", error.step)))?;
        Ok(Piece { adapter: Arc::new(adapter), cases: cases.is_dir().then_some(cases) })
    }
}
