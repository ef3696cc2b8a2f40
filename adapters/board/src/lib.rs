//! The on-call board: a whole channel adapter, and the first to read.
//!
//! The board takes `POST /… {"text": "…"}` with a key in a header. With the feature `level` this is version 1.1.0,
//! which colours the text as well: `herald demo` puts it in the first one's place to show a live reload.

use herald_channel::{About, Channel, Context, Event, Refusal, Request, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The adapter.
pub struct Board;

/// A channel's settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the board takes messages.
    #[schemars(url, title = "Address")]
    url: String,
    /// The board's access key.
    #[schemars(title = "Key")]
    key: Secret,
}

/// What the board takes.
#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
}

impl Channel for Board {
    type Settings = Settings;

    const ABOUT: About = About {
        title: "On-call board",
        version: if cfg!(feature = "level") { "1.1.0" } else { "1.0.0" },
        summary: "Puts an event's title on the board in the on-call room.",
        hosts: &[],
    };

    fn render(settings: Settings, _context: &Context, event: &Event) -> Result<Request, Refusal> {
        let level = if event.type_.ends_with("_failed") { "red" } else { "green" };
        let message = Message { text: &event.title, level: cfg!(feature = "level").then_some(level) };
        Ok(Request::json("POST", settings.url, &message)?.header("x-board-key", settings.key))
    }
}

herald_channel::channel!(Board);
