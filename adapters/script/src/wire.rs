//! What goes between Rust and the script, as JSON: in JavaScript's names one way, checked the other way.

use herald_adapter_engine::{Scheme, schema};
use herald_channel::{Body, Context, Description, Event, Header, Hop, Receipt, Refusal, Request, Response, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// The arguments of `render` and `interpret`.
#[derive(Serialize)]
pub struct Arguments<'a> {
    context: ScriptContext<'a>,
    event: ScriptEvent<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response: Option<ScriptResponse<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScriptContext<'a> {
    delivery_id: &'a str,
    channel: &'a str,
    settings: &'a RawValue,
    attempt: u32,
    now: u64,
    reference: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScriptEvent<'a> {
    id: &'a str,
    r#type: &'a str,
    title: &'a str,
    body: &'a str,
    url: Option<&'a str>,
    project: Option<&'a str>,
    subject: Option<&'a str>,
    occurred_at: u64,
    data: &'a RawValue,
}

#[derive(Serialize)]
struct ScriptResponse<'a> {
    status: u16,
    /// By name; of a name that stands there twice, all values.
    headers: serde_json::Map<String, Value>,
    body: &'a str,
}

impl<'a> Arguments<'a> {
    pub fn of_render(context: &'a Context, event: &'a Event) -> Result<Self, String> {
        let unreadable = |what: &str, error| format!("{what} that the host gave is not JSON: {error}");
        Ok(Self {
            context: ScriptContext {
                delivery_id: &context.delivery_id,
                channel: &context.channel,
                settings: serde_json::from_str(&context.settings)
                    .map_err(|error| unreadable("what settings", error))?,
                attempt: context.attempt,
                now: context.now,
                reference: context.reference.as_deref(),
            },
            event: ScriptEvent {
                id: &event.id,
                r#type: &event.type_,
                title: &event.title,
                body: &event.body,
                url: event.url.as_deref(),
                project: event.project.as_deref(),
                subject: event.subject.as_deref(),
                occurred_at: event.occurred_at,
                data: serde_json::from_str(&event.data).map_err(|error| unreadable("what data", error))?,
            },
            response: None,
            state: None,
        })
    }

    pub fn of_interpret(
        context: &'a Context,
        event: &'a Event,
        state: &[u8],
        response: &'a Response,
    ) -> Result<Self, String> {
        let mut headers = serde_json::Map::new();
        for (name, value) in &response.headers {
            match headers.get_mut(name) {
                Some(Value::String(values)) => values.extend([", ", value]),
                _ => drop(headers.insert(name.clone(), Value::from(value.as_str()))),
            }
        }
        let response = ScriptResponse { status: response.status, headers, body: &response.body };
        // Nothing stands for the first answer; what a script left is JSON.
        let state = serde_json::from_slice(state).ok();
        Ok(Self { response: Some(response), state, ..Self::of_render(context, event)? })
    }

    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

/// What `describe` says.
#[derive(Deserialize)]
pub struct Described {
    title: String,
    version: String,
    summary: String,
    settings: Value,
    hosts: Vec<String>,
}

impl Described {
    pub fn description(self) -> Result<Description, String> {
        let Self { title, version, summary, settings, hosts } = self;
        let settings_schema = schema(Some(&settings)).map_err(|problem| format!("describe.{problem}"))?.to_string();
        Ok(Description { title, version, summary, settings_schema, hosts })
    }
}

/// What `render` returned.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Rendered {
    Refused { refuse: String, setting: Option<String> },
    Request(ScriptRequest),
}

#[derive(Deserialize)]
pub struct ScriptRequest {
    method: String,
    url: String,
    headers: Vec<Header>,
    body: Option<ScriptBody>,
    auth: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ScriptBody {
    Text(String),
    Bytes(Vec<u8>),
    Payload(()),
}

impl Rendered {
    pub fn result(self) -> Result<Result<Request, Refusal>, String> {
        match self {
            Self::Refused { refuse, setting: None } => Ok(Err(Refusal::Event(refuse))),
            Self::Refused { refuse, setting: Some(pointer) } => Ok(Err(Refusal::setting(pointer, refuse))),
            Self::Request(request) => request.request().map(Ok),
        }
    }
}

impl ScriptRequest {
    fn request(self) -> Result<Request, String> {
        let body = match self.body {
            None => Body::Empty,
            Some(ScriptBody::Text(text)) => Body::Text(text),
            Some(ScriptBody::Bytes(bytes)) => Body::Bytes(bytes),
            Some(ScriptBody::Payload(())) => Body::Payload,
        };
        let scheme: Option<Scheme> =
            self.auth.map(serde_json::from_value).transpose().map_err(|error| format!("auth: {error}"))?;
        Ok(Request { method: self.method, url: self.url, headers: self.headers, body, auth: scheme.map(Into::into) })
    }
}

/// What `interpret` returned, unless it leaves the answer to the host's rule.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    delivered: Option<bool>,
    reference: Option<String>,
    retry: Option<String>,
    after_ms: Option<u64>,
    rejected: Option<String>,
    disable: Option<String>,
    next: Option<ScriptRequest>,
    state: Option<Value>,
}

impl Answer {
    pub fn verdict(self) -> Result<Verdict, String> {
        let Self { delivered, reference, retry, after_ms, rejected, disable, next, state } = self;
        Ok(match (delivered, retry, rejected, disable, next) {
            (Some(true), None, None, None, None) => Verdict::Delivered(Receipt { reference }),
            (None, Some(reason), None, None, None) => Verdict::Retry((reason, after_ms)),
            (None, None, Some(reason), None, None) => Verdict::Rejected(reason),
            (None, None, None, Some(reason), None) => Verdict::Disable(reason),
            (None, None, None, None, Some(next)) => Verdict::Next(Hop {
                request: next.request()?,
                state: state.map(|state| state.to_string().into_bytes()).unwrap_or_default(),
            }),
            _ => {
                return Err("what interpret returned is not one of { delivered: true }, { retry: reason }, \
                            { rejected: reason }, { disable: reason }, { next: request }"
                    .to_owned());
            }
        })
    }
}
