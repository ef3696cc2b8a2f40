//! `herald check`.

use std::process::ExitCode;

use serde_json::json;

use super::{args::Common, output};
use crate::app;

pub(super) fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let origin = common.origin(Vec::new())?;
    let file = origin.file.clone();
    let (problems, warnings) = app::check(&origin.sources())?;
    let good = problems.is_empty();
    if common.json {
        output::json(&json!({ "ok": good, "file": file, "problems": problems, "warnings": warnings }))?;
    } else {
        for warning in &warnings {
            output::line(format!("warning: {warning}"))?;
        }
        if good {
            let of = file.map_or("the defaults".to_owned(), |file| file.display().to_string());
            output::line(format!("{of}: good"))?;
        } else {
            output::line(problems.to_string())?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
