//! mrkdwn, written piece by piece under a cap.
//!
//! What the dialect asks for and Markdown doesn't is settled here: emphasis ends at the end of a line, and counts only at
//! the edge of a word (an invisible space makes one); a quote has its sign on every line; a code block stands alone.

use super::escape::{self, Place};
use crate::text::width;

/// Makes the edge of a word without being seen.
const EDGE: char = '\u{200b}';
const FENCE: &str = "```";

pub(super) struct Writer {
    out: String,
    /// The width of `out`.
    used: usize,
    max: usize,
    /// Nothing more fits, and the ellipsis is written.
    full: bool,
    /// The styles that the text is in, outermost first; `None` for one within itself.
    styles: Vec<Option<char>>,
    /// Those of them whose opening marks are written. They are written with the first text, so that none is empty.
    open: Vec<char>,
    /// The last thing written was a closing mark.
    closed: bool,
    fenced: bool,
    /// Line ends to be written before the next text.
    gap: usize,
    quotes: usize,
    /// The depth of quotes that the last text stood in.
    last_quotes: usize,
    /// The depth of lists.
    indent: usize,
    /// What the next text is an item of.
    bullet: Option<String>,
}

impl Writer {
    pub fn new(max: usize) -> Self {
        Self {
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
            indent: 0,
            bullet: None,
        }
    }

    pub fn is_full(&self) -> bool {
        self.full
    }

    pub fn finish(mut self) -> String {
        if !self.full {
            self.close_all();
            self.out.truncate(self.out.trim_end().len());
        }
        self.out
    }

    /// Literal text, in which bare web addresses become links.
    pub fn text(&mut self, text: &str) {
        let mut rest = text;
        while !self.fenced
            && let Some((before, url, after)) = escape::split_at_address(rest)
        {
            self.literal(before);
            self.link(url, "", None);
            rest = after;
        }
        self.literal(rest);
    }

    /// Literal text.
    pub fn literal(&mut self, text: &str) {
        if self.fenced {
            return self.pieces(text, Place::Fence);
        }
        for (index, line) in text.split('\n').enumerate() {
            if index > 0 {
                self.newline();
            }
            self.pieces(line, Place::Text);
        }
    }

    pub fn code(&mut self, code: &str) {
        self.style('`');
        self.pieces(code, Place::Code);
        self.end_style();
    }

    /// A link; its label alone if there is no linking to that address. Without a label it shows its address.
    pub fn link(&mut self, url: &str, label: &str, base: Option<&str>) {
        let label = label.trim();
        let Some(address) = escape::address(url, base) else {
            return self.literal(if label.is_empty() { url } else { label });
        };
        let mut link = format!("<{address}");
        if !label.is_empty() && label != url {
            link.push('|');
            escape::text(Place::Label, None, label, &mut link);
        }
        link.push('>');
        self.begin();
        self.open_styles();
        if self.fits(&link) {
            self.push(&link);
        } else {
            self.literal(if label.is_empty() { url } else { label });
        }
    }

    /// The text from here on is in this style.
    pub fn style(&mut self, mark: char) {
        self.styles.push((!self.styles.contains(&Some(mark))).then_some(mark));
    }

    pub fn end_style(&mut self) {
        if let Some(Some(mark)) = self.styles.pop()
            && self.open.contains(&mark)
        {
            while let Some(open) = self.open.pop() {
                self.close(open);
                if open == mark {
                    break;
                }
            }
        }
    }

    /// Begins a code block. It takes lines of its own, and no quote can hold it.
    pub fn fence(&mut self) {
        let quotes = std::mem::take(&mut self.quotes);
        self.begin();
        self.quotes = quotes;
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.push_if_fits("\n");
        }
        if !self.fits("```\n\n```") {
            return self.overflow();
        }
        self.push(FENCE);
        self.push("\n");
        self.fenced = true;
    }

    pub fn end_fence(&mut self) {
        if std::mem::take(&mut self.fenced) && !self.full {
            self.push(if self.out.ends_with('\n') { FENCE } else { "\n```" });
        }
    }

    pub fn quote(&mut self) {
        self.quotes += 1;
    }

    pub fn end_quote(&mut self) {
        self.quotes = self.quotes.saturating_sub(1);
    }

    pub fn indent(&mut self, depth: usize) {
        self.indent = depth;
    }

    pub fn bullet(&mut self, bullet: String) {
        self.bullet = Some(bullet);
    }

    /// At least so many line ends before the next text.
    pub fn gap(&mut self, lines: usize) {
        self.gap = self.gap.max(lines);
    }

    /// One line end more.
    pub fn newline(&mut self) {
        self.gap += 1;
    }

    /// Literal text, as much of it as there is room for.
    fn pieces(&mut self, text: &str, place: Place) {
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
            self.push_if_fits(EDGE.encode_utf8(&mut [0; 4]));
        }
        let mut escaped = String::with_capacity(text.len() + 16);
        escape::text(place, before, text, &mut escaped);
        if self.fits(&escaped) {
            return self.push(&escaped);
        }
        let mut before = before;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            escaped.clear();
            escape::character(place, before, character, characters.peek().copied(), &mut escaped);
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
            self.close_all();
            let blanks = self.out.len() - self.out.trim_end_matches(' ').len();
            self.out.truncate(self.out.len() - blanks);
            self.used -= blanks;
        }
        for line in 0..if fresh { 0 } else { gap.min(2) } {
            // A blank line within a quote is a part of it.
            let quoted = line > 0 && self.quotes.min(self.last_quotes) > 0;
            self.push_if_fits(if quoted { ">\n" } else { "\n" });
        }
        self.last_quotes = self.quotes;
        if !fresh && gap == 0 {
            return;
        }
        if self.quotes > 0 {
            self.push_if_fits("> ");
        }
        let bullet = self.bullet.take();
        let indent =
            if bullet.is_some() { self.indent.saturating_sub(1) * 4 } else { (self.indent * 4).saturating_sub(1) };
        self.push_if_fits(&" ".repeat(indent.min(40)));
        if let Some(bullet) = bullet {
            self.push_if_fits(&bullet);
        }
    }

    fn open_styles(&mut self) {
        if self.full {
            return;
        }
        let wanted: Vec<char> = self.styles.iter().copied().flatten().collect();
        for mark in wanted.into_iter().skip(self.open.len()) {
            if self.closed || self.out.ends_with(char::is_alphanumeric) {
                self.push_if_fits(EDGE.encode_utf8(&mut [0; 4]));
            }
            // Its closing mark has to fit too.
            if self.full || !self.fits("**") {
                return self.overflow();
            }
            self.push(mark.encode_utf8(&mut [0; 4]));
            self.open.push(mark);
        }
    }

    fn close_all(&mut self) {
        while let Some(mark) = self.open.pop() {
            self.close(mark);
        }
    }

    fn close(&mut self, mark: char) {
        if !self.full {
            self.push(mark.encode_utf8(&mut [0; 4]));
            self.closed = true;
        }
    }

    /// Room is kept for the ellipsis and for all that has to be closed.
    fn fits(&self, piece: &str) -> bool {
        let reserve = 1 + self.open.len() + if self.fenced { FENCE.len() + 1 } else { 0 };
        !self.full && self.used + width(piece) + reserve <= self.max
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
            self.used += width(piece);
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
        while let Some(mark) = self.open.pop() {
            self.out.push(mark);
        }
        if self.fenced {
            self.out.push('\n');
            self.out.push_str(FENCE);
        }
        self.full = true;
    }
}
