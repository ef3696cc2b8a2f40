//! The message as Slack takes it, and how an event becomes one.

use herald_channel::markdown::MRKDWN;
use herald_channel::{Event, date, text};
use serde::Serialize;

use crate::facts;
use crate::outcome::Outcome;

/// A title is a line or two, though Slack would show 3000 characters.
const LONGEST_TITLE: usize = 300;
/// Slack's limit for the text of a block.
const LONGEST_BODY: usize = 3000;
const LONGEST_TYPE: usize = 100;
/// A linked title with its address, escaped. With a mention in front it stays within Slack's 3000 characters.
const LONGEST_LINK: usize = 2800;

#[derive(Serialize)]
pub struct Message {
    /// For notifications, and for receivers without blocks.
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_emoji: Option<String>,
    blocks: [Block; 1],
    attachments: [Attachment; 1],
}

#[derive(Serialize)]
struct Attachment {
    color: &'static str,
    blocks: Vec<Block>,
}

#[derive(Serialize, Default)]
struct Block {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<TextObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<TextObject>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    elements: Vec<TextObject>,
}

#[derive(Serialize)]
struct TextObject {
    #[serde(rename = "type")]
    kind: &'static str,
    text: String,
    /// Keeps Slack from making mentions and links of plain text like `@here` by itself.
    verbatim: bool,
}

pub fn compose(event: &Event, mention: Option<&str>) -> Message {
    let data = event.data();
    let title = title(event);
    let call =
        mention.filter(|_| event.type_.ends_with("_failed")).map(|mention| format!("{mention} ")).unwrap_or_default();
    let mut details = Vec::with_capacity(3);
    let body = MRKDWN.render(&event.body, LONGEST_BODY, event.url.as_deref());
    if !body.is_empty() {
        details.push(section(body));
    }
    let facts: Vec<_> = facts::of(&data).iter().map(|fact| mrkdwn_text(fact.to_mrkdwn())).collect();
    if !facts.is_empty() {
        details.push(Block { kind: "section", fields: facts, ..Block::default() });
    }
    details.push(Block { kind: "context", elements: vec![mrkdwn_text(origin(event))], ..Block::default() });
    Message {
        text: format!("{call}{title}"),
        username: None,
        icon_emoji: None,
        blocks: [section(format!("{call}*{title}*"))],
        attachments: [Attachment { color: Outcome::of(event, &data).color(), blocks: details }],
    }
}

/// The title as a link to the thing that the event is about.
fn title(event: &Event) -> String {
    let title = match text::single_line(&event.title) {
        empty if empty.is_empty() => text::label(&event.type_),
        title => title,
    };
    let title = text::truncate(&title, LONGEST_TITLE);
    match &event.url {
        Some(url) => MRKDWN.link(url, &title, LONGEST_LINK),
        None => MRKDWN.literal(&title, LONGEST_LINK),
    }
}

/// What kind of event it was, and when, in the reader's own time zone.
fn origin(event: &Event) -> String {
    let kind = MRKDWN.literal(&text::single_line(&event.type_), LONGEST_TYPE);
    let (seconds, fallback) = (event.occurred_at / 1000, date::minute(event.occurred_at));
    format!("{kind} · <!date^{seconds}^{{date_short_pretty}} {{time}}|{fallback}>")
}

fn section(text: String) -> Block {
    Block { kind: "section", text: Some(mrkdwn_text(text)), ..Block::default() }
}

fn mrkdwn_text(text: String) -> TextObject {
    TextObject { kind: "mrkdwn", text, verbatim: true }
}
