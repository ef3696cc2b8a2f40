//! A compiler for guests: the user's own if it knows the target, else Debian's with the standard library from source.
//!
//! Both make a core module for wasm32-unknown-unknown, which imports nothing; [`crate::adapters`] wraps it as a component.
//! What a guest has of C, QuickJS, is clang's. The bytes depend on the compilers and the linker alone: not on folders, the
//! user or the machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::prebuilt::Component;
use crate::process::{clean, output, run};
use crate::tools::Tools;

const TARGET: &str = "wasm32-unknown-unknown";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_STD: &str = "/usr/lib/rustlib/src/rust";
/// What the standard library for WASI stands on.
pub(crate) const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";
/// The guests' stack: enough for deeply nested JSON, and little to keep. As in adapters/.cargo/config.toml.
const STACK: &str = "link-arg=-zstack-size=262144";

/// A compiler that can build guests.
pub struct Compiler {
    /// What the manifest says; the same text means the same bytes.
    pub version: String,
    cargo: PathBuf,
    /// Comes with the user's toolchain, and serves both compilers.
    linker: PathBuf,
    /// Debian's has to build the standard library.
    debian: bool,
    /// For C: the compiler and the archiver. Only the script engine needs them.
    clang: Option<(&'static str, &'static str)>,
}

impl Compiler {
    /// Finds a compiler, installing Debian's if that is the only way.
    pub fn find(root: &Path, tools: &mut Tools) -> Result<Self> {
        let rustc = || in_adapters(root, "rustc");
        let sysroot =
            output(rustc().args(["--print", "sysroot"])).context("there is no rustc: install Rust with rustup")?;
        let library = Path::new(&sysroot).join("lib/rustlib");
        let host = output(rustc().arg("-vV")).unwrap_or_default();
        let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("`rustc -vV` names no host")?;
        let linker = library.join(host).join("bin").join(format!("rust-lld{}", std::env::consts::EXE_SUFFIX));
        let lld = output(Command::new(&linker).args(["-flavor", "wasm", "--version"]))
            .with_context(|| format!("no linker at {}: it is a part of rustup's toolchains", linker.display()))?;
        // Its version goes on with the folder that it was built in.
        let lld = lld.split(" (").next().unwrap_or_default().to_owned();
        let clang = tools.clang().inspect_err(|error| println!("{error:#}")).ok();
        let c = clang.and_then(|(clang, _)| output(Command::new(clang).arg("--version")));
        let c = c.unwrap_or_else(|| "no clang".to_owned());
        let lld = format!("{lld}; {}", c.lines().next().unwrap_or_default().trim());
        if library.join(TARGET).join("lib").is_dir() {
            let version = output(rustc().arg("--version")).context("`rustc --version` failed")?;
            return Ok(Self {
                version: format!("{version}; {lld}"),
                cargo: "cargo".into(),
                linker,
                debian: false,
                clang,
            });
        }
        if !debian_is_there() {
            tools.apt(
                &["rustc-web", "rust-web-src", "cargo-web"],
                "Debian's Rust builds the adapters, as this toolchain lacks their target",
                &format!("Run `rustup target add {TARGET}` instead"),
            )?;
        }
        if !debian_is_there() {
            bail!("no compiler for {TARGET}: run `rustup target add {TARGET}`");
        }
        let version = output(clean(DEBIAN_RUSTC).arg("--version"))
            .with_context(|| format!("`{DEBIAN_RUSTC} --version` failed"))?;
        Ok(Self {
            version: format!("{version}, its own std; {lld}"),
            cargo: DEBIAN_CARGO.into(),
            linker,
            debian: true,
            clang,
        })
    }

    /// Whether the compiler can build a component: QuickJS in the script engine is C.
    pub fn builds(&self, component: &Component) -> bool {
        component.adapter != "script" || self.clang.is_some()
    }

    /// Builds a component's core module, and says where it is.
    pub fn core_module(&self, root: &Path, component: &Component) -> Result<PathBuf> {
        // Afterwards the registry's sources are on this machine, and their folder has a name.
        run(self.command(root).args(["fetch", "--quiet", "--locked"]))?;
        let package = format!("herald-adapter-{}", component.adapter);
        let mut build = self.command(root);
        build.args(["build", "--release", "--locked", "--target", TARGET, "--package", &package]);
        if !component.features.is_empty() {
            build.arg("--features").arg(component.features.join(","));
        }
        if self.debian {
            build.args(["-Z", "build-std=std,panic_abort"]);
        }
        build.env("CARGO_ENCODED_RUSTFLAGS", self.flags(root)?.join("\u{1f}"));
        if let Some((clang, archiver)) = self.clang {
            build.env("CC_wasm32_unknown_unknown", clang).env("AR_wasm32_unknown_unknown", archiver);
        }
        // A script runs in what this makes: quick is worth more than small.
        let folder = format!("-ffile-prefix-map={}=herald", target_dir(root).display());
        build.env("CFLAGS_wasm32_unknown_unknown", format!("-O2 -fno-ident {folder}"));
        run(&mut build)?;
        Ok(target_dir(root).join(TARGET).join("release").join(format!("{}.wasm", package.replace('-', "_"))))
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = in_adapters(root, &self.cargo);
        command.env("CARGO_TARGET_DIR", target_dir(root));
        command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", &self.linker);
        if self.debian {
            // -Z options outside of a nightly compiler.
            command.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
        }
        command
    }

    /// The compiler's flags: no path of this machine may get into a component.
    fn flags(&self, root: &Path) -> Result<Vec<String>> {
        let mut flags = vec!["-C".to_owned(), STACK.to_owned()];
        let mut remap = |from: &Path, to: &str| flags.push(format!("--remap-path-prefix={}={to}", from.display()));
        remap(root, "herald");
        let sources = cargo_home()?.join("registry/src");
        // A folder per registry; its name would tell which mirror was used.
        for registry in fs::read_dir(&sources).into_iter().flatten().flatten() {
            remap(&registry.path(), "crates");
        }
        if self.debian {
            remap(Path::new(DEBIAN_STD), "rust");
            remap(&fs::canonicalize(DEBIAN_STD).with_context(|| format!("{DEBIAN_STD} can't be read"))?, "rust");
        }
        Ok(flags)
    }
}

/// Builds an author's project in Rust by the command of its README, or, where the user's toolchain lacks the target, by
/// Debian's compiler, for which [`Tools::wasi_libc`] has to have been called. The answer is the folder of the components,
/// which all projects share: the standard library is built once.
pub fn build_project(root: &Path, project: &Path) -> Result<PathBuf> {
    let (target, shared) = ("wasm32-wasip2", target_dir(root).join("projects"));
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).context("there is no rustc")?;
    let library = Path::new(&sysroot).join("lib/rustlib");
    let has_target = library.join(target).join("lib").is_dir();
    let mut cargo = clean(if has_target { "cargo" } else { DEBIAN_CARGO });
    cargo.current_dir(project).env("CARGO_TARGET_DIR", &shared).args(["build", "--release", "--target", target]);
    if !has_target {
        // The linkers are a part of rustup's toolchain.
        let linkers = library.join(format!("{}-unknown-linux-gnu/bin", std::env::consts::ARCH));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::split_paths(&path).chain([linkers]);
        cargo.env("PATH", std::env::join_paths(path).context("PATH can't be extended")?);
        cargo.env("RUSTC_BOOTSTRAP", "1").env("RUSTC", DEBIAN_RUSTC);
        cargo.env("RUSTFLAGS", format!("-L native={WASI_LIBC}")).args(["-Z", "build-std=std,panic_abort"]);
    }
    run(&mut cargo)?;
    Ok(shared.join(target).join("release"))
}

fn in_adapters(root: &Path, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = clean(program);
    command.current_dir(root.join("adapters"));
    command
}

/// Where guests are built, and native tests of the adapters.
pub fn target_dir(root: &Path) -> PathBuf {
    root.join("target/guests")
}

fn debian_is_there() -> bool {
    let needed = [DEBIAN_RUSTC, DEBIAN_CARGO, DEBIAN_STD];
    needed.iter().all(|path| Path::new(path).exists())
}

fn cargo_home() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).context("neither CARGO_HOME nor HOME is set")
}
