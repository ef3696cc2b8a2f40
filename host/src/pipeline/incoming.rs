//! From what an application posts to events: Herald's own JSON shape, one, several, or a line each.
//!
//! Pure: the time and the source of ids come in. Nothing is accepted when any part is wrong.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

pub(super) use self::link::link;
pub use super::bad_input::{BadInput, BadKind};
use super::{cloudevents, subject};
use crate::model::{Event, EventType, Millis};

mod link;

/// A post as it came.
#[derive(Debug, Clone, Default)]
pub struct Post<'a> {
    /// Without parameters, lower case; empty when there was none.
    pub content_type: &'a str,
    /// The `ce-` headers: names without the prefix, lower case; values as they came.
    pub ce_headers: Vec<(&'a str, &'a str)>,
    /// The `Idempotency-Key` header; of a post that is signed, what it is known by.
    pub idempotency_key: Option<&'a str>,
    /// The source that it was posted to, by name; empty: none.
    pub source: &'a str,
    /// The bytes are signed, and nothing of the headers is: what they say must not make another event of the bytes.
    pub signed: bool,
    /// The bytes.
    pub body: Bytes,
}

/// What reading a post depends on besides the post.
pub struct Surroundings<'a> {
    /// The host's clock.
    pub now: Millis,
    /// Relative URLs are resolved against it.
    pub app_url: Option<&'a Url>,
    /// Gives a new event id.
    pub new_id: &'a dyn Fn() -> String,
}

/// The `source` of an event whose id is an `Idempotency-Key`.
const KEY_SOURCE: &str = "idempotency-key";

/// The events of a post, and whether it was a list.
#[derive(Debug)]
pub struct Read {
    /// In the order in which they came.
    pub events: Vec<Event>,
    /// One event is answered as one, a list as a list.
    pub is_list: bool,
}

/// Reads a post in any of the shapes.
pub fn read(post: &Post<'_>, around: &Surroundings<'_>) -> Result<Read, BadInput> {
    let mut read = read_as_posted(post, around)?;
    if !post.source.is_empty() {
        // Ids of one source are not those of another: none can make another's events look like doubles.
        for event in &mut read.events {
            event.source = format!("{}:{}", post.source, event.source);
        }
    }
    Ok(read)
}

fn read_as_posted(post: &Post<'_>, around: &Surroundings<'_>) -> Result<Read, BadInput> {
    let text = text(post)?;
    if let Some(read) = cloudevents::read(post, around)? {
        return Ok(read);
    }
    match post.content_type {
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            read_lines(post, text, around)
        }
        // `curl -d` says that it sends a form; what it sends is looked at, not what it says.
        "" | "application/json" | "text/json" | "text/plain" | "application/x-www-form-urlencoded" => {
            read_json(post, text, around)
        }
        other => Err(BadInput {
            kind: BadKind::Unsupported,
            code: "unsupported_content_type",
            message: format!("the content type `{other}` is not understood"),
            hint: "send application/json, application/x-ndjson, or CloudEvents 1.0 (application/cloudevents+json, application/cloudevents-batch+json, or ce- headers)".to_owned(),
            index: None,
        }),
    }
}

/// JSON is UTF-8, the members that are passed over included: receivers of the payload read them. The data of a CloudEvent
/// with `ce-` headers need not be: then there is no text, and nobody reads it.
fn text<'p>(post: &'p Post<'_>) -> Result<&'p str, BadInput> {
    // Says sooner than `std` that all is well, but not what is wrong.
    if let Ok(text) = simdutf8::basic::from_utf8(&post.body) {
        return Ok(text);
    }
    let is_data_of_a_cloud_event = post.ce_headers.iter().any(|(name, _)| *name == "specversion");
    match std::str::from_utf8(&post.body) {
        Err(error) if !is_data_of_a_cloud_event => Err(BadInput::malformed(
            format!("not UTF-8: {error}"),
            "JSON is UTF-8, without a byte order mark (RFC 8259, 8.1)",
        )),
        text => Ok(text.unwrap_or_default()),
    }
}

fn read_json(post: &Post<'_>, text: &str, around: &Surroundings<'_>) -> Result<Read, BadInput> {
    let is_list = text.trim_ascii_start().starts_with('[');
    let events = if is_list {
        read_list(&post.body, |index, item| native(item, post, Some(index), around))?
    } else {
        vec![native(text, post, None, around)?]
    };
    Ok(Read { events, is_list })
}

fn read_lines(post: &Post<'_>, text: &str, around: &Surroundings<'_>) -> Result<Read, BadInput> {
    let events = text
        .split('\n')
        .map(str::trim_ascii)
        .filter(|line| !line.is_empty())
        .enumerate()
        .map(|(index, line)| native(line, post, Some(index), around).map_err(|error| error.at(index)))
        .collect::<Result<Vec<_>, _>>()?;
    not_empty(&events)?;
    Ok(Read { events, is_list: true })
}

/// Reads a JSON array, each item from its own text.
pub(super) fn read_list(
    body: &Bytes,
    mut read: impl FnMut(usize, &str) -> Result<Event, BadInput>,
) -> Result<Vec<Event>, BadInput> {
    let items: Vec<&RawValue> = parse(body)?;
    let events = items
        .iter()
        .enumerate()
        .map(|(index, item)| read(index, item.get()).map_err(|error| error.at(index)))
        .collect::<Result<Vec<_>, _>>()?;
    not_empty(&events)?;
    Ok(events)
}

fn not_empty(events: &[Event]) -> Result<(), BadInput> {
    if events.is_empty() {
        return Err(BadInput::invalid("there is no event in it", "send at least one event"));
    }
    Ok(())
}

/// What stands for an event's id when it has none of its own.
fn key(post: &Post<'_>, index: Option<usize>) -> Option<String> {
    let key = post.idempotency_key?;
    Some(match index {
        None => key.to_owned(),
        // One line is the same event as the line alone: only the content type, which is not signed, tells them apart.
        Some(0) if post.signed => key.to_owned(),
        Some(index) => format!("{key}/{index}"),
    })
}

#[derive(Deserialize)]
#[serde(expecting = "an event, which is an object")]
struct Native<'a> {
    id: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    title: Option<String>,
    body: Option<String>,
    url: Option<String>,
    project: Option<String>,
    subject: Option<String>,
    #[serde(borrow)]
    time: Option<Text<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    specversion: Option<serde::de::IgnoredAny>,
}

/// Borrowed where it has no escapes; `Cow` by itself would be a copy.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Reads one event from its text, a part of the post's body.
fn native(text: &str, post: &Post<'_>, index: Option<usize>, around: &Surroundings<'_>) -> Result<Event, BadInput> {
    let native: Native<'_> = serde_json::from_str(text).or_else(|_| parse_with_path(text.as_bytes()))?;
    if post.signed && native.specversion.is_some() {
        return Err(BadInput::invalid(
            "this is a CloudEvent, and its content type, which is not signed, says otherwise",
            "send it as application/cloudevents+json",
        ));
    }
    let kind = event_type(native.kind)?;
    // Ids and keys do not meet: a key is one of its own kind of source.
    let (id, source) = match (native.id, key(post, index)) {
        (Some(id), _) => (checked_id(id)?, ""),
        (None, Some(key)) => (checked_id(key)?, KEY_SOURCE),
        (None, None) => ((around.new_id)(), ""),
    };
    let data = object(native.data)?;
    Ok(Event {
        id,
        source: source.to_owned(),
        title: native.title.unwrap_or_else(|| title_of(&kind)),
        body: native.body.unwrap_or_default(),
        url: link(native.url, around)?,
        project: native.project,
        subject: native.subject.or_else(|| subject::of(&data)),
        occurred_at: time(native.time.as_ref().map(|time| &*time.0), around.now)?,
        received_at: around.now,
        kind,
        data,
        payload: post.body.slice_ref(text.as_bytes()),
    })
}

/// Reads JSON, telling bad syntax from bad content, and naming the member that is wrong.
pub(super) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadInput> {
    // Following the path of a member costs more than reading it: that is done only where something is wrong.
    serde_json::from_slice(bytes).or_else(|_| parse_with_path(bytes))
}

fn parse_with_path<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, BadInput> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let wrong = |place: String, error: &serde_json::Error| {
        let syntax = matches!(error.classify(), serde_json::error::Category::Syntax | serde_json::error::Category::Eof);
        if syntax {
            return BadInput::malformed(
                format!("not valid JSON: {error}"),
                "check the body with a JSON tool; text is UTF-8",
            );
        }
        let place = if place == "." { String::new() } else { format!("`{place}`: ") };
        BadInput::invalid(
            format!("{place}{error}"),
            "an event is an object such as {\"type\": \"execution_completed\", \"title\": \"…\", \"body\": \"…\", \"data\": {}}; `type` is required",
        )
    };
    let value = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| wrong(error.path().to_string(), error.inner()))?;
    deserializer.end().map_err(|error| wrong(".".to_owned(), &error))?;
    Ok(value)
}

pub(super) fn event_type(kind: String) -> Result<EventType, BadInput> {
    let kind = EventType::new(kind)
        .map_err(|error| BadInput::invalid(format!("`type` {error}"), "use a name such as execution_completed"))?;
    if kind.is_reserved() {
        return Err(BadInput::invalid(
            format!("the type `{kind}` is Herald's own"),
            "types that begin with `herald.` tell of Herald itself; choose another",
        ));
    }
    Ok(kind)
}

pub(super) fn checked_id(id: String) -> Result<String, BadInput> {
    if id.is_empty() || id.len() > 255 || id.chars().any(char::is_control) {
        return Err(BadInput::invalid(
            "the id is empty, longer than 255 bytes, or has control characters in it",
            "use an id that is unique to this event, a UUID for example",
        ));
    }
    Ok(id)
}

pub(super) fn time(time: Option<&str>, now: Millis) -> Result<Millis, BadInput> {
    let Some(time) = time else { return Ok(now) };
    time.parse::<jiff::Timestamp>().ok().and_then(|time| Millis::try_from(time.as_millisecond()).ok()).ok_or_else(
        || {
            BadInput::invalid(
                format!("`time` is not a time since 1970 by RFC 3339: {time:?}"),
                "write it as 2021-04-21T12:58:18.119Z",
            )
        },
    )
}

/// An event's data is an object; nothing is an empty one.
pub(super) fn object(data: Option<&RawValue>) -> Result<Box<RawValue>, BadInput> {
    match data.map(RawValue::get) {
        None | Some("null") => Ok(empty_object()),
        Some(text) if text.starts_with('{') => Ok(data.map_or_else(empty_object, ToOwned::to_owned)),
        Some(_) => {
            Err(BadInput::invalid("`data` is not an object", "put the value under a name: {\"data\": {\"value\": …}}"))
        }
    }
}

fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

/// `execution_completed` → `Execution completed`.
pub(super) fn title_of(kind: &EventType) -> String {
    let words = kind.as_str().replace(['_', '-'], " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

#[cfg(test)]
mod tests;
