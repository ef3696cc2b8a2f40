//! Slack incoming webhooks.
//!
//! The message has its title as a block of its own, then an attachment, which is what Slack draws a coloured bar beside:
//! the body, the useful part of the data, type and time. The top-level `text` is what notifications show, and receivers
//! that only imitate Slack.

mod answer;
mod facts;
mod mention;
mod message;
mod outcome;

use herald_channel::{Channel, Context, Description, Event, Refusal, Request, Response, Verdict};
use serde::Deserialize;

/// The adapter.
pub struct Slack;

#[derive(Deserialize)]
struct Settings {
    /// A secret: the adapter sees a handle.
    webhook_url: String,
    username: Option<String>,
    icon_emoji: Option<String>,
    mention_on_failure: Option<String>,
}

impl Channel for Slack {
    fn describe() -> Description {
        Description {
            title: "Slack".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: "Posts to a Slack channel by an incoming webhook.".into(),
            settings_schema: include_str!("settings.schema.json").into(),
            // Others take the same messages, so it isn't bound to hooks.slack.com.
            hosts: vec![],
        }
    }

    fn render(context: &Context, event: &Event) -> Result<Request, Refusal> {
        let settings: Settings = context.settings()?;
        let mention = settings.mention_on_failure.as_deref().map(mention::parse).transpose()?;
        let mut message = message::compose(event, mention.as_deref());
        message.username = settings.username;
        message.icon_emoji = settings.icon_emoji;
        Request::json("POST", settings.webhook_url, &message)
    }

    fn interpret(context: &Context, _event: &Event, _state: &[u8], response: &Response) -> Verdict {
        answer::interpret(context, response)
    }
}

herald_channel::conversational_channel!(Slack);
