//! Golden cases: what an adapter makes of an event, and of an answer, as files that a person has read.
//!
//! A case is a folder:
//! - `event.json`: the event, as the contract has it (`occurred_at` in milliseconds, `data` an object);
//! - `settings.json`, and optionally `context.json` with what differs from the usual context;
//! - `request.json`: the expected request, or `{"refusal": …}`;
//! - optionally `response.json` and the `verdict.json` that it leads to; where a case takes several requests, both are
//!   lists: the answers in turn, and what each of them means.
//!
//! With `HERALD_BLESS=1` the expectations are written instead of compared. Read them before you commit them.

mod json;

use std::path::{Path, PathBuf};
use std::{env, fs};

use herald_channel::{Channel, Context, Event, Response, Verdict};
use serde_json::{Value, json};

/// Runs all cases in a folder, and tells all differences at once.
///
/// # Panics
/// When a case doesn't come out as it should, or can't be read.
pub fn check<C: Channel>(cases: impl AsRef<Path>) {
    let cases = cases.as_ref();
    let entries = fs::read_dir(cases).unwrap_or_else(|error| panic!("{}: {error}", cases.display()));
    let mut folders: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    assert!(!folders.is_empty(), "{}: no cases", cases.display());
    let problems: Vec<String> = folders.iter().flat_map(|folder| check_case::<C>(folder)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn check_case<C: Channel>(folder: &Path) -> Vec<String> {
    let event = event(&required(folder, "event.json"));
    let context = context(&event, &required(folder, "settings.json"), optional(folder, "context.json"));
    let rendered = json::request(&herald_channel::render::<C>(&context, &event));
    let mut problems: Vec<String> = compare(folder, "request.json", &rendered).into_iter().collect();
    let verdict = match optional(folder, "response.json") {
        None => return problems,
        Some(Value::Array(responses)) => converse::<C>(&context, &event, &responses),
        Some(response) => json::verdict(&C::interpret(&context, &event, &[], &self::response(&response))),
    };
    problems.extend(compare(folder, "verdict.json", &verdict));
    problems
}

/// A verdict an answer, each with the state of the request before, up to the first that asks for no further request.
fn converse<C: Channel>(context: &Context, event: &Event, responses: &[Value]) -> Value {
    let (mut verdicts, mut state) = (Vec::new(), Vec::new());
    for response in responses {
        let verdict = C::interpret(context, event, &state, &self::response(response));
        verdicts.push(json::verdict(&verdict));
        match verdict {
            Verdict::Next(hop) => state = hop.state,
            _ => break,
        }
    }
    Value::Array(verdicts)
}

fn compare(folder: &Path, file: &str, actual: &Value) -> Option<String> {
    if env::var_os("HERALD_BLESS").is_some() {
        let path = folder.join(file);
        fs::write(&path, format!("{actual:#}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return None;
    }
    let expected = optional(folder, file).unwrap_or_default();
    (expected != *actual).then(|| format!("{}: expected\n{expected:#}\ngot\n{actual:#}", folder.join(file).display()))
}

fn required(folder: &Path, file: &str) -> Value {
    optional(folder, file).unwrap_or_else(|| panic!("{}: missing", folder.join(file).display()))
}

fn optional(folder: &Path, file: &str) -> Option<Value> {
    let path = folder.join(file);
    let text = fs::read_to_string(&path).ok()?;
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

/// Reads `event.json`.
///
/// # Panics
/// When it has no time.
pub fn event(json: &Value) -> Event {
    Event {
        id: text(json, "id").unwrap_or_default(),
        type_: text(json, "type").unwrap_or_default(),
        title: text(json, "title").unwrap_or_default(),
        body: text(json, "body").unwrap_or_default(),
        url: text(json, "url"),
        project: text(json, "project"),
        subject: text(json, "subject"),
        occurred_at: json
            .get("occurred_at")
            .and_then(Value::as_u64)
            .unwrap_or_else(|| panic!("occurred_at: not a number")),
        data: json.get("data").map_or_else(|| "{}".to_owned(), Value::to_string),
    }
}

/// The usual context with what `context.json` overrides.
pub fn context(event: &Event, settings: &Value, overrides: Option<Value>) -> Context {
    let mut context = json!({
        "delivery_id": "dlv_test", "channel": "test", "attempt": 1, "now": event.occurred_at, "reference": null
    });
    if let (Value::Object(context), Some(Value::Object(overrides))) = (&mut context, overrides) {
        context.extend(overrides);
    }
    let number = |name| context.get(name).and_then(Value::as_u64).unwrap_or_default();
    Context {
        delivery_id: text(&context, "delivery_id").unwrap_or_default(),
        channel: text(&context, "channel").unwrap_or_default(),
        settings: settings.to_string(),
        attempt: u32::try_from(number("attempt")).unwrap_or_default(),
        now: number("now"),
        reference: text(&context, "reference"),
    }
}

fn response(json: &Value) -> Response {
    let status = json.get("status").and_then(Value::as_u64).unwrap_or_default();
    let headers = json.get("headers").cloned().map(serde_json::from_value).transpose();
    Response {
        status: u16::try_from(status).unwrap_or_default(),
        headers: headers.unwrap_or_else(|error| panic!("headers: {error}")).unwrap_or_default(),
        body: text(json, "body").unwrap_or_default(),
    }
}

fn text(json: &Value, name: &str) -> Option<String> {
    json.get(name)?.as_str().map(str::to_owned)
}
