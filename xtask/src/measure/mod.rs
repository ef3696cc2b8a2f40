//! What measurements share: programs that are started and stopped, what they use of the machine, and how they are asked.

pub mod host;
pub mod process;
pub mod program;
pub mod wire;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

/// A figure, for the table of `cargo xtask measure`.
#[derive(Debug)]
pub struct Finding {
    /// What was measured.
    pub what: String,
    /// What it came to.
    pub found: String,
}

/// What is measured here is real time.
#[allow(clippy::disallowed_methods)]
pub fn now() -> Instant {
    Instant::now()
}

/// Where cargo puts what it builds: this program is in `debug` there.
pub fn target() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    this.ancestors().nth(2).map(Path::to_path_buf).context("this program is in no folder of cargo's")
}

/// A folder on the disk where the build is, gone when this is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new one.
    pub fn new(name: &str) -> Result<Self> {
        let folder = target()?.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
