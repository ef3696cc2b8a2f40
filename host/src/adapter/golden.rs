//! Golden examples of an adapter: an event and settings, the request that must come of them, and what a response means.
//!
//! A folder per case: `event.json`, `settings.json`, `request.json`, and where they matter `context.json`,
//! `response.json` with `verdict.json`. Where a case takes several requests, `response.json` is a list: the answers to
//! them in turn, each interpreted with the state that came with its request; then `verdict.json` is a list, too. The
//! cases stand in a folder `NAME.cases` beside `NAME.wasm`, where they are run before a file is published, in the built-in
//! adapters' sources, where the tests run them, and in an author's project.

mod difference;
mod shape;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

pub use self::{difference::Difference, shape::rendered_json};
use self::{difference::differ, shape::verdict_json};
use super::{
    call::CallError,
    component::{Adapter, LoadError},
};
use crate::{
    files,
    model::{Context, Event, EventType, Response, Verdict},
};

/// Far more than any example needs.
const MAX_FILE: usize = 8 << 20;
/// What an adapter has made of a case, as files.
const REQUEST: &str = "request.json";
const VERDICT: &str = "verdict.json";

/// One example.
pub struct Case {
    /// The folder's name.
    pub name: String,
    /// What happened.
    pub event: Event,
    /// Time, attempt, settings.
    pub context: Context,
    /// The settings as they stand in the file.
    pub settings: Value,
    folder: PathBuf,
    replies: Option<Replies>,
    /// What must come out; none where that is not written yet.
    request: Option<Value>,
    verdict: Option<Value>,
}

/// One answer, or the answers to several requests in turn.
#[derive(Deserialize)]
#[serde(untagged)]
enum Replies {
    One(Response),
    InTurn(Vec<Response>),
}

/// What an adapter makes of a case, as the files have it.
pub struct Outcome {
    /// Of `request.json`: the request, or the refusal.
    pub request: Value,
    /// Of `verdict.json`, where there is a response.
    pub verdict: Option<Value>,
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

/// Where the examples of a file stand.
pub fn beside(file: &Path) -> PathBuf {
    file.with_extension("cases")
}

/// The examples beside a file, if there are any.
pub(super) fn check_beside(adapter: &Adapter, file: &Path) -> Result<(), LoadError> {
    let folder = beside(file);
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
            settings,
            replies: optional(folder, "response.json")?,
            request: optional(folder, REQUEST)?,
            verdict: optional(folder, VERDICT)?,
            folder: folder.to_owned(),
        })
    }

    /// What the adapter makes of it.
    pub fn outcome(&self, adapter: &Adapter) -> Result<Outcome, CallError> {
        let request = rendered_json(&adapter.render(&self.context, &self.event)?);
        let verdict = match &self.replies {
            None => None,
            Some(Replies::One(response)) => Some(verdict_json(&self.interpret(adapter, &[], response)?)),
            Some(Replies::InTurn(responses)) => Some(self.converse(adapter, responses)?),
        };
        Ok(Outcome { request, verdict })
    }

    fn interpret(&self, adapter: &Adapter, state: &[u8], response: &Response) -> Result<Verdict, CallError> {
        adapter.interpret(&self.context, &self.event, state, response)
    }

    /// A verdict an answer, up to the first that asks for no further request: more answers are not asked for.
    fn converse(&self, adapter: &Adapter, responses: &[Response]) -> Result<Value, CallError> {
        let (mut verdicts, mut state) = (Vec::new(), Vec::new());
        for response in responses {
            let verdict = self.interpret(adapter, &state, response)?;
            verdicts.push(verdict_json(&verdict));
            match verdict {
                Verdict::Next(hop) => state = hop.state,
                _ => break,
            }
        }
        Ok(Value::Array(verdicts))
    }

    /// Where an outcome is another than the files say. A file that is missing is as good as `null`.
    pub fn differences(&self, outcome: &Outcome) -> Vec<Difference> {
        let nothing = Value::Null;
        let mut found = Vec::new();
        differ("request", self.request.as_ref().unwrap_or(&nothing), &outcome.request, &mut found);
        let (expected, actual) = (self.verdict.as_ref(), outcome.verdict.as_ref());
        differ("verdict", expected.unwrap_or(&nothing), actual.unwrap_or(&nothing), &mut found);
        found
    }

    /// Runs it; the error lists what differs.
    pub fn run(&self, adapter: &Adapter) -> Result<(), String> {
        let outcome = self.outcome(adapter).map_err(|error| error.to_string())?;
        let differences = self.differences(&outcome);
        if differences.is_empty() {
            return Ok(());
        }
        Err(differences.iter().map(ToString::to_string).collect())
    }

    /// Makes the outcome what is expected: writes the files that say something else, and returns them.
    pub fn bless(&self, outcome: &Outcome) -> io::Result<Vec<PathBuf>> {
        let mut written = Vec::new();
        let files =
            [(REQUEST, &self.request, Some(&outcome.request)), (VERDICT, &self.verdict, outcome.verdict.as_ref())];
        for (name, before, now) in files {
            let path = self.folder.join(name);
            match now {
                Some(now) if before.as_ref() != Some(now) => fs::write(&path, format!("{now:#}\n"))?,
                // There is no response any more, and so nothing to say of one.
                None if before.is_some() => fs::remove_file(&path)?,
                _ => continue,
            }
            written.push(path);
        }
        Ok(written)
    }
}

fn file<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<T, String> {
    optional(folder, name)?.ok_or_else(|| format!("{}: there is no {name}", folder.display()))
}

fn optional<T: for<'a> Deserialize<'a>>(folder: &Path, name: &str) -> Result<Option<T>, String> {
    let path = folder.join(name);
    let bytes = match files::read(&path, MAX_FILE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("{}: {error}", path.display()))
}
