//! The built adapters in `adapters/prebuilt/`, and whether they still are what the sources say.
//!
//! The manifest beside them holds, per component, its hash and a digest over all files that it is made of. So a stale
//! component is found without a guest compiler, by `cargo test`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One of the adapters that the host embeds.
#[derive(Debug, Clone, Copy)]
pub struct Component {
    /// The file's name, without `.wasm`.
    pub name: &'static str,
    /// The folder in `adapters/`; the package is called `herald-adapter-` and this.
    pub adapter: &'static str,
    /// Cargo features of the package.
    pub features: &'static [&'static str],
}

/// All of them.
pub const COMPONENTS: [Component; 6] = [
    Component { name: "slack", adapter: "slack", features: &[] },
    Component { name: "webhook", adapter: "webhook", features: &[] },
    Component { name: "board-1.0.0", adapter: "board", features: &[] },
    Component { name: "board-1.1.0", adapter: "board", features: &["level"] },
    Component { name: "script", adapter: "script", features: &[] },
    Component { name: "template", adapter: "template", features: &[] },
];

/// Those that run a file of text, and share a crate.
const ENGINES: [&str; 2] = ["script", "template"];

/// `adapters/prebuilt/manifest.json`.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// What the components were built with. Another compiler makes other bytes of the same sources.
    pub compiler: String,
    /// By name.
    pub components: BTreeMap<String, Entry>,
}

/// A component in the manifest.
#[derive(Debug, Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Of the component.
    pub sha256: String,
    /// Of the component, in bytes.
    pub size: usize,
    /// Over the files that it is built from.
    pub sources: String,
}

impl Manifest {
    /// Reads the manifest of a repository.
    pub fn read(root: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path(root))?)?)
    }

    /// Writes the manifest of a repository.
    pub fn write(&self, root: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path(root), text)
    }
}

fn path(root: &Path) -> PathBuf {
    folder(root).join("manifest.json")
}

/// Where the components are.
pub fn folder(root: &Path) -> PathBuf {
    root.join("adapters/prebuilt")
}

/// Where a component is.
pub fn file(root: &Path, component: &Component) -> PathBuf {
    folder(root).join(format!("{}.wasm", component.name))
}

/// The SHA-256 of some bytes, in hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// A digest over all that a component is built from: the contract, the workspace, the SDK, its own crate.
pub fn source_digest(root: &Path, component: &Component) -> io::Result<String> {
    let crate_folder = format!("adapters/{}", component.adapter);
    let mut files = Vec::new();
    for file in
        ["adapters/Cargo.toml", "adapters/Cargo.lock", "adapters/sdk/Cargo.toml", &format!("{crate_folder}/Cargo.toml")]
    {
        files.push(file.to_owned());
    }
    for folder in ["wit", "adapters/sdk/src", &format!("{crate_folder}/src")] {
        list(root, folder, &mut files)?;
    }
    if root.join(&crate_folder).join("build.rs").is_file() {
        files.push(format!("{crate_folder}/build.rs"));
    }
    if ENGINES.contains(&component.adapter) {
        list(root, "adapters/engine/src", &mut files)?;
        files.push("adapters/engine/Cargo.toml".to_owned());
    }
    files.sort();
    let mut digest = Sha256::new();
    for file in files {
        let content = fs::read(root.join(&file)).map_err(|error| named(&file, &error))?;
        // The length keeps one file's end from passing for the next one's beginning.
        digest.update(format!("{file}\n{}\n", content.len()));
        digest.update(content);
    }
    Ok(hex::encode(digest.finalize()))
}

/// Adds the source files below a folder; what an editor leaves there isn't one.
fn list(root: &Path, folder: &str, files: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder)).map_err(|error| named(folder, &error))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else if ["rs", "json", "wit", "js"]
            .iter()
            .any(|kind| Path::new(&path).extension().is_some_and(|end| end == *kind))
        {
            files.push(path);
        }
    }
    Ok(())
}

/// Checks that the components are the manifest's, and that the manifest's sources are those in the repository.
///
/// Needs no compiler. All problems are told at once, each with what to do.
pub fn verify_sources(root: &Path) -> Result<(), Vec<String>> {
    let manifest = Manifest::read(root)
        .map_err(|error| vec![format!("adapters/prebuilt/manifest.json: {error}. Run `cargo xtask adapters`")])?;
    let problems: Vec<String> =
        COMPONENTS.iter().filter_map(|component| verify(root, &manifest, component).err()).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn verify(root: &Path, manifest: &Manifest, component: &Component) -> Result<(), String> {
    let name = component.name;
    let rebuild = "Run `cargo xtask adapters` and commit what it writes";
    let entry = manifest.components.get(name).ok_or_else(|| format!("{name}: not in the manifest. {rebuild}"))?;
    let bytes = fs::read(file(root, component)).map_err(|error| format!("{name}.wasm: {error}. {rebuild}"))?;
    if sha256(&bytes) != entry.sha256 {
        return Err(format!("{name}.wasm is not the one in the manifest. {rebuild}"));
    }
    match source_digest(root, component) {
        Ok(digest) if digest == entry.sources => Ok(()),
        Ok(_) => Err(format!("{name}.wasm was built from other sources than these. {rebuild}")),
        Err(error) => Err(format!("{name}: its sources can't be read: {error}")),
    }
}

fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}
