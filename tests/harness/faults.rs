//! A disk that is full, broken or read-only, for one store and for as long as a test wants it. On Linux, and where the C
//! library is loaded at the start (not with musl): `faults.c` is compiled here and loaded in front of it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::process::Program;

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

/// Compiled once a run, and put in its place whole: another run may be using it.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/harness/faults.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults.so");
        let made = library.with_extension(format!("{}.so", std::process::id()));
        let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
        compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).args([&made, &source]);
        let compiled = compiler.output().unwrap_or_else(|error| panic!("{compiler:?}: {error}; install a C compiler"));
        assert!(compiled.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&compiled.stderr));
        fs::rename(made, &library).unwrap();
        library
    })
}
