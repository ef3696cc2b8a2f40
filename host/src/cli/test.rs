//! `herald test`: golden cases.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    Wrong,
    args::{Common, Test},
    output, rehearsal,
    workbench::{CASES, Workbench},
};
use crate::adapter::{
    Adapter,
    golden::{self, Case, Difference},
};

pub(super) fn run(common: &Common, args: &Test) -> anyhow::Result<ExitCode> {
    let piece = Workbench::open(common)?.find(&args.adapter)?;
    let Some(folder) = args.cases.clone().or(piece.cases) else {
        return Err(Wrong(format!(
            "{}: there are no cases. They are folders in a project's {CASES}/, in NAME.cases beside NAME.wasm, or where \
             --cases says: each with event.json and settings.json; --bless writes the rest",
            args.adapter.display()
        ))
        .into());
    };
    let report = if args.bless { bless(&piece.adapter, &folder)? } else { compare(&piece.adapter, &folder)? };
    if common.json {
        output::json(&report.account())?;
    } else {
        report.print()?;
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What came of a folder of cases.
pub(super) struct Report(Vec<Tried>);

/// What came of one case.
struct Tried {
    name: String,
    differences: Vec<Difference>,
    /// The adapter failed, or a file could not be written.
    error: Option<String>,
    /// Files that say something else than before.
    written: Vec<PathBuf>,
}

/// Runs all cases of a folder.
pub(super) fn compare(adapter: &Adapter, folder: &Path) -> anyhow::Result<Report> {
    each(adapter, folder, |case, outcome, tried| tried.differences = case.differences(outcome))
}

/// Makes what the adapter says now what is expected.
fn bless(adapter: &Adapter, folder: &Path) -> anyhow::Result<Report> {
    each(adapter, folder, |case, outcome, tried| match case.bless(outcome) {
        Ok(written) => tried.written = written,
        Err(error) => tried.error = Some(format!("its files can't be written: {error}")),
    })
}

fn each(
    adapter: &Adapter,
    folder: &Path,
    judge: impl Fn(&Case, &golden::Outcome, &mut Tried),
) -> anyhow::Result<Report> {
    let cases = golden::read(folder).map_err(Wrong)?;
    if cases.is_empty() {
        return Err(Wrong(format!("{}: no cases: a case is a folder in there", folder.display())).into());
    }
    let tried = cases.iter().map(|case| {
        let mut tried = Tried { name: case.name.clone(), differences: Vec::new(), error: None, written: Vec::new() };
        match case.outcome(adapter) {
            Ok(outcome) => judge(case, &outcome, &mut tried),
            Err(error) => tried.error = Some(rehearsal::explain(&error, adapter)),
        }
        tried
    });
    Ok(Report(tried.collect()))
}

impl Tried {
    fn passed(&self) -> bool {
        self.differences.is_empty() && self.error.is_none()
    }
}

impl Report {
    pub fn passed(&self) -> bool {
        self.0.iter().all(Tried::passed)
    }

    /// For programs.
    pub fn account(&self) -> Value {
        let case = |tried: &Tried| {
            json!({
                "name": tried.name, "passed": tried.passed(), "differences": tried.differences, "error": tried.error,
                "written": tried.written,
            })
        };
        let (passed, failed) = self.counts();
        json!({ "passed": passed, "failed": failed, "cases": self.0.iter().map(case).collect::<Vec<_>>() })
    }

    fn counts(&self) -> (usize, usize) {
        let passed = self.0.iter().filter(|tried| tried.passed()).count();
        (passed, self.0.len() - passed)
    }

    /// For people: every case that failed with all that is wrong, and how many there were.
    pub fn print(&self) -> anyhow::Result<()> {
        for tried in &self.0 {
            output::line(format!(
                "{}  {}",
                if tried.passed() { "ok  " } else { "FAIL" },
                output::harmless(&tried.name)
            ))?;
            for difference in &tried.differences {
                output::line(indented(&shown(difference)))?;
            }
            if let Some(error) = &tried.error {
                output::line(indented(error))?;
            }
            for file in &tried.written {
                output::line(indented(&format!("wrote {}: read it before you commit it", file.display())))?;
            }
        }
        let (passed, failed) = self.counts();
        output::line(format!("{passed} passed, {failed} failed")).context("the report can't be written")
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| format!("      {line}")).collect();
    output::harmless(lines.join("\n").trim_end())
}

/// Values of one line side by side, longer ones as a difference of lines.
fn shown(difference: &Difference) -> String {
    let Difference { place, expected, got } = difference;
    let (before, after) = (lines(expected), lines(got));
    if before.lines().count().max(after.lines().count()) < 2 {
        return format!("{place}\n  expected {expected}\n  got      {got}");
    }
    let diff = TextDiff::from_lines(&before, &after);
    format!("{place}\n{}", diff.unified_diff().context_radius(2).header("expected", "got"))
}

/// A text as it is, anything else as JSON.
fn lines(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        other => format!("{other:#}\n"),
    }
}
