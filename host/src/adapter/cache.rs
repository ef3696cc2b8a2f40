//! Machine code of adapters, kept between starts in a folder that nobody else can write to.
//!
//! The one place with `unsafe`: wasmtime trusts the code that it is given back.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use wasmtime::{Engine, component::Component};

/// The folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Makes the folder where it does not exist. A folder that others can write to is refused, as what stands in it is
    /// run.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make(folder)?;
        make(&folder.join("good"))?;
        check_private(folder)?;
        check_private(&folder.join("good"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// The component's machine code, from the cache where it is there.
    pub(super) fn load_or_compile(
        cache: Option<&Self>,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
    ) -> wasmtime::Result<(Component, bool)> {
        let Some(cache) = cache else {
            return Ok((Component::from_binary(engine, bytes)?, false));
        };
        let path = cache.artefact(engine, digest);
        if let Some(component) = load(engine, &path) {
            return Ok((component, true));
        }
        let component = Component::from_binary(engine, bytes)?;
        if let Err(error) = replace(&path, &component.serialize()?) {
            tracing::warn!(path = %path.display(), %error, "could not cache an adapter's machine code; it will be compiled again at the next start");
        }
        Ok((component, false))
    }

    /// Another host, or other settings of the compiler, have another name.
    fn artefact(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.folder.join(format!("{digest}-{:016x}.cwasm", hasher.finish()))
    }

    /// Keeps the bytes of a version that was published, for a start that finds a broken file.
    pub(super) fn keep_good(&self, file: &Path, bytes: &[u8]) {
        let path = self.good(file);
        if let Err(error) = replace(&path, bytes) {
            tracing::warn!(path = %path.display(), %error, "could not keep a copy of a good adapter");
        }
    }

    /// The bytes of the last version that was published.
    pub(super) fn last_good(&self, file: &Path) -> Option<Vec<u8>> {
        fs::read(self.good(file)).ok()
    }

    /// The file was removed on purpose.
    pub(super) fn forget_good(&self, file: &Path) {
        let path = self.good(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %path.display(), %error, "could not remove the copy of an adapter");
            }
            _ => {}
        }
    }

    /// By the file's whole path: hosts with other adapters folders may share the cache.
    fn good(&self, file: &Path) -> PathBuf {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut hasher = std::hash::DefaultHasher::new();
        file.hash(&mut hasher);
        self.folder.join("good").join(format!("{:016x}.wasm", hasher.finish()))
    }
}

/// Machine code from the cache, or `None` when it is not there, damaged, or another host's.
#[allow(unsafe_code)]
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.exists() {
        return None;
    }
    // SAFETY: the file must be what `Component::serialize` gave, unchanged. Only this process's user can write to the
    // folder (`check_private`), and a file appears in it whole, by rename after a sync (`replace`). A header with
    // wasmtime's version and the compiler's settings is checked by wasmtime itself.
    match unsafe { Component::deserialize_file(engine, path) } {
        Ok(component) => Some(component),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cached machine code is not usable: compiling again");
            None
        }
    }
}

/// Whole or not at all, even when the power fails.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Makes the folder for this user alone; one that is there stays as it is.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

#[cfg(unix)]
fn check_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    let metadata = fs::metadata(folder)?;
    // A file that we make is ours: the way to our own user id without another crate.
    if metadata.uid() != tempfile::tempfile_in(folder)?.metadata()?.uid() {
        return refuse("the folder belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others can write to the folder, and what lies in it is run: `chmod go-w` it, or name another");
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_private(_: &Path) -> io::Result<()> {
    Ok(())
}
