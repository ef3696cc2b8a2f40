//! `herald adapters list` and `herald adapters inspect`.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use serde_json::{Value, json};

use super::{
    args::{Adapters, Common},
    output,
    remote::Remote,
};
use crate::{
    adapter::{Adapter, Options, Origin, Registry, digest},
    app,
};

pub(super) fn run(common: &Common, command: &Adapters) -> anyhow::Result<ExitCode> {
    match command {
        Adapters::List => list(common),
        Adapters::Inspect { file } => inspect(common, file),
    }
}

/// The running host's; without one, what a host with this config would have.
fn list(common: &Common) -> anyhow::Result<ExitCode> {
    let remote = Remote::find(common)?;
    let answer = if !remote.named && remote.is_absent() {
        let config = common.origin(Vec::new())?.load()?;
        let published = app::registry(&config)?.published();
        published.account()
    } else {
        remote.get("/v1/adapters")?
    };
    if common.json {
        output::json(&answer)?;
        return Ok(ExitCode::SUCCESS);
    }
    let list = |name: &str| answer.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = list("adapters")
        .iter()
        .map(|adapter| {
            let text = |pointer| output::text(adapter, pointer);
            let origin = match (text("/origin/file"), text("/origin/last-good")) {
                (file, _) if !file.is_empty() => file,
                (_, file) if !file.is_empty() => format!("last good version of {file}"),
                _ => text("/origin"),
            };
            vec![text("/name"), text("/version"), text("/title"), origin, text("/digest"), text("/summary")]
        })
        .collect();
    output::table(&["NAME", "VERSION", "TITLE", "FROM", "DIGEST", "SUMMARY"], &rows)?;
    for compiling in list("compiling") {
        let name = compiling.as_str().unwrap_or_default();
        output::line(output::harmless(&format!("compiling: {name}: what served before goes on until that is done")))?;
    }
    for refused in list("refused") {
        let text = |pointer| output::text(&refused, pointer);
        output::line(output::harmless(&format!(
            "refused: {} ({}, {}): {}",
            text("/name"),
            text("/file"),
            text("/step"),
            output::block(&refused, "/message")
        )))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `describe` in the sandbox and nothing else. Of the config only who must have signed files is asked.
fn inspect(common: &Common, file: &Path) -> anyhow::Result<ExitCode> {
    let keys = common.origin(Vec::new())?.load().map(|config| config.adapters.signed_by);
    let signature = match &keys {
        Ok(keys) if keys.is_empty() => "not asked for (adapters.signed_by is empty)",
        Ok(_) => "good, by a key of adapters.signed_by",
        Err(_) => "not looked at: the config can't be used, see `herald check`",
    };
    let options = Options { signed_by: keys.unwrap_or_default(), ..Options::default() };
    let registry = Registry::open(options, Vec::new())?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let built_in = file.to_str().filter(|_| !file.exists()).and_then(|name| registry.get(name));
    if let Some(adapter) = built_in {
        return show(common, &adapter, "built in: needs none");
    }
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match registry.load(&name, &bytes, Origin::File(file.to_owned())) {
        Ok(adapter) => show(common, &adapter, signature),
        Err(error) => {
            if common.json {
                let digest = digest(&bytes);
                output::json(&json!({ "name": name, "digest": digest, "step": error.step, "message": error.message }))?;
            } else {
                output::line(output::harmless(&format!("{}: refused ({}): {error}", file.display(), error.step)))?;
            }
            Ok(ExitCode::from(2))
        }
    }
}

fn show(common: &Common, adapter: &Adapter, signature: &str) -> anyhow::Result<ExitCode> {
    let mut account = adapter.account();
    if common.json {
        if let Some(account) = account.as_object_mut() {
            account.insert("signature".to_owned(), signature.into());
        }
        output::json(&account)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names = |pointer: &str| {
        let list = account.pointer(pointer).and_then(Value::as_array);
        let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
        if names.is_empty() { "none".to_owned() } else { names.join("\n          ") }
    };
    let hosts = match names("/hosts").as_str() {
        "none" => "wherever the settings point".to_owned(),
        hosts => hosts.to_owned(),
    };
    let schema = account.get("settings_schema").unwrap_or(&Value::Null);
    let text = |pointer| output::text(&account, pointer);
    output::line(output::harmless(&format!(
        "title     {}\nversion   {}\nsummary   {}\nsize      {} bytes\ndigest    {}\nsignature {signature}\nhosts     {hosts}\nimports   {}\nexports   {}\nsettings  {}",
        text("/title"),
        text("/version"),
        text("/summary"),
        text("/size"),
        text("/digest"),
        names("/imports"),
        names("/exports"),
        serde_json::to_string_pretty(schema)?,
    )))?;
    Ok(ExitCode::SUCCESS)
}
