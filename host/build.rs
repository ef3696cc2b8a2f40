//! Lists the files that `herald new` copies, for `cli/new/embedded.rs`: the templates in `examples/adapters`, and the SDK.
//!
//! A list of `include_bytes!`, so that cargo knows of every file. What a template's `.gitignore` names was built there and
//! is no part of it.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("..").canonicalize()?;
    let mut out = String::new();
    for (name, folder) in [("TEMPLATES", "examples/adapters"), ("SDK", "adapters/sdk")] {
        let mut files = Vec::new();
        list(&root.join(folder), "", &[], &mut files)?;
        files.sort();
        writeln!(out, "/// The files of `{folder}`, by their path in there.\npub(super) static {name}: &[File] = &[")?;
        for file in files {
            let path = literal(&root.join(folder).join(&file))?;
            writeln!(out, "    ({file:?}, include_bytes!({path})),")?;
        }
        writeln!(out, "];")?;
    }
    let workspace = root.join("adapters/Cargo.toml");
    println!("cargo:rerun-if-changed={}", workspace.display());
    writeln!(out, "/// What the SDK's manifest leaves to its workspace.")?;
    writeln!(out, "pub(super) static SDK_WORKSPACE: &str = include_str!({});", literal(&workspace)?)?;
    fs::write(Path::new(&env::var("OUT_DIR")?).join("embedded.rs"), out)?;
    Ok(())
}

/// A path as Rust writes a text.
fn literal(path: &Path) -> Result<String, Box<dyn Error>> {
    let text = path.to_str().ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
    Ok(format!("{text:?}"))
}

/// Adds the files below a folder, by their path from the first one.
fn list(folder: &Path, path: &str, ignored: &[String], files: &mut Vec<String>) -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut ignored = ignored.to_vec();
    if let Ok(text) = fs::read_to_string(folder.join(".gitignore")) {
        ignored
            .extend(text.lines().map(|line| line.trim().trim_matches('/').to_owned()).filter(|line| !line.is_empty()));
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))?;
        if ignored.iter().any(|pattern| matches(pattern, &name)) {
            continue;
        }
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if entry.file_type()?.is_dir() {
            list(&entry.path(), &path, &ignored, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

/// The two forms that the templates' `.gitignore`s have: a name, and `*` with the end of one.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => pattern == name,
    }
}
