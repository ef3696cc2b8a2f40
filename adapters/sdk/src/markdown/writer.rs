//! A document in a dialect, written piece by piece under a cap.
//!
//! What dialects ask for and Markdown doesn't is settled here: emphasis may end at the end of a line, and may count only at
//! the edge of a word (an invisible space makes one); a quote has its sign on every line; a code block stands alone.

use super::escape::{self, Place};
use super::{Dialect, Quote, Style};
use crate::text::Max;

pub(super) struct Writer<'a> {
    pub dialect: &'static Dialect,
    base: Option<&'a str>,
    out: String,
    /// How much of the cap `out` takes.
    used: usize,
    max: Max,
    /// Nothing more fits, and the ellipsis is written.
    pub full: bool,
    /// The styles that the text is in, outermost first; `None` for one within itself.
    styles: Vec<Option<Style>>,
    /// Those of them whose opening marks are written. They are written with the first text, so that none is empty.
    open: Vec<Style>,
    /// The last thing written was a closing mark.
    closed: bool,
    fenced: bool,
    /// Line ends to be written before the next text.
    pub gap: usize,
    pub quotes: usize,
    /// The depth of quotes that the last text stood in.
    last_quotes: usize,
    /// Of a quote by tags, whose first one is written: the other.
    quote_end: &'static str,
    /// The lists that are open, outermost first: an ordered one has the next item's number.
    pub lists: Vec<Option<u64>>,
    /// The depth of lists.
    pub indent: usize,
    /// What the next text is an item of.
    pub bullet: Option<String>,
}

impl<'a> Writer<'a> {
    pub fn new(dialect: &'static Dialect, max: Max, base: Option<&'a str>) -> Self {
        Self {
            dialect,
            base,
            out: String::new(),
            used: 0,
            max,
            full: false,
            styles: Vec::new(),
            open: Vec::new(),
            closed: false,
            fenced: false,
            gap: 0,
            quotes: 0,
            last_quotes: 0,
            quote_end: "",
            lists: Vec::new(),
            indent: 0,
            bullet: None,
        }
    }

    pub fn finish(mut self) -> String {
        if !self.full {
            self.close_all();
            self.out.truncate(self.out.trim_end().len());
            self.end_quote();
        }
        self.out
    }

    /// Literal text, in which bare web addresses become links.
    pub fn text(&mut self, text: &str) {
        let mut rest = text;
        while let Some((before, url, after)) = escape::split_at_address(rest) {
            self.literal(before);
            self.link(url, "");
            rest = after;
        }
        self.literal(rest);
    }

    /// Literal text.
    pub fn literal(&mut self, text: &str) {
        for (index, line) in text.split('\n').enumerate() {
            self.gap += usize::from(index > 0);
            self.pieces(line, Place::Text);
        }
    }

    pub fn code(&mut self, code: &str) {
        let around = if self.dialect.code_alone { std::mem::take(&mut self.styles) } else { Vec::new() };
        if self.dialect.code_alone {
            self.close_all();
        }
        self.style(Style::Code);
        self.pieces(code, Place::Code);
        self.end_style();
        self.styles.splice(..0, around);
    }

    /// A link; its label alone if there is no linking to that address. Without a label it shows its address.
    pub fn link(&mut self, url: &str, label: &str) {
        let label = escape::visible(label.trim());
        let label = label.trim();
        let Some(address) = escape::address(&self.dialect.address, url, self.base) else {
            return self.literal(if label.is_empty() { url } else { label });
        };
        let mut escaped = String::new();
        escape::text(self.dialect, Place::Label, None, label, &mut escaped);
        let mut link = String::with_capacity(address.len() + escaped.len() + 16);
        (self.dialect.link)(&address, Some(escaped.as_str()).filter(|_| !label.is_empty() && label != url), &mut link);
        self.begin();
        self.open_styles();
        if self.fits(&link) {
            self.push(&link);
        } else {
            self.literal(if label.is_empty() { url } else { label });
        }
    }

    /// The text from here on is in this style.
    pub fn style(&mut self, style: Style) {
        self.styles.push((!self.styles.contains(&Some(style))).then_some(style));
    }

    pub fn end_style(&mut self) {
        if let Some(Some(style)) = self.styles.pop()
            && self.open.contains(&style)
        {
            while let Some(open) = self.open.pop() {
                self.close(open);
                if open == style {
                    break;
                }
            }
        }
    }

    /// A code block. It takes lines of its own, and no quote can hold it.
    pub fn fence(&mut self, code: &str) {
        let (open, close) = self.dialect.fence;
        self.end_quote();
        let quotes = std::mem::take(&mut self.quotes);
        self.begin();
        self.quotes = quotes;
        if !self.out.is_empty() && !self.out.ends_with(['\n', '\r']) {
            self.push_if_fits("\n");
        }
        if !self.fits(&[open, close].concat()) {
            return self.overflow();
        }
        self.push(open);
        self.fenced = true;
        self.pieces(code, Place::Fence);
        self.fenced = false;
        if !self.full {
            let doubled = self.out.ends_with('\n');
            self.push(close.strip_prefix('\n').filter(|_| doubled).unwrap_or(close));
        }
    }

    pub fn end_quote(&mut self) {
        let end = std::mem::take(&mut self.quote_end);
        if !end.is_empty() {
            self.push(end);
        }
    }

    /// At least so many line ends before the next text.
    pub fn gap(&mut self, lines: usize) {
        self.gap = self.gap.max(lines);
    }

    /// Literal text, as much of it as there is room for.
    fn pieces(&mut self, text: &str, place: Place) {
        let text = &*escape::visible(text);
        if text.is_empty() || self.full {
            return;
        }
        self.begin();
        if self.open.len() < self.styles.iter().flatten().count() {
            // A mark counts only directly before a text.
            let blanks = if place == Place::Code {
                ""
            } else {
                text.get(..text.len() - text.trim_start().len()).unwrap_or_default()
            };
            self.push_if_fits(blanks);
            if blanks.len() == text.len() {
                return;
            }
            self.open_styles();
            return self.pieces_here(text.get(blanks.len()..).unwrap_or_default(), place);
        }
        self.pieces_here(text, place);
    }

    fn pieces_here(&mut self, text: &str, place: Place) {
        let before = self.out.chars().next_back();
        if self.closed && text.starts_with(char::is_alphanumeric) {
            self.push_if_fits(self.dialect.edge);
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        escape::text(self.dialect, place, before, text, &mut escaped);
        if self.fits(&escaped) {
            return self.push(&escaped);
        }
        let mut before = before;
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            escaped.clear();
            (self.dialect.character)(place, before, character, characters.as_str(), &mut escaped);
            before = Some(character);
            if !self.push_if_fits(&escaped) {
                return;
            }
        }
    }

    /// Writes what has to come before the next text: line ends, the quote's sign, the item's bullet.
    fn begin(&mut self) {
        if self.full || self.fenced {
            return;
        }
        let gap = std::mem::take(&mut self.gap);
        let fresh = self.out.is_empty();
        if gap > 0 && !fresh {
            if !self.dialect.across_lines {
                self.close_all();
            }
            let blanks = self.out.len() - self.out.trim_end_matches(' ').len();
            self.out.truncate(self.out.len() - blanks);
            self.used -= blanks;
        }
        if !fresh {
            self.line_ends(gap);
        }
        self.last_quotes = self.quotes;
        if let Quote::Tags(open, close) = self.dialect.quote
            && self.quotes > 0
            && self.quote_end.is_empty()
        {
            if !self.fits(&[open, close].concat()) {
                return self.overflow();
            }
            self.push(open);
            self.quote_end = close;
        }
        if !fresh && gap == 0 {
            return;
        }
        if let Quote::Lines(sign, _) = self.dialect.quote
            && self.quotes > 0
        {
            self.push_if_fits(sign);
        }
        let bullet = self.bullet.take();
        let step = self.dialect.indent;
        let indent = match (&bullet, self.dialect.hang) {
            (Some(_), _) => self.indent.saturating_sub(1) * step,
            (None, Some(less)) => (self.indent * step).saturating_sub(less),
            (None, None) => 0,
        };
        self.push_if_fits(&" ".repeat(indent.min(40)));
        if let Some(bullet) = bullet {
            self.push_if_fits(&bullet);
        }
    }

    fn line_ends(&mut self, gap: usize) {
        let Dialect { line, paragraph, item, .. } = self.dialect;
        match (gap, &self.dialect.quote) {
            (0, _) => {}
            (1, _) if self.bullet.is_some() => _ = self.push_if_fits(item),
            (1, _) => _ = self.push_if_fits(line),
            // A blank line within a quote is a part of it.
            (_, Quote::Lines(_, empty)) if self.quotes.min(self.last_quotes) > 0 => {
                self.push_if_fits(line);
                self.push_if_fits(empty);
            }
            _ => _ = self.push_if_fits(paragraph),
        }
    }

    fn open_styles(&mut self) {
        let wanted: Vec<Style> = self.styles.iter().copied().flatten().collect();
        for style in wanted.into_iter().skip(self.open.len()) {
            let (open, close) = self.marks(style);
            if self.closed || self.out.ends_with(char::is_alphanumeric) {
                self.push_if_fits(self.dialect.edge);
            }
            // Its closing mark has to fit too.
            if self.full || !self.fits(&[open, close].concat()) {
                return self.overflow();
            }
            self.push(open);
            self.open.push(style);
        }
    }

    fn marks(&self, style: Style) -> (&'static str, &'static str) {
        let [strong, emphasis, strike, code] = self.dialect.marks;
        match style {
            Style::Strong => strong,
            Style::Emphasis => emphasis,
            Style::Strike => strike,
            Style::Code => code,
        }
    }

    fn close_all(&mut self) {
        while let Some(style) = self.open.pop() {
            self.close(style);
        }
    }

    fn close(&mut self, style: Style) {
        if !self.full {
            self.push(self.marks(style).1);
            self.closed = true;
        }
    }

    /// Room is kept for the ellipsis and for all that has to be closed.
    fn fits(&self, piece: &str) -> bool {
        let marks: usize = self.open.iter().map(|style| self.max.width(self.marks(*style).1)).sum();
        let fence = if self.fenced { self.max.width(self.dialect.fence.1) } else { 0 };
        let reserve = self.max.width("…") + marks + fence + self.max.width(self.quote_end);
        !self.full && self.used + self.max.width(piece) + reserve <= self.max.room()
    }

    fn push_if_fits(&mut self, piece: &str) -> bool {
        if piece.is_empty() {
            return !self.full;
        }
        let fits = self.fits(piece);
        if fits {
            self.push(piece);
        } else {
            self.overflow();
        }
        fits
    }

    fn push(&mut self, piece: &str) {
        if !self.full {
            self.out.push_str(piece);
            self.used += self.max.width(piece);
            self.closed = false;
        }
    }

    /// Ends everything that is open, with an ellipsis.
    fn overflow(&mut self) {
        if self.full {
            return;
        }
        self.out.truncate(self.out.trim_end().len());
        self.out.push('…');
        while let Some(style) = self.open.pop() {
            self.out.push_str(self.marks(style).1);
        }
        if self.fenced {
            self.out.push_str(self.dialect.fence.1);
        }
        self.out.push_str(self.quote_end);
        self.full = true;
    }
}
