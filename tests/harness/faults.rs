//! A disk that is full, broken or read-only, for one store and for as long as a test wants it, by `faults.c`.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use super::{preload::compiled, process::Program};

/// What can happen to a write; of the last one, to a sync only.
pub const ALL: [&str; 4] = ["ENOSPC", "EIO", "EROFS", "fsync"];

pub struct Faults {
    control: PathBuf,
    next: PathBuf,
}

impl Faults {
    /// The folder holds the file that says what is wrong, and nothing is wrong yet.
    pub fn new(folder: &Path) -> Self {
        Self { control: folder.join("fault"), next: folder.join("next-fault") }
    }

    /// What runs by this has such a disk.
    pub fn around<'a>(&self, program: Program<'a>) -> Program<'a> {
        let library = library().to_str().unwrap();
        // The library looks into `/proc/self`, which is root's where the memory is hidden.
        let program = program.variable("HERALD_SERVER__CORE_DUMPS", "true");
        program.variable("LD_PRELOAD", library).variable("HERALD_FAULTS", self.control.to_str().unwrap())
    }

    /// From now on: one of [`ALL`].
    pub fn begin(&self, fault: &str) {
        fs::write(&self.next, fault).unwrap();
        fs::rename(&self.next, &self.control).unwrap();
    }

    /// All is well again.
    pub fn end(&self) {
        fs::remove_file(&self.control).unwrap();
    }
}

fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| compiled("faults"))
}
