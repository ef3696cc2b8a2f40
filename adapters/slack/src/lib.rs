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

use herald_channel::{About, Channel, Context, Event, Refusal, Request, Response, Secret, Verdict};
use schemars::JsonSchema;
use serde::Deserialize;

/// The adapter.
pub struct Slack;

/// A channel's settings.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The address of an incoming webhook. Who knows it can post, so it is a secret.
    #[schemars(title = "Webhook URL")]
    webhook_url: Secret,
    /// The name to post under, where the webhook allows to choose it.
    #[schemars(title = "User name", length(min = 1, max = 80))]
    username: Option<String>,
    /// An emoji as the picture, `:rocket:` say, where the webhook allows to choose it.
    #[schemars(title = "Icon", regex(pattern = r"^:[^:\s]+:$"))]
    icon_emoji: Option<String>,
    /// Whom to call for an event whose type ends in `_failed`: `@here`, `@channel`, `@everyone`, `<@U…>` for a member, `<!subteam^S…>` for a group; several with spaces between.
    #[schemars(title = "Mention on failure", length(min = 1, max = 150))]
    mention_on_failure: Option<String>,
}

impl Channel for Slack {
    type Settings = Settings;

    const ABOUT: About = About {
        title: "Slack",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Posts to a Slack channel by an incoming webhook.",
        // Others take the same messages, so it isn't bound to hooks.slack.com.
        hosts: &[],
    };

    fn render(settings: Settings, _context: &Context, event: &Event) -> Result<Request, Refusal> {
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
