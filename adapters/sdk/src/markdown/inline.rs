//! What stands in a line: code, links, entities, and what could be emphasis.

use super::emphasis::{DEEPEST, Piece, Run, settle};
use super::target::{self, Definitions, LONGEST_LABEL};
use super::{Inline, entities};

/// A bracket that may turn out to begin a link.
struct Bracket {
    /// Its piece.
    piece: usize,
    image: bool,
    /// Where its text begins.
    text: usize,
}

/// Reads the text of a block.
pub(super) fn parse(text: &str, definitions: &Definitions) -> Vec<Inline> {
    let mut scanner = Scanner {
        text,
        at: 0,
        definitions,
        literal: String::new(),
        pieces: Vec::new(),
        brackets: Vec::new(),
        within_link: 0,
        unclosed: Vec::new(),
    };
    while scanner.step() {}
    scanner.flush();
    settle(scanner.pieces).0
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    definitions: &'a Definitions,
    /// Text that is not a piece yet.
    literal: String,
    pieces: Vec<Piece>,
    brackets: Vec<Bracket>,
    /// So many of the brackets have a link within them, and can't be links any more: only images can.
    within_link: usize,
    /// Lengths of runs of backticks that nothing closes.
    unclosed: Vec<usize>,
}

impl Scanner<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn flush(&mut self) {
        if !self.literal.is_empty() {
            let text = std::mem::take(&mut self.literal);
            self.pieces.push(Piece::Settled(Inline::Text(text), 0));
        }
    }

    fn push(&mut self, inline: Inline, depth: usize) {
        self.flush();
        self.pieces.push(Piece::Settled(inline, depth));
    }

    /// Takes so many bytes as text.
    fn take(&mut self, length: usize) {
        let end = self.at + length;
        self.literal.push_str(self.text.get(self.at..end).unwrap_or_default());
        self.at = end;
    }

    fn step(&mut self) -> bool {
        let rest = self.rest();
        let plain = rest.bytes().position(|byte| b"\\`*_~[]!<&\n".contains(&byte)).unwrap_or(rest.len());
        let Some(special) = rest.as_bytes().get(plain).copied() else {
            self.take(plain);
            return false;
        };
        self.take(plain);
        match special {
            b'\\' => self.backslash(),
            b'`' => self.code(),
            b'*' | b'_' | b'~' => self.run(special),
            b'!' if self.rest().starts_with("![") => self.open(true),
            b'[' => self.open(false),
            b']' => self.close(),
            b'<' => self.angle(),
            b'&' => self.entity(),
            b'\n' => self.line_end(),
            _ => self.take(1),
        }
        true
    }

    fn backslash(&mut self) {
        match self.rest().as_bytes().get(1) {
            Some(b'\n') => {
                self.at += 1;
                self.line_end();
            }
            Some(next) if next.is_ascii_punctuation() => {
                self.at += 1;
                self.take(1);
            }
            _ => self.take(1),
        }
    }

    fn line_end(&mut self) {
        self.literal.truncate(self.literal.trim_end_matches(' ').len());
        self.push(Inline::Break, 0);
        let next = self.rest().get(1..).unwrap_or_default();
        self.at += 1 + next.len() - next.trim_start_matches(' ').len();
    }

    fn code(&mut self) {
        let length = run_length(self.rest(), b'`');
        let begin = self.at + length;
        let end = if self.unclosed.contains(&length) { None } else { closing_backticks(self.text, begin, length) };
        let Some(end) = end else {
            self.unclosed.push(length);
            return self.take(length);
        };
        let code = self.text.get(begin..end).unwrap_or_default().replace('\n', " ");
        let inner = code.strip_prefix(' ').and_then(|code| code.strip_suffix(' '));
        let code = inner.filter(|_| !code.trim().is_empty()).map(str::to_owned).unwrap_or(code);
        self.push(Inline::Code(code), 0);
        self.at = end + length;
    }

    fn run(&mut self, sign: u8) {
        let count = run_length(self.rest(), sign);
        let before = self.text.get(..self.at).and_then(|text| text.chars().next_back());
        let after = self.rest().get(count..).and_then(|text| text.chars().next());
        let blank = |side: Option<char>| side.is_none_or(char::is_whitespace);
        let mark = |side: Option<char>| side.is_some_and(|it| !it.is_alphanumeric() && !it.is_whitespace());
        let left = !blank(after) && (!mark(after) || blank(before) || mark(before));
        let right = !blank(before) && (!mark(before) || blank(after) || mark(after));
        let (opens, closes) = match sign {
            b'_' => (left && (!right || mark(before)), right && (!left || mark(after))),
            _ => (left, right),
        };
        if !(opens || closes) || (sign == b'~' && count > 2) {
            return self.take(count);
        }
        self.flush();
        self.pieces.push(Piece::Run(Run { sign, count, whole: count, opens, closes }));
        self.at += count;
    }

    fn open(&mut self, image: bool) {
        self.flush();
        let length = if image { 2 } else { 1 };
        let bracket = self.rest().get(..length).unwrap_or_default().to_owned();
        self.at += length;
        self.brackets.push(Bracket { piece: self.pieces.len(), image, text: self.at });
        self.pieces.push(Piece::Settled(Inline::Text(bracket), 0));
    }

    fn close(&mut self) {
        let bracket = self.brackets.pop().filter(|open| open.image || self.brackets.len() >= self.within_link);
        self.within_link = self.within_link.min(self.brackets.len());
        let Some((bracket, (url, end))) = bracket.and_then(|open| self.target(&open).map(|target| (open, target)))
        else {
            return self.take(1);
        };
        self.flush();
        let mut inside = self.pieces.split_off(bracket.piece);
        inside.remove(0);
        let (label, depth) = settle(inside);
        if depth < DEEPEST {
            self.pieces.push(Piece::Settled(Inline::Link(url, label), depth + 1));
        } else {
            self.pieces.extend(label.into_iter().map(|inline| Piece::Settled(inline, depth)));
        }
        if !bracket.image {
            self.within_link = self.brackets.len();
        }
        self.at = end;
    }

    /// Where a link leads whose closing bracket is here, and where it ends.
    fn target(&self, bracket: &Bracket) -> Option<(String, usize)> {
        let label = self.text.get(bracket.text..self.at)?;
        let behind = self.at + 1;
        if self.text.get(behind..)?.starts_with('(')
            && let Some(target) = target::in_brackets(self.text, behind + 1)
        {
            return Some(target);
        }
        let mut end = behind;
        let mut label = label;
        if let Some(explicit) = self.text.get(behind..)?.strip_prefix('[')
            && let Some(length) = explicit.bytes().take(LONGEST_LABEL).position(|byte| byte == b']')
        {
            end = behind + length + 2;
            label = if length == 0 { label } else { explicit.get(..length)? };
        }
        if label.len() > LONGEST_LABEL {
            return None;
        }
        Some((self.definitions.get(label)?.to_owned(), end))
    }

    fn angle(&mut self) {
        let rest = self.rest();
        // Neither an address nor a tag goes over a line's end or into another.
        let length = rest.bytes().skip(1).position(|byte| b"<>\n".contains(&byte)).map(|length| length + 1);
        let Some(length) = length.filter(|length| rest.as_bytes().get(*length) == Some(&b'>')) else {
            return self.take(1);
        };
        let inside = rest.get(1..length).unwrap_or_default().to_owned();
        let end = self.at + length + 1;
        if let Some(url) = target::autolink(&inside) {
            self.push(Inline::Link(url, vec![Inline::Text(inside)]), 1);
        } else if inside.starts_with(|first: char| first.is_ascii_alphabetic() || "/!?".contains(first)) {
            self.push(Inline::Html(format!("<{inside}>")), 0);
        } else {
            return self.take(1);
        }
        self.at = end;
    }

    fn entity(&mut self) {
        match entities::at(self.rest()) {
            Some((character, length)) => {
                self.literal.push(character);
                self.at += length;
            }
            None => self.take(1),
        }
    }
}

fn run_length(text: &str, sign: u8) -> usize {
    text.bytes().take_while(|byte| *byte == sign).count()
}

fn closing_backticks(text: &str, from: usize, length: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += text.get(at..)?.find('`')?;
        let run = run_length(text.get(at..)?, b'`');
        if run == length {
            return Some(at);
        }
        at += run;
    }
}
