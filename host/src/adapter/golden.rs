//! Golden examples of an adapter: an event and settings, the request that must come of them, and what a response means.
//!
//! A folder per case: `event.json`, `settings.json`, `request.json`, and where they matter `context.json`,
//! `response.json` with `verdict.json`. They stand in a folder `NAME.cases` beside `NAME.wasm`, where they are run before
//! a file is published, and in the built-in adapters' sources, where the tests run them.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::component::{Adapter, LoadError};
use crate::{
    files,
    model::{Body, Context, Event, EventType, Request, Response, Verdict},
};

/// Far more than any example needs.
const MAX_FILE: usize = 8 << 20;

/// One example.
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// What happened.
    pub event: Event,
    /// Time, attempt, settings.
    pub context: Context,
    expected: Value,
    reply: Option<(Response, Value)>,
}

#[derive(Deserialize)]
struct EventFile {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    body: String,
    url: Option<String>,
    project: Option<String>,
    subject: Option<String>,
    occurred_at: u64,
    data: Box<RawValue>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct ContextFile {
    delivery_id: Option<String>,
    channel: Option<String>,
    attempt: Option<u32>,
    now: Option<u64>,
    reference: Option<String>,
}

/// All cases of a folder, in the order of their names.
pub fn read(folder: &Path) -> Result<Vec<Case>, String> {
    let mut folders: Vec<PathBuf> = fs::read_dir(folder)
        .map_err(|error| format!("{}: {error}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders.iter().map(|folder| Case::read(folder)).collect()
}

/// The examples beside a file, if there are any.
pub(super) fn check_beside(adapter: &Adapter, file: &Path) -> Result<(), LoadError> {
    let folder = file.with_extension("cases");
    if !folder.is_dir() {
        return Ok(());
    }
    let cases = read(&folder).map_err(|message| LoadError::new("examples", message))?;
    for case in cases {
        case.run(adapter)
            .map_err(|message| LoadError::new("examples", format!("example `{}`: {message}", case.name)))?;
    }
    Ok(())
}

impl Case {
    fn read(folder: &Path) -> Result<Self, String> {
        let event: EventFile = file(folder, "event.json")?;
        let context: ContextFile = optional(folder, "context.json")?.unwrap_or_default();
        let settings: Value = file(folder, "settings.json")?;
        let reply = match optional(folder, "response.json")? {
            Some(response) => Some((response, file(folder, "verdict.json")?)),
            None => None,
        };
        Ok(Self {
            name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            context: Context {
                delivery_id: context.delivery_id.unwrap_or_else(|| "dlv_test".to_owned()),
                channel: context.channel.unwrap_or_else(|| "test".to_owned()),
                settings: settings.to_string(),
                attempt: context.attempt.unwrap_or(1),
                now: context.now.unwrap_or(event.occurred_at),
                reference: context.reference,
            },
            event: Event {
                id: event.id,
                source: String::new(),
                kind: EventType::new(event.kind).map_err(|error| format!("event.json: type {error}"))?,
                title: event.title,
                body: event.body,
                url: event.url,
                project: event.project,
                subject: event.subject,
                occurred_at: event.occurred_at,
                received_at: event.occurred_at,
                data: event.data,
                payload: Bytes::new(),
            },
            expected: file(folder, "request.json")?,
            reply,
        })
    }

    /// Runs it; the error lists what differs.
    pub fn run(&self, adapter: &Adapter) -> Result<(), String> {
        let rendered = adapter.render(&self.context, &self.event).map_err(|error| error.to_string())?;
        let actual = match rendered {
            Ok(request) => request_json(&request),
            Err(refusal) => json!({ "refusal": refusal }),
        };
        compare("request", &self.expected, &actual)?;
        let Some((response, expected)) = &self.reply else {
            return Ok(());
        };
        let verdict =
            adapter.interpret(&self.context, &self.event, &[], response).map_err(|error| error.to_string())?;
        compare("verdict", expected, &verdict_json(&verdict))
    }
}

fn file<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<T, String> {
    optional(folder, name)?.ok_or_else(|| format!("{}: there is no {name}", folder.display()))
}

fn optional<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<Option<T>, String> {
    let path = folder.join(name);
    let bytes = match files::read(&path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}

/// A request as `request.json` writes it: a JSON body as JSON, so that a difference can be read.
fn request_json(request: &Request) -> Value {
    let body = match &request.body {
        Body::Empty => json!("empty"),
        Body::Payload => json!("payload"),
        Body::Text(text) => match serde_json::from_str::<Value>(text) {
            Ok(value) => json!({ "json": value }),
            Err(_) => json!({ "text": text }),
        },
        Body::Bytes(bytes) => json!({ "bytes": bytes }),
    };
    json!({
        "method": request.method, "url": request.url, "headers": request.headers, "body": body, "auth": request.auth,
    })
}

fn verdict_json(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Delivered { reference } => json!({ "delivered": { "reference": reference } }),
        Verdict::Retry { reason, after_ms } => {
            json!({ "retry": { "reason": reason, "after_ms": after_ms } })
        }
        Verdict::Rejected(reason) => json!({ "rejected": reason }),
        Verdict::Disable(reason) => json!({ "disable": reason }),
        Verdict::Next(hop) => {
            json!({ "next": { "request": request_json(&hop.request), "state": hop.state } })
        }
    }
}

fn compare(what: &str, expected: &Value, actual: &Value) -> Result<(), String> {
    let mut differences = String::new();
    differ(what, expected, actual, &mut differences);
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// Writes a line for each place in which the two differ.
fn differ(place: &str, expected: &Value, actual: &Value, out: &mut String) {
    match (expected, actual) {
        (Value::Object(e), Value::Object(a)) => {
            for (name, expected) in e {
                let actual = a.get(name).unwrap_or(&Value::Null);
                differ(&format!("{place}/{name}"), expected, actual, out);
            }
            for (name, actual) in a.iter().filter(|(name, _)| !e.contains_key(*name)) {
                differ(&format!("{place}/{name}"), &Value::Null, actual, out);
            }
        }
        (Value::Array(e), Value::Array(a)) if e.len() == a.len() => {
            for (index, (expected, actual)) in e.iter().zip(a).enumerate() {
                differ(&format!("{place}/{index}"), expected, actual, out);
            }
        }
        _ if expected != actual => {
            // Writing to a string does not fail.
            let _ = writeln!(out, "{place}:\n  expected {expected}\n  got      {actual}");
        }
        _ => {}
    }
}
