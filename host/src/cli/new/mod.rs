//! `herald new`: a project for a channel type, from one of the templates in `examples/adapters`.

mod embedded;
mod sdk;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::json;

use super::{
    Wrong,
    args::{Common, New},
    output,
    workbench::Manifest,
};

/// What the adapter is called in the templates.
const TEMPLATE_NAME: &str = "oncall";
/// Where the template in Rust finds the SDK in the repository.
const SDK_IN_REPOSITORY: &str = "../../../adapters/sdk";
/// A file's name, a package's, a module's and an identifier: what all languages take.
const LONGEST_NAME: usize = 40;

pub(super) fn run(common: &Common, args: &New) -> anyhow::Result<ExitCode> {
    let New { name, lang, dir } = args;
    check_name(name)?;
    let lang = lang.name();
    let folder = dir.clone().unwrap_or_else(|| PathBuf::from(name));
    let files = files(name, lang)?;
    if files.is_empty() {
        return Err(Wrong(format!("this Herald was built without a template for {lang}")).into());
    }
    check_folder(&folder)?;
    for (path, bytes) in &files {
        let file = folder.join(path);
        write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let manifest = Manifest::read(&folder)?;
    if common.json {
        let files: Vec<&String> = files.iter().map(|(path, _)| path).collect();
        output::json(&json!({
            "name": name, "lang": lang, "folder": folder, "files": files, "build": manifest.build,
            "component": manifest.component,
        }))?;
    } else {
        output::line(what_next(name, lang, &folder, &manifest))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check_name(name: &str) -> Result<(), Wrong> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.len() <= LONGEST_NAME && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits) {
        return Ok(());
    }
    let mut better = name.to_ascii_lowercase();
    better.retain(|c| fits(c) || c == '-' || c == '.' || c == ' ');
    let better = better.replace(['-', '.', ' '], "_");
    let better = better.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let hint = match better.get(..better.len().min(LONGEST_NAME)) {
        Some(better) if !better.is_empty() => format!(", `{better}` for example"),
        _ => String::new(),
    };
    Err(Wrong(format!(
        "{name:?} is no name for a project: a letter, then up to {} letters, digits and `_`, all lower case{hint}. The \
         channel type is called as its file in the adapters folder is, which may have `-` in its name",
        LONGEST_NAME - 1
    )))
}

fn check_folder(folder: &Path) -> anyhow::Result<()> {
    let shown = folder.display();
    match fs::read_dir(folder).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(Wrong(format!("{shown} is there already, and not empty: name another with --dir")).into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(Wrong(format!("{shown} is there already, and is no folder: name another with --dir")).into())
        }
        Err(error) => Err(error).with_context(|| format!("cannot look into {shown}")),
    }
}

/// The project's files, by their path in its folder.
fn files(name: &str, lang: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let renamed = |text: &str| text.replace(TEMPLATE_NAME, name).replace(SDK_IN_REPOSITORY, sdk::FOLDER);
    let mut files: Vec<(String, Vec<u8>)> = embedded::template(lang)
        .map(|(path, bytes)| {
            let bytes = str::from_utf8(bytes).map_or_else(|_| bytes.to_vec(), |text| renamed(text).into_bytes());
            (renamed(path), bytes)
        })
        .collect();
    if lang == "rust" {
        let sdk = sdk::files().context("the SDK that this Herald was built with")?;
        files.extend(sdk.into_iter().map(|(path, bytes)| (format!("{}/{path}", sdk::FOLDER), bytes)));
    }
    Ok(files)
}

fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, bytes)
}

fn what_next(name: &str, lang: &str, folder: &Path, manifest: &Manifest) -> String {
    let build = manifest.build.as_ref().map(|build| format!("  {build}\n")).unwrap_or_default();
    let component = manifest.component.display();
    let extension = manifest.component.extension().unwrap_or_default().to_string_lossy();
    format!(
        "{} holds the channel type `{name}`, in {lang}. Next:\n\n  cd {}\n{build}  herald test .\n  herald dev .\n  \
         cp {component} ADAPTERS/{name}.{extension}\n\nADAPTERS is the host's `adapters.folder`; what is copied there \
         is used from the next delivery on. README.md says more.",
        folder.display(),
        folder.display(),
    )
}
