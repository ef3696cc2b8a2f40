//! Libraries that stand in front of the C library of a host, by `LD_PRELOAD`: on Linux, and where the C library is loaded at
//! the start (not with musl).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::process::Program;

/// Compiles `NAME.c` of this folder, and puts it in its place whole: another run may be using it.
pub fn compiled(name: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/harness").join(name).with_extension("c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("so");
    let made = library.with_extension(format!("{}.so", std::process::id()));
    let mut compiler = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o"]).args([&made, &source]);
    let compiled = compiler.output().unwrap_or_else(|error| panic!("{compiler:?}: {error}; install a C compiler"));
    assert!(compiled.status.success(), "{compiler:?}: {}", String::from_utf8_lossy(&compiled.stderr));
    fs::rename(made, &library).unwrap();
    library
}

/// What runs by this asks a name server for `rebinds.example` that changes its mind: it is 127.0.0.1 and 127.0.0.2 in turn.
pub fn rebinding(program: Program<'_>) -> Program<'_> {
    program.variable("LD_PRELOAD", compiled("rebinds").to_str().unwrap())
}
