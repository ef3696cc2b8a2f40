//! `herald send`.

use std::{io::Read, path::Path, process::ExitCode};

use anyhow::Context;

use super::{
    args::{Common, Send},
    output,
    remote::Remote,
};

pub(super) fn run(common: &Common, args: &Send) -> anyhow::Result<ExitCode> {
    let body = read(&args.file)?;
    let content_type = args.content_type.as_deref().unwrap_or_else(|| guess(&args.file, &body));
    let answer = Remote::find(common)?.post("/v1/events", content_type, body)?;
    if common.json {
        output::json(&answer)?;
    } else {
        let events = match answer.get("events").and_then(serde_json::Value::as_array) {
            Some(events) => events.as_slice(),
            None => std::slice::from_ref(&answer),
        };
        for event in events {
            let again = event.get("duplicate") == Some(&true.into());
            let again = if again { " (was there already: nothing is delivered again)" } else { "" };
            let (id, deliveries) = (output::text(event, "/id"), output::text(event, "/deliveries"));
            output::line(output::harmless(&format!("accepted {id}, deliveries: {deliveries}{again}")))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    if file == Path::new("-") {
        let mut body = Vec::new();
        std::io::stdin().lock().read_to_end(&mut body)?;
        return Ok(body);
    }
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// By the file's name; text that is several JSON values, a line each, is known by that.
fn guess(file: &Path, body: &[u8]) -> &'static str {
    let lines_by_name = file.extension().is_some_and(|extension| extension == "ndjson" || extension == "jsonl");
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<serde::de::IgnoredAny>();
    let several = values.next().is_some_and(|value| value.is_ok()) && values.next().is_some();
    if lines_by_name || several { "application/x-ndjson" } else { "application/json" }
}
