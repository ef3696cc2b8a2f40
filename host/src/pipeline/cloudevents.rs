//! CloudEvents 1.0 by its HTTP binding: structured, binary and batched.
//!
//! <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md>

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    incoming::{BadInput, Post, Read, Surroundings, checked_id, event_type, link, parse, read_list, time, title_of},
    subject,
};
use crate::model::Event;

/// The events of a post, or `None` when it is no CloudEvent.
pub(super) fn read(post: &Post<'_>, around: &Surroundings<'_>) -> Result<Option<Read>, BadInput> {
    let binary = post.ce_headers.iter().any(|(name, _)| *name == "specversion");
    let read = match post.content_type {
        "application/cloudevents+json" => Read { events: vec![structured(&post.body, around)?], is_list: false },
        "application/cloudevents-batch+json" => Read {
            events: read_list(&post.body, |_, item| structured(&post.body.slice_ref(item.as_bytes()), around))?,
            is_list: true,
        },
        _ if binary => Read { events: vec![from_headers(post, around)?], is_list: false },
        _ => return Ok(None),
    };
    Ok(Some(read))
}

/// The context attributes that mean something here, extensions included, and the data.
#[derive(Default)]
struct Attributes<'a> {
    named: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    data: Option<Cow<'a, RawValue>>,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Envelope<'a> {
    #[serde(borrow)]
    members: BTreeMap<Cow<'a, str>, &'a RawValue>,
}

fn structured(bytes: &Bytes, around: &Surroundings<'_>) -> Result<Event, BadInput> {
    let envelope: Envelope<'_> = parse(bytes)?;
    let mut attributes = Attributes::default();
    for (name, value) in envelope.members {
        match &*name {
            "data" => attributes.data = Some(Cow::Borrowed(value)),
            "data_base64" => {
                let wrapped = raw(&json!({ "data_base64": parse::<Value>(value.get().as_bytes())? }))?;
                attributes.data = Some(Cow::Owned(wrapped));
            }
            // Extensions may be numbers or booleans; their text is as good.
            _ => {
                let text = match parse::<Value>(value.get().as_bytes())? {
                    Value::String(text) => text,
                    Value::Null => continue,
                    other => other.to_string(),
                };
                attributes.named.insert(name, text.into());
            }
        }
    }
    attributes.into_event(bytes.clone(), around)
}

fn from_headers(post: &Post<'_>, around: &Surroundings<'_>) -> Result<Event, BadInput> {
    let named = post
        .ce_headers
        .iter()
        .map(|(name, value)| ((*name).into(), percent_decode_str(value).decode_utf8_lossy()))
        .collect();
    let is_json =
        post.content_type.is_empty() || post.content_type == "application/json" || post.content_type.ends_with("+json");
    let data: Option<Cow<'_, RawValue>> = if post.body.trim_ascii().is_empty() {
        None
    } else if is_json {
        let value: &RawValue = parse(&post.body)?;
        Some(Cow::Borrowed(value))
    } else {
        // As the structured form has it: text is text, bytes are base 64.
        let wrapped = match std::str::from_utf8(&post.body) {
            Ok(text) => json!({ "data": text }),
            Err(_) => json!({ "data_base64": BASE64.encode(&post.body) }),
        };
        Some(Cow::Owned(raw(&wrapped)?))
    };
    Attributes { named, data }.into_event(post.body.clone(), around)
}

fn raw(value: &Value) -> Result<Box<RawValue>, BadInput> {
    serde_json::value::to_raw_value(value).map_err(|error| BadInput::invalid(error.to_string(), "send JSON data"))
}

/// Data that is no object, under a name. As text: a `Value` of it would refuse what is nested deeper than 128.
fn wrapped(data: &RawValue) -> Result<Box<RawValue>, BadInput> {
    RawValue::from_string(format!("{{\"data\":{}}}", data.get()))
        .map_err(|error| BadInput::invalid(error.to_string(), "send JSON data"))
}

/// What the data may say where no attribute says it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Said {
    title: Option<Value>,
    body: Option<Value>,
    url: Option<Value>,
    project: Option<Value>,
}

impl Attributes<'_> {
    fn required(&self, name: &str) -> Result<String, BadInput> {
        self.named.get(name).filter(|value| !value.is_empty()).map(|value| value.clone().into_owned()).ok_or_else(
            || {
                BadInput::invalid(
                    format!("the CloudEvents attribute `{name}` is missing"),
                    "CloudEvents 1.0 requires id, source, specversion and type",
                )
            },
        )
    }

    /// An attribute, or the text of the same name in the data.
    fn text(&self, name: &str, said: Option<Value>) -> Option<String> {
        match (self.named.get(name), said) {
            (Some(value), _) => Some(value.clone().into_owned()),
            (None, Some(Value::String(text))) => Some(text),
            _ => None,
        }
    }

    fn into_event(self, payload: Bytes, around: &Surroundings<'_>) -> Result<Event, BadInput> {
        let version = self.required("specversion")?;
        if version != "1.0" {
            return Err(BadInput::invalid(
                format!("CloudEvents specversion {version:?} is not understood"),
                "send specversion 1.0",
            ));
        }
        let kind = event_type(self.required("type")?)?;
        let data = match &self.data {
            None => raw(&json!({}))?,
            Some(data) if data.get().starts_with('{') => data.clone().into_owned(),
            Some(data) if data.get() == "null" => raw(&json!({}))?,
            Some(data) => wrapped(data)?,
        };
        let said: Said = serde_json::from_str(data.get()).unwrap_or_default();
        Ok(Event {
            id: checked_id(self.required("id")?)?,
            source: self.required("source")?,
            title: self.text("title", said.title).unwrap_or_else(|| title_of(&kind)),
            body: self.text("body", said.body).unwrap_or_default(),
            url: link(self.text("url", said.url), around)?,
            project: self.text("project", said.project),
            subject: self.text("subject", None).or_else(|| subject::of(&data)),
            occurred_at: time(self.named.get("time").map(AsRef::as_ref), around.now)?,
            received_at: around.now,
            kind,
            data,
            payload,
        })
    }
}
