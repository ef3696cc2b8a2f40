//! The on-call board: a whole channel adapter, and the first to read.
//!
//! The board takes `POST /… {"text": "…"}` with a key in a header. With the feature `level` this is version 1.1.0,
//! which colours the text as well: `herald demo` puts it in the first one's place to show a live reload.

use herald_channel::{Channel, Context, Description, Event, Refusal, Request};
use serde::{Deserialize, Serialize};

/// The adapter.
pub struct Board;

/// A channel's settings, as the schema in `describe` has them.
#[derive(Deserialize)]
struct Settings {
    url: String,
    /// A secret: the adapter sees a handle, the board gets the key.
    key: String,
}

/// What the board takes.
#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
}

impl Channel for Board {
    fn describe() -> Description {
        Description {
            title: "On-call board".into(),
            version: if cfg!(feature = "level") { "1.1.0" } else { "1.0.0" }.into(),
            summary: "Puts an event's title on the board in the on-call room.".into(),
            settings_schema: include_str!("settings.schema.json").into(),
            hosts: vec![],
        }
    }

    fn render(context: &Context, event: &Event) -> Result<Request, Refusal> {
        let settings: Settings = context.settings()?;
        let level = if event.type_.ends_with("_failed") { "red" } else { "green" };
        let message = Message { text: &event.title, level: cfg!(feature = "level").then_some(level) };
        Ok(Request::json("POST", settings.url, &message)?.header("x-board-key", settings.key))
    }
}

herald_channel::channel!(Board);
