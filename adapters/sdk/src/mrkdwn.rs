//! Markdown as mrkdwn, the dialect of Slack and of what imitates it.
//!
//! What stands in an event is text for people and nothing else. `&`, `<` and `>` are escaped, so no mention, channel or
//! date can be forged, and a link is only made of a web or mail address, with its address visible or its label escaped.
//! The formatting characters can't be escaped in mrkdwn; where a literal one would format (`*so*`, not `2 * 3` or
//! `snake_case`), a look-alike takes its place.
//!
//! All results are capped in a way that cuts no entity, link or emphasis in two. Lengths are counted as in [`crate::text`].

mod escape;
#[cfg(test)]
mod tests;
mod writer;

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd, TextMergeStream};

use self::writer::Writer;

/// Turns Markdown into at most `max` characters of mrkdwn.
///
/// `base` is an absolute address against which links of the form `/path` are resolved: the event's URL, say.
pub fn render(markdown: &str, max: usize, base: Option<&str>) -> String {
    if is_plain(markdown) {
        let mut out = Writer::new(max);
        out.text(markdown);
        return out.finish();
    }
    parse(markdown, max, base)
}

/// Whether this is one line in which nothing can mean anything in Markdown, so that it needs no parser: many bodies are.
fn is_plain(markdown: &str) -> bool {
    let is_plain = |byte| matches!(byte, b' '..=b'~') && !b"\\`*_~[]<&".contains(&byte);
    // Whatever else means something does so only at the beginning of a line.
    markdown.starts_with(|first: char| first.is_ascii_alphabetic())
        && !markdown.ends_with(' ')
        && markdown.bytes().all(is_plain)
}

fn parse(markdown: &str, max: usize, base: Option<&str>) -> String {
    let mut document = Document { out: Writer::new(max), base, lists: Vec::new(), link: None };
    let options = Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for event in TextMergeStream::new(Parser::new_ext(markdown, options)) {
        if document.out.is_full() {
            break;
        }
        document.event(event);
    }
    document.out.finish()
}

/// Plain text that looks in Slack as it is, in at most `max` characters.
pub fn literal(text: &str, max: usize) -> String {
    let mut out = Writer::new(max);
    out.literal(text);
    out.finish()
}

/// A link, in at most `max` characters; only its label, as [`literal`], if the address is none that may be linked to.
pub fn link(url: &str, label: &str, max: usize) -> String {
    let mut out = Writer::new(max);
    out.link(url, label, None);
    out.finish()
}

/// The walk through a Markdown document.
struct Document<'a> {
    out: Writer,
    base: Option<&'a str>,
    /// The lists that are open, outermost first: an ordered one has the next item's number.
    lists: Vec<Option<u64>>,
    /// The link or image that is being read: everything up to its end is its label.
    link: Option<Link>,
}

struct Link {
    url: String,
    label: String,
    /// Images in links in …: only the outermost is made a link.
    depth: usize,
}

impl Document<'_> {
    fn event(&mut self, event: Event) {
        if self.link.is_some() {
            return self.label(event);
        }
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.out.text(&text),
            // Mathematics and footnotes aren't switched on.
            Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.out.literal(&text),
            Event::Code(code) => self.out.code(&code),
            Event::SoftBreak | Event::HardBreak => self.out.newline(),
            Event::Rule => {
                self.out.literal("───");
                self.out.gap(2);
            }
            Event::TaskListMarker(done) => self.out.literal(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag) {
        match tag {
            Tag::Strong | Tag::Heading { .. } => self.out.style('*'),
            Tag::Emphasis => self.out.style('_'),
            Tag::Strikethrough => self.out.style('~'),
            Tag::BlockQuote(_) => {
                self.out.gap(1);
                self.out.quote();
            }
            Tag::CodeBlock(_) => {
                self.out.gap(1);
                self.out.fence();
            }
            Tag::List(first) => {
                self.out.gap(1);
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Link { link_type: LinkType::Email, dest_url, .. } => {
                self.link = Some(Link { url: format!("mailto:{dest_url}"), label: String::new(), depth: 1 });
            }
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.link = Some(Link { url: dest_url.into_string(), label: String::new(), depth: 1 });
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough => self.out.end_style(),
            TagEnd::Heading(_) => {
                self.out.end_style();
                self.out.gap(1);
            }
            TagEnd::BlockQuote(_) => {
                self.out.end_quote();
                self.block_end();
            }
            TagEnd::CodeBlock => {
                self.out.end_fence();
                self.block_end();
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.out.indent(self.lists.len());
                self.block_end();
            }
            TagEnd::Item => self.out.gap(1),
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.block_end(),
            _ => {}
        }
    }

    /// Blocks stand apart, except in lists.
    fn block_end(&mut self) {
        self.out.gap(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn item(&mut self) {
        let depth = self.lists.len();
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number += 1;
                bullet
            }
            _ if depth % 2 == 1 => "• ".to_owned(),
            _ => "◦ ".to_owned(),
        };
        self.out.indent(depth);
        self.out.bullet(bullet);
    }

    /// Reads the inside of a link. A label has no formatting of its own.
    fn label(&mut self, event: Event) {
        let Some(link) = &mut self.link else { return };
        match event {
            Event::Start(Tag::Link { .. } | Tag::Image { .. }) => link.depth += 1,
            Event::End(TagEnd::Link | TagEnd::Image) => link.depth -= 1,
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                link.label.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak => link.label.push(' '),
            _ => {}
        }
        if link.depth == 0 {
            let Link { url, label, .. } =
                std::mem::replace(link, Link { url: String::new(), label: String::new(), depth: 0 });
            self.link = None;
            self.out.link(&url, &label, self.base);
        }
    }
}
