//! Machine code of adapters, kept between starts in a folder that nobody else can write to.
//!
//! The one place with `unsafe`: wasmtime trusts the code that it is given back. Must never give it a byte that is not
//! what it once made: each file begins with the SHA-256 of the code that follows, and only what agrees is used.

use std::{
    fs,
    hash::{Hash, Hasher},
    io::{self, Write},
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};
use wasmtime::{Engine, Module, Precompiled, component::Component};

use super::signature;
use crate::files;

/// A larger file is not ours: machine code takes several times the space of the largest component.
const MAX_CODE: usize = 1 << 30;
/// Bytes of a SHA-256.
const SUM: usize = 32;

/// The folder.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    /// The user that it belongs to, who is ours.
    owner: u32,
}

impl Cache {
    /// Makes the folder where it does not exist. One that others can write to is refused, as what stands in it is run; one
    /// that they can only look into is closed to them.
    pub fn open(folder: &Path) -> io::Result<Self> {
        make(folder)?;
        make(&folder.join("good"))?;
        check_private(folder)?;
        let owner = check_private(&folder.join("good"))?;
        Ok(Self { folder: folder.to_owned(), owner })
    }

    /// The component's machine code, from the cache where it is there.
    pub(super) fn load_or_compile(
        cache: Option<&Self>,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
    ) -> wasmtime::Result<(Component, bool)> {
        if let Some(component) = Self::find_component(cache, engine, digest) {
            return Ok((component, true));
        }
        Ok((Self::compile(cache, engine, digest, bytes)?, false))
    }

    /// The component's machine code, if it is there.
    pub(super) fn find_component(cache: Option<&Self>, engine: &Engine, digest: &str) -> Option<Component> {
        match Self::find(cache, engine, digest)? {
            Code::Component(component) => Some(component),
            Code::Module(_) => None,
        }
    }

    /// Makes the component's machine code, and keeps it.
    pub(super) fn compile(
        cache: Option<&Self>,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
    ) -> wasmtime::Result<Component> {
        let component = Component::from_binary(engine, bytes)?;
        Self::keep(cache, engine, digest, || component.serialize());
        Ok(component)
    }

    /// A core module's machine code, from the cache where it is there.
    pub(super) fn load_or_compile_module(
        cache: Option<&Self>,
        engine: &Engine,
        digest: &str,
        bytes: &[u8],
    ) -> wasmtime::Result<Module> {
        if let Some(module) = Self::find_module(cache, engine, digest) {
            return Ok(module);
        }
        let module = Module::from_binary(engine, bytes)?;
        Self::keep_module(cache, engine, digest, &module);
        Ok(module)
    }

    /// The machine code of a module, if it is there.
    pub(super) fn find_module(cache: Option<&Self>, engine: &Engine, digest: &str) -> Option<Module> {
        match Self::find(cache, engine, digest)? {
            Code::Module(module) => Some(module),
            Code::Component(_) => None,
        }
    }

    /// Keeps the machine code of a module.
    pub(super) fn keep_module(cache: Option<&Self>, engine: &Engine, digest: &str, module: &Module) {
        Self::keep(cache, engine, digest, || module.serialize());
    }

    fn find(cache: Option<&Self>, engine: &Engine, digest: &str) -> Option<Code> {
        let cache = cache?;
        let path = cache.artefact(engine, digest);
        match cache.read(&path).and_then(|file| load(engine, &file).map_err(io::Error::other)) {
            Ok(code) => Some(code),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cached machine code is not usable: compiling again");
                None
            }
        }
    }

    fn keep(
        cache: Option<&Self>,
        engine: &Engine,
        digest: &str,
        serialize: impl FnOnce() -> wasmtime::Result<Vec<u8>>,
    ) {
        let Some(cache) = cache else { return };
        let path = cache.artefact(engine, digest);
        let kept = serialize().and_then(|code| Ok(replace(&path, &sealed(&code))?));
        if let Err(error) = kept {
            tracing::warn!(path = %path.display(), %error, "could not cache an adapter's machine code; it will be compiled again at the next start");
        }
    }

    /// Another host, or other settings of the compiler, have another name.
    fn artefact(&self, engine: &Engine, digest: &str) -> PathBuf {
        let mut hasher = std::hash::DefaultHasher::new();
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        self.folder.join(format!("{digest}-{:016x}.code", hasher.finish()))
    }

    /// A file that this user's Herald has put there: no link, and of nobody else.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        files::read_checked(path, MAX_CODE, |metadata| {
            let ours = owner(metadata) == self.owner;
            if ours { Ok(()) } else { Err(io::Error::other("it belongs to another user")) }
        })
    }

    /// Keeps the bytes of a version that has proven itself, and its signature if it needs one, for a start that finds a
    /// broken file.
    pub(super) fn keep_good(&self, file: &Path, bytes: &[u8], signature: Option<&[u8]>) {
        let path = self.good(file);
        let signed = signature.map_or(Ok(()), |signature| replace(&signature::path_of(&path), signature));
        if let Err(error) = signed.and_then(|()| replace(&path, bytes)) {
            tracing::warn!(path = %path.display(), %error, "could not keep a copy of a good adapter");
        }
    }

    /// The bytes of the last version that was published.
    pub(super) fn last_good(&self, file: &Path) -> Option<Vec<u8>> {
        self.read(&self.good(file)).ok()
    }

    /// The file was removed on purpose.
    pub(super) fn forget_good(&self, file: &Path) {
        let path = self.good(file);
        for path in [signature::path_of(&path), path] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "could not remove the copy of an adapter");
                }
                _ => {}
            }
        }
    }

    /// Where the copy stands. By the file's whole path: hosts with other adapters folders may share the cache.
    pub(super) fn good(&self, file: &Path) -> PathBuf {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let mut hasher = std::hash::DefaultHasher::new();
        file.hash(&mut hasher);
        self.folder.join("good").join(format!("{:016x}.wasm", hasher.finish()))
    }
}

/// The code behind its own digest.
fn sealed(code: &[u8]) -> Vec<u8> {
    let mut file = Sha256::digest(code).to_vec();
    file.extend_from_slice(code);
    file
}

/// Machine code, ready to be run.
enum Code {
    Component(Component),
    Module(Module),
}

/// The machine code of a file, if it is what [`sealed`] made.
#[allow(unsafe_code)]
fn load(engine: &Engine, file: &[u8]) -> wasmtime::Result<Code> {
    let parts = file.split_at_checked(SUM);
    let Some((_, code)) = parts.filter(|(sum, code)| *sum == Sha256::digest(code).as_slice()) else {
        wasmtime::bail!("it is damaged: its content is not what its digest says");
    };
    // SAFETY: the bytes must be what `serialize` of a component or a module gave, unchanged. The digest in front of them says
    // that they are; they are checked and used in this process's own memory, so that nothing can change between the two. Who
    // could forge the digest has to be this process's user: nobody else can write to the folder (`check_private`), and a file
    // of anybody else's is not read (`Cache::read`). That they were made by this wasmtime with these settings is in the
    // file's name, and wasmtime checks it itself by a header of its own.
    unsafe {
        match Engine::detect_precompiled(code) {
            Some(Precompiled::Module) => Module::deserialize(engine, code).map(Code::Module),
            _ => Component::deserialize(engine, code).map(Code::Component),
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

/// The user that the folder belongs to: our own, or it is refused.
fn check_private(folder: &Path) -> io::Result<u32> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    let metadata = fs::metadata(folder)?;
    // A file that we make is ours: the way to our own user id without another crate.
    let own = owner(&tempfile::tempfile_in(folder)?.metadata()?);
    if owner(&metadata) != own {
        return refuse("the folder belongs to another user");
    }
    if others_can_write(&metadata) {
        return refuse("others can write to the folder, and what lies in it is run: `chmod go-w` it, or name another");
    }
    close(folder, &metadata)?;
    Ok(own)
}

/// Takes from others what they may do with the folder.
#[cfg(unix)]
fn close(folder: &Path, metadata: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let is_open = |metadata: &fs::Metadata| metadata.mode() & 0o077 != 0;
    if is_open(metadata) {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        // Some file systems take any and keep none.
        if is_open(&fs::metadata(folder)?) {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the folder can't be closed to others: `chmod 700` it, or name another",
            ));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn close(_: &Path, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn owner(metadata: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(metadata)
}

#[cfg(unix)]
fn others_can_write(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o022 != 0
}

#[cfg(not(unix))]
fn owner(_: &fs::Metadata) -> u32 {
    0
}

#[cfg(not(unix))]
fn others_can_write(_: &fs::Metadata) -> bool {
    false
}
