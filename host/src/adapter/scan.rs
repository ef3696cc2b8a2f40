//! What a folder holds, and which of it has changed since the last look. Knows files, not components.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::signature;
use crate::{clock::Stopwatch, files};

/// What is remembered of the last look.
#[derive(Default)]
pub(super) struct Scan {
    files: BTreeMap<String, Known>,
    trouble: Option<String>,
}

struct Known {
    files: Files,
    since: Stopwatch,
    examined: bool,
}

/// Of a file and of its signature.
type Stamps = (Stamp, Option<Stamp>);
/// The files of one name, in the order of their endings. More than one is an error.
type Files = Vec<(PathBuf, Stamps)>;

/// What an adapter's file is called behind its name: a component, a script, a template.
pub(super) const ENDINGS: [&str; 3] = ["js", "toml", "wasm"];

/// What changes when a file's content does, without reading it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    inode: u64,
    /// Seconds and nanoseconds of the last change of content, mode or owner: not even a tool that sets the time back
    /// can hide that.
    changed: (i64, i64),
}

/// What a look finds about one name.
pub(super) enum Sight {
    /// New or changed, and standing still.
    Settled(Found),
    /// New or changed, perhaps still being written: look again after so long.
    Moving(Duration),
    /// There before, and no longer.
    Gone(String),
}

/// A file that may be an adapter.
pub(super) struct Found {
    /// Its name without its ending.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Files that would have the same name.
    pub rivals: Vec<PathBuf>,
}

impl Found {
    /// What stands in for the file of an adapter that is compiled in.
    pub fn built_in(name: &str) -> Self {
        Self { name: name.to_owned(), path: "built in".into(), rivals: Vec::new() }
    }

    /// Its bytes, if they are not more than `most`.
    pub fn read(&self, most: usize) -> io::Result<Vec<u8>> {
        files::read(&self.path, most)
    }
}

impl Scan {
    /// Compares the folder with the last look.
    pub fn look(&mut self, folder: &Path, settle: Duration) -> io::Result<Vec<Sight>> {
        let present = list(folder)?;
        self.trouble = None;
        let gone: Vec<String> = self.files.keys().filter(|name| !present.contains_key(*name)).cloned().collect();
        let mut sights = Vec::new();
        for name in gone {
            self.files.remove(&name);
            sights.push(Sight::Gone(name));
        }
        for (name, files) in present {
            let fresh = |files| Known { files, since: Stopwatch::start(), examined: false };
            let known = match self.files.entry(name.clone()) {
                Entry::Vacant(entry) => entry.insert(fresh(files)),
                Entry::Occupied(entry) => {
                    let known = entry.into_mut();
                    if known.files != files {
                        *known = fresh(files);
                    }
                    known
                }
            };
            if known.examined {
                continue;
            }
            let left = settle.saturating_sub(known.since.elapsed());
            if left.is_zero() {
                known.examined = true;
                let mut paths = known.files.iter().map(|(path, _)| path.clone());
                if let Some(path) = paths.next() {
                    sights.push(Sight::Settled(Found { name, path, rivals: paths.collect() }));
                }
            } else {
                sights.push(Sight::Moving(left));
            }
        }
        Ok(sights)
    }

    /// The next look takes the file for a changed one.
    pub fn forget(&mut self, name: &str) {
        if let Some(known) = self.files.get_mut(name) {
            known.examined = false;
        }
    }

    /// Whether this is another trouble than at the last look: it is told once.
    pub fn is_new_trouble(&mut self, error: &io::Error) -> bool {
        let text = error.to_string();
        let new = self.trouble.as_ref() != Some(&text);
        self.trouble = Some(text);
        new
    }
}

/// The files that may be adapters: `NAME.wasm`, `NAME.js`, `NAME.toml`, links followed, hidden ones (editors' and copies in
/// progress) left out.
fn list(folder: &Path) -> io::Result<BTreeMap<String, Files>> {
    let mut files: BTreeMap<String, Files> = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = adapter_name(&path) else {
            continue;
        };
        // A file that went away between the two calls is a file that is not there.
        if let Ok(metadata) = fs::metadata(&path) {
            // With a signature that has come, gone or changed, the file is another one.
            let signature = fs::metadata(signature::path_of(&path)).ok();
            let stamps = (stamp(&metadata), signature.as_ref().map(stamp));
            files.entry(name).or_default().push((path, stamps));
        }
    }
    for files in files.values_mut() {
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    Ok(files)
}

fn adapter_name(path: &Path) -> Option<String> {
    let ending = path.extension()?;
    if !ENDINGS.iter().any(|known| ending == *known) {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    let valid = !name.starts_with('.')
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    valid.then(|| name.to_owned())
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    #[cfg(unix)]
    let (inode, changed) = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
    };
    #[cfg(not(unix))]
    let (inode, changed) = (0, (0, 0));
    Stamp { len: metadata.len(), modified: metadata.modified().ok(), inode, changed }
}
