//! The channel type `oncall`: puts an event's title on the board in the on-call room.
//!
//! The board takes `POST {"text": "…", "level": "red"}` with a key in a header.

use herald_channel::{About, Channel, Context, Event, Refusal, Request, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The adapter. It has no state: every call gets a fresh sandbox.
pub struct Board;

/// A channel's settings. Their schema, `settings.schema.json`, is written from this by `cargo test`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where the board takes messages.
    #[schemars(url, title = "Address")]
    url: String,
    /// The board's access key.
    // A secret: the adapter sees a random handle in its place, and the board gets the key.
    #[schemars(title = "Key")]
    key: Secret,
}

/// What the board takes.
#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
    level: &'a str,
}

impl Channel for Board {
    type Settings = Settings;

    const ABOUT: About = About {
        title: "On-call board",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Puts an event's title on the board in the on-call room.",
        // Empty: it sends wherever the settings point.
        hosts: &[],
    };

    fn render(settings: Settings, _context: &Context, event: &Event) -> Result<Request, Refusal> {
        let level = if event.type_.ends_with("_failed") { "red" } else { "green" };
        let message = Message { text: &event.title, level };
        Ok(Request::json("POST", settings.url, &message)?.header("x-key", settings.key))
    }
}

// Answers are left to the host's rule: 2xx is delivered, 429 and 5xx are tried again, and so on. An adapter that knows
// better writes `interpret`, and `conversational_channel!` here.
herald_channel::channel!(Board);

#[cfg(test)]
mod tests {
    #[test]
    fn schema() {
        herald_channel::schema::check::<super::Board>(env!("CARGO_MANIFEST_DIR"));
    }
}
