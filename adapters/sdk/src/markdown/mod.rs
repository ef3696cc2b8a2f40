//! Markdown, parsed once into a small tree, and written in the dialect that a service understands.
//!
//! ```
//! use herald_channel::markdown::{self, DISCORD, PLAIN};
//!
//! let body = markdown::parse("**3 of 4** done, see [the log](https://a.example/log)");
//! assert_eq!(DISCORD.write(&body, 2000, None), "**3 of 4** done, see [the log](<https://a.example/log>)");
//! assert_eq!(PLAIN.write(&body, 2000, None), "3 of 4 done, see the log (https://a.example/log)");
//! ```
//!
//! What stands in an event is text for people and nothing else. In every dialect, what is special there is escaped, so no
//! mention, tag or date can be forged, and a link is only made of a web or mail address, with its address visible or its
//! label escaped. All results are capped in a way that cuts no entity, link, tag or emphasis in two.
//!
//! The parser knows `CommonMark` as people write it (headings, emphasis, code, lists, quotes, links by reference too) with
//! strikethrough and task lists. HTML, tables, footnotes and rare entities stay the text that they are. It takes time in
//! proportion to the text, whatever stands in it. `pulldown-cmark`, which knows all of it, takes 170 KB of a component, most
//! of that for tables of entities and of letter cases; tests hold ours against it.

mod blocks;
mod dialects;
mod document;
mod emphasis;
mod entities;
mod escape;
mod html;
mod inline;
mod target;
#[cfg(test)]
mod tests;
mod writer;

pub use self::blocks::parse;
pub use self::dialects::{ADAPTIVE_CARD, DISCORD, MRKDWN, PLAIN, TELEGRAM_HTML};
use self::escape::Place;
use self::writer::Writer;
use crate::text::Max;

/// A part of a document that stands on lines of its own.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// Lines of text.
    Paragraph(Vec<Inline>),
    /// A heading, whatever its level: chats have one kind at most.
    Heading(Vec<Inline>),
    /// What somebody else has said.
    Quote(Vec<Block>),
    /// Code or output, without its last line end.
    Code(String),
    /// An ordered list has its first number.
    List(Option<u64>, Vec<Item>),
    /// A line across.
    Rule,
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Of a task: whether it is done.
    pub done: Option<bool>,
    /// What it says.
    pub blocks: Vec<Block>,
}

/// A part of a line.
#[derive(Debug, Clone, PartialEq)]
pub enum Inline {
    /// Text as people read it: escapes and entities are resolved.
    Text(String),
    /// Code within a line.
    Code(String),
    /// Text in a style.
    Styled(Style, Vec<Inline>),
    /// A link or an image: its address, as it was written, and its label.
    Link(String, Vec<Inline>),
    /// A tag, a comment or a line of a block of them, as it was written.
    Html(String),
    /// The end of a line.
    Break,
}

/// How text is set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Style {
    /// Bold.
    Strong,
    /// Italic.
    Emphasis,
    /// Struck through.
    Strike,
    /// Code: as a style for [`Dialect`]s, in the tree it is [`Inline::Code`].
    Code,
}

/// How a service wants its text.
pub struct Dialect {
    /// Hands on a literal character, which stands between these in the original text.
    character: fn(Place, Option<char>, char, &str, &mut String),
    /// The ASCII characters that `character` may change.
    special: &'static [u8],
    /// What begins and ends each [`Style`], in its order.
    marks: [(&'static str, &'static str); 4],
    /// Makes the edge of a word where a mark counts only there.
    edge: &'static str,
    /// Whether text in a style may go on in the next line.
    across_lines: bool,
    /// Code is in no other style.
    code_alone: bool,
    /// What begins and ends a block of code.
    fence: (&'static str, &'static str),
    quote: Quote,
    /// What parts lines, and what parts paragraphs.
    line: &'static str,
    paragraph: &'static str,
    /// What parts the items of a list.
    item: &'static str,
    /// What items begin with, on odd levels and on even ones.
    bullets: [&'static str; 2],
    /// By how much the items of a level are indented, and by how much less their further lines, if at all.
    indent: usize,
    hang: Option<usize>,
    link: fn(&str, Option<&str>, &mut String),
    address: escape::Address,
}

/// How a quote is set off.
enum Quote {
    /// Each of its lines begins with the first; an empty one is the second.
    Lines(&'static str, &'static str),
    Tags(&'static str, &'static str),
}

impl Dialect {
    /// Markdown in this dialect, no longer than `max`.
    ///
    /// `base` is an absolute address against which links of the form `/path` are resolved: the event's URL, say.
    pub fn render(&'static self, markdown: &str, max: impl Into<Max>, base: Option<&str>) -> String {
        if is_plain(markdown) {
            let mut out = Writer::new(self, max.into(), base);
            out.text(markdown);
            return out.finish();
        }
        self.write(&parse(markdown), max, base)
    }

    /// A document that is parsed already, as [`Self::render`] has it.
    pub fn write(&'static self, document: &[Block], max: impl Into<Max>, base: Option<&str>) -> String {
        let mut out = Writer::new(self, max.into(), base);
        out.blocks(document);
        out.finish()
    }

    /// Plain text that looks as it is.
    pub fn literal(&'static self, text: &str, max: impl Into<Max>) -> String {
        let mut out = Writer::new(self, max.into(), None);
        out.literal(text);
        out.finish()
    }

    /// A link; only its label, as [`Self::literal`], if the address is none that may be linked to.
    pub fn link(&'static self, url: &str, label: &str, max: impl Into<Max>) -> String {
        let mut out = Writer::new(self, max.into(), None);
        out.link(url, label);
        out.finish()
    }
}

/// Whether this is one line in which nothing can mean anything in Markdown, so that it needs no parser: many bodies are.
fn is_plain(markdown: &str) -> bool {
    let is_plain = |byte| matches!(byte, b' '..=b'~') && !b"\\`*_~[]<&".contains(&byte);
    // Whatever else means something does so only at the beginning of a line.
    markdown.starts_with(|first: char| first.is_ascii_alphabetic())
        && !markdown.ends_with(' ')
        && markdown.bytes().all(is_plain)
}

/// The text of a link's label: a label has no formatting of its own.
fn label_of(label: &[Inline], out: &mut String) {
    for inline in label {
        match inline {
            Inline::Text(text) | Inline::Code(text) | Inline::Html(text) => out.push_str(text),
            Inline::Styled(_, inner) | Inline::Link(_, inner) => label_of(inner, out),
            Inline::Break => out.push(' '),
        }
    }
}
