//! Herald's event as JSON: a body, and what templates call `event`.

use herald_channel::{Event, Refusal, date};
use serde::Serialize;
use serde_json::value::RawValue;

/// `Data` is what the application's own data is kept as.
#[derive(Serialize)]
pub struct Normalised<'a, Data> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    title: &'a str,
    body: &'a str,
    url: Option<&'a str>,
    project: Option<&'a str>,
    subject: Option<&'a str>,
    occurred_at: String,
    data: Data,
}

impl<'a, Data: Serialize> Normalised<'a, Data> {
    pub fn new(event: &'a Event, data: Data) -> Self {
        Self {
            id: &event.id,
            kind: &event.type_,
            title: &event.title,
            body: &event.body,
            url: event.url.as_deref(),
            project: event.project.as_deref(),
            subject: event.subject.as_deref(),
            occurred_at: date::rfc3339(event.occurred_at),
            data,
        }
    }
}

impl Normalised<'_, ()> {
    /// The event as a JSON text, its data exactly as the application wrote it.
    pub fn json(event: &Event) -> Result<String, Refusal> {
        let unreadable = |error| Refusal::Event(format!("its data is not JSON: {error}"));
        let data: &RawValue = serde_json::from_str(&event.data).map_err(unreadable)?;
        serde_json::to_string(&Normalised::new(event, data)).map_err(unreadable)
    }
}
