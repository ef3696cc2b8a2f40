//! What a folder holds, and which of it has changed since the last look. Knows files, not components.

use std::{
    collections::BTreeMap,
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
    stamp: Stamps,
    since: Stopwatch,
    examined: bool,
}

/// Of a file and of its signature.
type Stamps = (Stamp, Option<Stamp>);

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
    /// Its name without `.wasm`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
}

impl Found {
    /// What stands in for the file of an adapter that is compiled in.
    pub fn built_in(name: &str) -> Self {
        Self { name: name.to_owned(), path: "built in".into() }
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
        for (name, (path, stamp)) in present {
            let known = self.files.entry(name.clone()).or_insert_with(|| Known {
                stamp,
                since: Stopwatch::start(),
                examined: false,
            });
            if known.stamp != stamp {
                *known = Known { stamp, since: Stopwatch::start(), examined: false };
            }
            if known.examined {
                continue;
            }
            let left = settle.saturating_sub(known.since.elapsed());
            if left.is_zero() {
                known.examined = true;
                sights.push(Sight::Settled(Found { name, path }));
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

/// The files that may be adapters: `NAME.wasm`, links followed, hidden ones (editors' and copies in progress) left out.
fn list(folder: &Path) -> io::Result<BTreeMap<String, (PathBuf, Stamps)>> {
    let mut files = BTreeMap::new();
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
            files.insert(name, (path, stamps));
        }
    }
    Ok(files)
}

fn adapter_name(path: &Path) -> Option<String> {
    if path.extension()? != "wasm" {
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
