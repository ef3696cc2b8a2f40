//! The blocks of a document: what its lines are, told by how they begin.

use std::borrow::Cow;

use super::target::{self, Definitions};
use super::{Block, Inline, Item, html, inline};

/// Quotes and lists in each other: deeper ones are text.
const DEEPEST: usize = 16;

/// More than any chat shows: what comes after is not read, so that no text takes all of a sandbox's memory.
const LONGEST: usize = 128 * 1024;

/// Reads Markdown, the first 128 KiB of it.
pub fn parse(markdown: &str) -> Vec<Block> {
    let markdown = with_spaces(markdown.get(..markdown.floor_char_boundary(LONGEST)).unwrap_or_default());
    let lines: Vec<&str> = markdown.split('\n').collect();
    let mut open = Paragraph::default();
    let definitions = Definitions::of(lines.iter().copied().filter(|line| {
        let begins = !open.open && open.fence.is_none();
        open.line(line);
        let defines = begins && target::definition(line.trim_start_matches([' ', '>'])).is_some();
        open.open &= !defines;
        defines
    }));
    Lines { lines: &lines, at: 0, depth: 0, definitions: &definitions }.blocks()
}

/// The same with one kind of line end, and lines indented by spaces.
fn with_spaces(markdown: &str) -> Cow<'_, str> {
    if !markdown.contains(['\r', '\t']) {
        return Cow::Borrowed(markdown);
    }
    let unix = markdown.replace("\r\n", "\n").replace('\r', "\n");
    let mut spaced = String::with_capacity(unix.len() + 32);
    for (index, line) in unix.split('\n').enumerate() {
        spaced.extend((index > 0).then_some('\n'));
        let mut column = 0;
        let text = line.trim_start_matches([' ', '\t']);
        for blank in line.bytes().take(line.len() - text.len()) {
            let width = if blank == b'\t' { 4 - column % 4 } else { 1 };
            column += width;
            spaced.extend(std::iter::repeat_n(' ', width));
        }
        spaced.push_str(text);
    }
    Cow::Owned(spaced)
}

/// Some lines of a document, without what makes them part of a quote or a list.
#[allow(clippy::struct_field_names)] // All lines, and where among them it is.
struct Lines<'a> {
    lines: &'a [&'a str],
    at: usize,
    depth: usize,
    definitions: &'a Definitions,
}

/// What an item begins with: its sign, its number where it has one, and where its text begins.
#[derive(Clone, Copy)]
struct Marker {
    sign: u8,
    number: Option<u64>,
    width: usize,
}

impl<'a> Lines<'a> {
    fn blocks(mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut paragraph: Vec<&str> = Vec::new();
        while let Some(line) = self.next() {
            let text = line.trim_start_matches(' ');
            let indent = line.len() - text.len();
            if !paragraph.is_empty() && indent < 4 && is_underline(text) {
                let text = self.inline(&std::mem::take(&mut paragraph));
                blocks.push(if text.is_empty() { Block::Rule } else { Block::Heading(text) });
                continue;
            }
            let block = if text.trim_end().is_empty() {
                self.end_paragraph(&mut paragraph, &mut blocks);
                continue;
            } else if indent >= 4 {
                if paragraph.is_empty() { Some(self.indented(line)) } else { None }
            } else {
                self.block(line, text, indent, !paragraph.is_empty())
            };
            match block {
                Some(block) => {
                    self.end_paragraph(&mut paragraph, &mut blocks);
                    blocks.push(block);
                }
                None => paragraph.push(text),
            }
        }
        self.end_paragraph(&mut paragraph, &mut blocks);
        blocks
    }

    fn next(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at)?;
        self.at += 1;
        Some(line)
    }

    /// The next line, if it is one of these.
    fn next_if(&mut self, belongs: impl FnOnce(&str) -> bool) -> Option<&'a str> {
        let line = self.lines.get(self.at).filter(|line| belongs(line))?;
        self.at += 1;
        Some(line)
    }

    fn end_paragraph(&self, lines: &mut Vec<&str>, blocks: &mut Vec<Block>) {
        let text = self.inline(&std::mem::take(lines));
        if !text.is_empty() {
            blocks.push(Block::Paragraph(text));
        }
    }

    fn inline(&self, lines: &[&str]) -> Vec<Inline> {
        let definitions = lines.iter().take_while(|line| target::definition(line).is_some()).count();
        inline::parse(lines.get(definitions..).unwrap_or_default().join("\n").trim_end(), self.definitions)
    }

    /// The block that begins with a line, if that is anything but text.
    fn block(&mut self, line: &'a str, text: &'a str, indent: usize, in_paragraph: bool) -> Option<Block> {
        if let Some(fence) = fence(text) {
            return Some(self.fenced(fence, indent));
        }
        if let Some(heading) = heading(text) {
            return Some(Block::Heading(inline::parse(heading, self.definitions)));
        }
        if is_rule(text) {
            return Some(Block::Rule);
        }
        if let Some(end) = html::end_of(text, in_paragraph) {
            return Some(self.html(line, end));
        }
        if self.depth == DEEPEST {
            return None;
        }
        if text.starts_with('>') {
            return Some(self.quote(line));
        }
        let marker = marker(text).filter(|marker| !in_paragraph || marker.interrupts(text))?;
        Some(self.list(line, marker))
    }

    fn fenced(&mut self, (sign, length): (char, usize), indent: usize) -> Block {
        let mut code = Vec::new();
        while let Some(line) = self.next() {
            if closes(line, (sign, length)) {
                break;
            }
            code.push(without_indent(line, indent));
        }
        Block::Code(code.join("\n"))
    }

    fn indented(&mut self, first: &'a str) -> Block {
        let mut code = vec![without_indent(first, 4)];
        while let Some(line) = self.next_if(|line| line.trim().is_empty() || indent_of(line) >= 4) {
            code.push(without_indent(line, 4));
        }
        Block::Code(code.join("\n").trim_end_matches([' ', '\n']).to_owned())
    }

    fn html(&mut self, first: &'a str, end: &str) -> Block {
        let mut lines = Vec::new();
        let mut next = Some(first);
        while let Some(line) = next {
            if !lines.is_empty() {
                lines.push(Inline::Break);
            }
            lines.push(Inline::Html(line.trim_end().to_owned()));
            let goes_on = end.is_empty() || !line.to_ascii_lowercase().contains(end);
            next = if goes_on { self.next_if(|next| !(end.is_empty() && next.trim().is_empty())) } else { None };
        }
        Block::Paragraph(lines)
    }

    fn quote(&mut self, first: &'a str) -> Block {
        let mut lines = Vec::new();
        let mut open = Paragraph::default();
        let mut next = Some(first);
        while let Some(line) = next {
            let text = line.trim_start_matches(' ');
            let inner = text.strip_prefix('>').map_or(line, |inner| inner.strip_prefix([' ', '\t']).unwrap_or(inner));
            open.line(inner);
            lines.push(if text.starts_with('>') { inner } else { harmless(inner) });
            next = self
                .next_if(|line| (indent_of(line) < 4 && line.trim_start().starts_with('>')) || open.goes_on_with(line));
        }
        Block::Quote(self.inside(&lines))
    }

    fn inside(&self, lines: &[&str]) -> Vec<Block> {
        Lines { lines, at: 0, depth: self.depth + 1, definitions: self.definitions }.blocks()
    }

    fn list(&mut self, first: &'a str, marker: Marker) -> Block {
        let mut items = Vec::new();
        let mut next = Some((first, marker));
        while let Some((line, marker)) = next {
            items.push(self.item(line, marker));
            let blanks = self.lines.get(self.at..).unwrap_or_default();
            let blanks = blanks.iter().take_while(|line| line.trim().is_empty()).count();
            next = self.lines.get(self.at + blanks).and_then(|line| {
                let text = line.trim_start_matches(' ');
                let same = self::marker(text).filter(|next| next.sign == marker.sign && !is_rule(text))?;
                (indent_of(line) < 4).then_some((*line, same))
            });
            if next.is_some() {
                self.at += blanks + 1;
            }
        }
        Block::List(marker.number, items)
    }

    fn item(&mut self, first: &'a str, marker: Marker) -> Item {
        let indent = indent_of(first) + marker.width;
        let begin = first.get(indent..).unwrap_or_default();
        let (done, begin) = match task(begin) {
            Some((done, text)) => (Some(done), text),
            None => (None, begin),
        };
        let mut lines = vec![begin];
        let mut open = Paragraph::default();
        open.line(begin);
        // An item may begin with an empty line, but only with one.
        if !(begin.trim().is_empty() && self.lines.get(self.at).is_some_and(|next| next.trim().is_empty())) {
            while let Some(line) =
                self.next_if(|line| line.trim().is_empty() || indent_of(line) >= indent || open.goes_on_with(line))
            {
                let lazy = open.open && indent_of(line) < indent;
                let inner = without_indent(line, indent);
                open.line(inner);
                lines.push(if lazy { harmless(inner) } else { inner });
            }
        }
        // Empty lines at its end part it from what follows.
        while lines.len() > 1 && lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
            self.at -= 1;
        }
        Item { done, blocks: self.inside(&lines) }
    }
}

/// Whether a text is open at the end of some lines, so that another line without any sign belongs to it.
#[derive(Default)]
struct Paragraph {
    open: bool,
    fence: Option<(char, usize)>,
}

impl Paragraph {
    fn line(&mut self, line: &str) {
        let text = line.trim_start_matches([' ', '>']);
        match self.fence {
            Some(open) if closes(line, open) => self.fence = None,
            Some(_) => {}
            None => self.fence = fence(text),
        }
        self.open = self.fence.is_none() && !text.trim().is_empty() && heading(text).is_none() && !is_rule(text);
    }

    fn goes_on_with(&self, line: &str) -> bool {
        let text = line.trim();
        self.open
            && !text.is_empty()
            && !text.starts_with('>')
            && fence(text).is_none()
            && heading(text).is_none()
            && !is_rule(text)
            && marker(text).is_none()
            && html::end_of(text, true).is_none()
    }
}

/// A line that goes on with a text without any sign: it makes no heading of it.
fn harmless(line: &str) -> &str {
    const INDENTED: &str = "    ================================================================";
    match line.trim() {
        text if !text.is_empty() && is_underline(text) => INDENTED.get(..4 + text.len()).unwrap_or(INDENTED),
        _ => line,
    }
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// A line without as much of its indent.
fn without_indent(line: &str, indent: usize) -> &str {
    line.get(indent_of(line).min(indent)..).unwrap_or_default()
}

/// The sign and length of what opens a block of code.
fn fence(text: &str) -> Option<(char, usize)> {
    let sign = text.chars().next().filter(|sign| matches!(sign, '`' | '~'))?;
    let info = text.trim_start_matches(sign);
    let length = text.len() - info.len();
    (length >= 3 && !(sign == '`' && info.contains('`'))).then_some((sign, length))
}

fn closes(line: &str, (sign, length): (char, usize)) -> bool {
    let text = line.trim();
    indent_of(line) < 4 && text.len() >= length && text.trim_start_matches(sign).is_empty()
}

/// The text of a heading: `## so`, perhaps with further signs at its end.
fn heading(text: &str) -> Option<&str> {
    let rest = text.trim_start_matches('#');
    if !(1..=6).contains(&(text.len() - rest.len())) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let rest = rest.trim();
    let bare = rest.trim_end_matches('#');
    Some(if bare.is_empty() || bare.ends_with([' ', '\t']) { bare.trim_end() } else { rest })
}

/// What makes a heading of the text above it.
fn is_underline(text: &str) -> bool {
    let text = text.trim_end();
    !text.is_empty() && (text.bytes().all(|sign| sign == b'=') || text.bytes().all(|sign| sign == b'-'))
}

fn is_rule(text: &str) -> bool {
    let mut signs = text.bytes().filter(|sign| !sign.is_ascii_whitespace());
    let Some(first) = signs.next().filter(|first| b"-_*".contains(first)) else { return false };
    let mut further = 0;
    signs.all(|sign| {
        further += 1;
        sign == first
    }) && further >= 2
}

fn marker(text: &str) -> Option<Marker> {
    let digits = text.bytes().take(10).take_while(u8::is_ascii_digit).count();
    let sign = *text.as_bytes().get(digits)?;
    let number = match digits {
        0 => None,
        1..=9 => Some(text.get(..digits)?.parse().ok()?),
        _ => return None,
    };
    if !(if number.is_some() { b".)".as_slice() } else { b"-+*" }).contains(&sign) {
        return None;
    }
    let rest = text.get(digits + 1..)?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let blanks = match blanks {
        _ if blanks == rest.len() => 1,
        0 => return None,
        1..=4 => blanks,
        // Code within the item.
        _ => 1,
    };
    Some(Marker { sign, number, width: digits + 1 + blanks })
}

impl Marker {
    /// Whether a list can begin with it in the middle of a text.
    fn interrupts(&self, text: &str) -> bool {
        self.number.is_none_or(|number| number == 1)
            && text.get(self.width..).is_some_and(|rest| !rest.trim().is_empty())
    }
}

/// Whether an item is a task, and done.
fn task(item: &str) -> Option<(bool, &str)> {
    let done = match item.get(..3)? {
        "[ ]" => false,
        "[x]" | "[X]" => true,
        _ => return None,
    };
    Some((done, item.get(3..)?.strip_prefix(' ')?))
}
