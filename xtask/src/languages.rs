//! The examples in each language, each built in a copy by the very command that its `adapter.toml` gives its users.
//!
//! What the commands need is installed in target/tools where that can be. Must not know how any language builds, but for
//! Rust, whose usual target can't be had everywhere.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::compiler::build_project;
use crate::process::{clean, run};
use crate::tools::Tools;

/// What `adapter.toml` says that matters here.
#[derive(Deserialize)]
struct Recipe {
    build: Option<String>,
    component: String,
}

/// Builds all of them, and says in which folder each has one of its own.
pub fn build(root: &Path, tools: &mut Tools) -> Result<PathBuf> {
    let copies = root.join("target/examples");
    let path = tools.of_languages(root)?;
    for (language, example) in examples(root)? {
        let copy = copies.join(&language);
        if copy.exists() {
            fs::remove_dir_all(&copy).with_context(|| format!("can't remove {}", copy.display()))?;
        }
        copy_tree(&example, &copy)?;
        let recipe = recipe(&copy)?;
        match (language.as_str(), &recipe.build) {
            ("rust", _) => rust(root, tools, &copy, &recipe)?,
            (_, Some(command)) => run(&mut shell(command, &copy, &path)).with_context(|| language.clone())?,
            (_, None) => {}
        }
        let component = copy.join(&recipe.component);
        let size = fs::metadata(&component).with_context(|| format!("there is no {}", component.display()))?.len();
        println!("{language}: {size} bytes");
    }
    Ok(copies)
}

/// The folders of languages, by their names. One with a dash in its name shows something else of a language.
fn examples(root: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let folder = root.join("examples/adapters");
    let entries = fs::read_dir(&folder).with_context(|| format!("can't read {}", folder.display()))?;
    let found = entries.flatten().map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    let found: BTreeMap<_, _> = found.filter(|(name, path)| path.is_dir() && !name.contains('-')).collect();
    if found.is_empty() {
        bail!("there is no example in {}", folder.display());
    }
    Ok(found)
}

fn recipe(folder: &Path) -> Result<Recipe> {
    let file = folder.join("adapter.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("can't read {}", file.display()))?;
    toml::from_str(&text).with_context(|| file.display().to_string())
}

/// The command as its user would run it, with what was installed for it on the path.
fn shell(command: &str, folder: &Path, path: &[PathBuf]) -> Command {
    let usual = env::var_os("PATH").unwrap_or_default();
    let all = path.iter().cloned().chain(env::split_paths(&usual));
    let mut shell = clean("sh");
    shell.args(["-c", command]).current_dir(folder);
    if let Ok(path) = env::join_paths(all) {
        shell.env("PATH", path);
    }
    shell
}

/// The command of its users, where rustup has their target; Debian's compiler otherwise.
fn rust(root: &Path, tools: &mut Tools, folder: &Path, recipe: &Recipe) -> Result<()> {
    tools.wasi_libc(root)?;
    let component = folder.join(&recipe.component);
    let (parent, name) = component.parent().zip(component.file_name()).context("the component has no folder")?;
    let built = build_project(root, folder)?.join(name);
    fs::create_dir_all(parent).with_context(|| format!("can't make {}", parent.display()))?;
    fs::copy(&built, &component).with_context(|| format!("can't copy {}", built.display()))?;
    Ok(())
}

/// What was built where the sources are, by somebody who tried the example there, stays behind.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    const BUILT: [&str; 6] = ["node_modules", ".venv", "build", "target", "__pycache__", "package-lock.json"];
    fs::create_dir_all(to).with_context(|| format!("can't make {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("can't read {}", from.display()))? {
        let (source, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if BUILT.iter().any(|built| name == *built) || source.extension().is_some_and(|end| end == "wasm") {
            continue;
        }
        if source.is_dir() {
            copy_tree(&source, &to.join(name))?;
        } else {
            fs::copy(&source, to.join(name)).with_context(|| format!("can't copy {}", source.display()))?;
        }
    }
    Ok(())
}
