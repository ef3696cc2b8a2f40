//! An accepted event: immutable from here on.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Millis;

/// What happened, as the application told it, normalised.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Unique within `source`; the same event sent again has the same id.
    pub id: String,
    /// The CloudEvents `source`; empty for Herald's own shape.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// For example `execution_completed`.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// One line for people.
    pub title: String,
    /// Markdown.
    pub body: String,
    /// Absolute link to the thing that the event is about.
    pub url: Option<String>,
    /// Which project it belongs to; routes may ask for it.
    pub project: Option<String>,
    /// The thing that the event is about: events with one subject belong together.
    pub subject: Option<String>,
    /// When it happened.
    pub occurred_at: Millis,
    /// When Herald accepted it.
    pub received_at: Millis,
    /// A JSON object.
    pub data: Box<RawValue>,
    /// What the application sent, byte for byte.
    #[serde(skip)]
    pub payload: Bytes,
}

impl Event {
    /// About how many bytes of memory it takes up.
    pub fn size(&self) -> usize {
        self.payload.len() + self.data.get().len() + self.body.len()
    }
}

/// A type such as `execution_completed`: 1 to 255 characters without white space or control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct EventType(String);

/// Why a text is no event type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidType {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than 255 bytes.
    #[error("is longer than 255 bytes")]
    Long,
    /// White space or a control character.
    #[error("has white space or a control character in it")]
    Character,
}

impl EventType {
    /// Checks the text.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidType> {
        let text = text.into();
        // As most are: there the bytes say what takes longer to find out of characters.
        let is_graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() {
            Err(InvalidType::Empty)
        } else if text.len() > 255 {
            Err(InvalidType::Long)
        } else if !is_graphic && text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            Err(InvalidType::Character)
        } else {
            Ok(Self(text))
        }
    }

    /// The type of the event that `channels test` sends.
    pub fn test() -> Self {
        Self("test".to_owned())
    }

    /// A channel's breaker has tripped.
    pub fn channel_failing() -> Self {
        Self("herald.channel_failing".to_owned())
    }

    /// A channel delivers nothing until somebody enables it.
    pub fn channel_disabled() -> Self {
        Self("herald.channel_disabled".to_owned())
    }

    /// A channel that was failing or disabled delivers again.
    pub fn channel_recovered() -> Self {
        Self("herald.channel_recovered".to_owned())
    }

    /// A delivery has failed.
    pub fn delivery_failed() -> Self {
        Self("herald.delivery_failed".to_owned())
    }

    /// The type as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Types that begin with `herald.` are Herald's own.
    pub fn is_reserved(&self) -> bool {
        self.0.starts_with("herald.")
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
