//! What literal text, an address and a bare address in a text become.

use std::borrow::Cow;

use super::Dialect;
use crate::request;

/// No service takes longer ones.
const LONGEST_URL: usize = 2000;

/// Where literal text stands: what would be special there differs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Text,
    /// In a link, beside its address.
    Label,
    /// Code within a line: nothing formats, only what ends it is special.
    Code,
    /// A block of code.
    Fence,
}

/// How addresses are written.
pub(super) struct Address {
    /// What an ampersand is written as.
    pub ampersand: &'static str,
    /// What is percent-encoded beside what always is.
    pub percent: &'static str,
}

/// Hands literal text on in a dialect. `before` is what stands before it in the original text.
pub(super) fn text(dialect: &Dialect, place: Place, before: Option<char>, text: &str, buffer: &mut String) {
    let (mut before, mut rest) = (before, text);
    while !rest.is_empty() {
        let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !dialect.special.contains(byte);
        let plain = rest.bytes().position(|byte| !is_plain(&byte)).unwrap_or(rest.len());
        let (run, special) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        buffer.push_str(run);
        before = run.chars().next_back().or(before);
        let mut characters = special.chars();
        if let Some(it) = characters.next() {
            rest = characters.as_str();
            (dialect.character)(place, before, it, rest, buffer);
            before = Some(it);
        } else {
            rest = "";
        }
    }
}

/// A character that means nothing in any dialect: line ends and tabs stay where there may be some.
pub(super) fn plain(place: Place, it: char, buffer: &mut String) {
    match it {
        '\n' | '\t' if matches!(place, Place::Text | Place::Fence) => buffer.push(it),
        _ if it.is_whitespace() => buffer.push(' '),
        _ => buffer.push(it),
    }
}

/// The text without control characters, which could hide what stands beside each other when they are gone.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    let hides = |it: &char| it.is_control() && !it.is_whitespace();
    // The bytes that such characters begin with.
    let may_hide = text.bytes().any(|byte| byte < b' ' || byte == 0x7f || byte == 0xc2);
    if may_hide && text.chars().any(|it| hides(&it)) {
        return Cow::Owned(text.chars().filter(|it| !hides(it)).collect());
    }
    Cow::Borrowed(text)
}

/// The address as it may stand in a link; none if it is neither a web nor a mail address.
pub(super) fn address(written: &Address, url: &str, base: Option<&str>) -> Option<String> {
    let url = url.trim();
    let origin = match base {
        // `//host` isn't a path.
        Some(base) if url.starts_with('/') && !url.starts_with("//") => origin(base)?,
        _ => "",
    };
    let absolute = if origin.is_empty() { url } else { origin };
    let allowed = ["https://", "http://", "mailto:"];
    let scheme = allowed
        .iter()
        .find(|scheme| absolute.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    if absolute.len() == scheme.len() || origin.len() + url.len() > LONGEST_URL {
        return None;
    }
    let mut address = String::with_capacity(origin.len() + url.len() + 8);
    for part in [origin, url] {
        if part.bytes().all(|byte| byte.is_ascii_graphic() && !b"&<>|\"`\\()@{}".contains(&byte)) {
            address.push_str(part);
            continue;
        }
        for character in part.chars() {
            match character {
                '&' => address.push_str(written.ampersand),
                '(' | ')' | '@' | '{' | '}' if written.percent.contains(character) => percent(character, &mut address),
                '<' | '>' | '|' | '"' | '`' | '\\' | ' ' => percent(character, &mut address),
                _ if character.is_control() || character.is_whitespace() => percent(character, &mut address),
                _ => address.push(character),
            }
        }
    }
    Some(address)
}

fn percent(character: char, address: &mut String) {
    character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| request::percent(byte, address));
}

/// `https://host:port` of an absolute address.
fn origin(base: &str) -> Option<&str> {
    let authority = base.find("://")? + 3;
    let end = base.get(authority..)?.find(['/', '?', '#']).map_or(base.len(), |end| authority + end);
    base.get(..end)
}

/// Splits a text at the first bare web address in it: what is before, the address, what is after.
pub(super) fn split_at_address(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let colon = from + text.get(from..)?.find("://")?;
        from = colon + 3;
        let Some(start) =
            ["https", "http"].iter().find_map(|scheme| text.get(..colon)?.strip_suffix(scheme).map(str::len))
        else {
            continue;
        };
        let (before, rest) = text.split_at_checked(start)?;
        if before.ends_with(char::is_alphanumeric) {
            continue;
        }
        let end =
            rest.find(|c: char| c.is_whitespace() || c.is_control() || "<>\"`|\\".contains(c)).unwrap_or(rest.len());
        let address = without_punctuation(rest.get(..end)?);
        if address.len() > from - start {
            return Some((before, address, rest.get(address.len()..)?));
        }
    }
}

/// A sentence's punctuation after an address isn't a part of it, nor is a bracket that was opened before it.
fn without_punctuation(mut address: &str) -> &str {
    loop {
        let opens = |bracket| address.matches(bracket).count();
        let cut = match address.chars().next_back() {
            Some('.' | ',' | ';' | ':' | '!' | '?' | '\'' | '*' | '_' | '~') => true,
            Some(')') => opens(')') > opens('('),
            Some(']') => opens(']') > opens('['),
            _ => false,
        };
        match address.get(..address.len() - 1) {
            Some(shorter) if cut => address = shorter,
            _ => return address,
        }
    }
}
