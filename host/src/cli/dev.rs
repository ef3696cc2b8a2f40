//! `herald dev`: builds an author's project at every save, and shows what its adapter makes of its first case and of all.
//!
//! A notification only wakes: what counts is that a watched file's size or time is another than before the last build.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};

use super::{
    Wrong,
    args::{Common, Dev},
    output::{self, line},
    rehearsal, test,
    workbench::{CASES, MANIFEST, Manifest, Piece, Workbench},
};
use crate::{
    adapter::{CallError, golden},
    wake::Wake,
};

/// How long files stand still before they are built: an editor saves several at once.
const SETTLE: Duration = Duration::from_millis(50);
/// How often is looked when nothing is notified.
const RESCAN: Duration = Duration::from_secs(2);

/// What is watched: each file's length and time.
type Seen = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

pub(super) fn run(common: &Common, args: &Dev) -> anyhow::Result<ExitCode> {
    let folder = &args.folder;
    Manifest::read(folder)?;
    let bench = Workbench::open(common)?;
    let (mut before, mut surprised) = (look(folder), false);
    loop {
        let good = round(common, &bench, folder)?;
        if args.once {
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        let after = look(folder);
        // What has changed during a build was saved meanwhile, or was written by the build: once more tells.
        if after == before || surprised {
            if surprised && after != before {
                say(common, "what is watched changes with every build: take out of `watch` what the build writes")?;
            }
            surprised = false;
            if !common.json {
                line("\nwaiting for a save (Ctrl-C ends)")?;
            }
            before = wait(folder, &after);
        } else {
            surprised = true;
            before = after;
        }
    }
}

/// Builds, loads, shows. Whether all of it went well; an error only where nothing can be printed.
fn round(common: &Common, bench: &Workbench, folder: &Path) -> anyhow::Result<bool> {
    match work(common, bench, folder) {
        Ok(good) => Ok(good),
        Err(error) if output::is_broken_pipe(&error) => Err(error),
        Err(error) => {
            say(common, &format!("{error:#}"))?;
            Ok(false)
        }
    }
}

/// What goes wrong, where the results of the rounds stand: it is a result.
fn say(common: &Common, error: &str) -> anyhow::Result<()> {
    let error = output::harmless(error);
    if common.json { output::json(&json!({ "error": error })) } else { line(format!("error: {error}")) }
}

fn work(common: &Common, bench: &Workbench, folder: &Path) -> anyhow::Result<bool> {
    let manifest = Manifest::read(folder)?;
    if let Some(build) = &manifest.build {
        if !common.json {
            line(format!("\n$ {build}"))?;
        }
        let status = shell(build).current_dir(folder).status();
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(Wrong(format!("the build failed ({status}): {build}")).into()),
            Err(error) => return Err(Wrong(format!("the build can't be started: {error}: {build}")).into()),
        }
    }
    let piece = bench.project(folder, &manifest)?;
    let cases = folder.join(CASES);
    if !cases.is_dir() {
        return Err(Wrong(format!(
            "{}: no cases: each is a folder with event.json and settings.json",
            cases.display()
        ))
        .into());
    }
    let first = golden::read(&cases).map_err(Wrong)?.into_iter().next();
    let request = first.map(|case| show(common, bench, &piece, case)).transpose()?.flatten();
    let report = test::compare(&piece.adapter, &cases)?;
    if common.json {
        output::json(&json!({ "request": request, "test": report.account() }))?;
    } else {
        line("")?;
        report.print()?;
    }
    Ok(report.passed())
}

/// The request of a case; none where the adapter failed, which the test tells.
fn show(common: &Common, bench: &Workbench, piece: &Piece, case: golden::Case) -> anyhow::Result<Option<Value>> {
    let rehearsed = rehearsal::rehearse(&bench.config, &piece.adapter, &case.settings, case.context, &case.event);
    match rehearsed {
        Ok(rehearsed) => {
            if !common.json {
                line(format!("\n# {}", output::harmless(&case.name)))?;
                rehearsed.print(&case.event)?;
            }
            rehearsed.note();
            Ok(Some(rehearsed.request))
        }
        Err(error) if error.is::<CallError>() => Ok(None),
        Err(error) => Err(error.context(format!("the case {}", case.name))),
    }
}

/// Its output goes to standard error: standard output is for what comes of it.
fn shell(command: &str) -> Command {
    let (shell, flag) = if cfg!(windows) { ("cmd", "/C") } else { ("sh", "-c") };
    let mut shell = Command::new(shell);
    shell.arg(flag).arg(command).stdin(Stdio::null()).stdout(io::stderr());
    shell
}

/// The files and folders that are watched: what the manifest names, itself and the cases. A manifest that can't be read
/// is watched until it can.
fn watched(folder: &Path) -> Vec<PathBuf> {
    let own = [PathBuf::from(MANIFEST), PathBuf::from(CASES)];
    let named = Manifest::read(folder).map(|manifest| manifest.watch).unwrap_or_default();
    own.into_iter().chain(named).map(|path| folder.join(path)).collect()
}

fn look(folder: &Path) -> Seen {
    let mut seen = Seen::new();
    for path in &watched(folder) {
        look_at(path, &mut seen);
    }
    seen
}

/// What went away meanwhile is not there.
fn look_at(path: &Path, seen: &mut Seen) {
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| look_at(&entry.path(), seen));
    } else {
        seen.insert(path.to_owned(), (metadata.len(), metadata.modified().ok()));
    }
}

/// Returns what is there when it is something else than before, and stands still.
fn wait(folder: &Path, before: &Seen) -> Seen {
    let mut wake = Wake::below(watched(folder));
    loop {
        let now = look(folder);
        if now != *before {
            thread::sleep(SETTLE);
            if look(folder) == now {
                return now;
            }
            continue;
        }
        wake.wait(RESCAN);
    }
}
