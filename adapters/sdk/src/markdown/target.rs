//! Where links lead: addresses and titles, in the line itself or defined elsewhere.

use super::entities;

/// Definitions of links that count, the longest label, address and title, and brackets within each other in an address.
const DEFINITIONS: usize = 100;
pub(super) const LONGEST_LABEL: usize = 999;
const LONGEST: usize = 4096;
const NESTED: usize = 32;

/// The addresses that links refer to by a label.
pub(super) struct Definitions(Vec<(String, String)>);

impl Definitions {
    /// Those that stand in these lines, one in each.
    pub fn of<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        let found = lines.filter_map(|line| definition(line.trim_start_matches([' ', '>'])));
        Self(found.take(DEFINITIONS).map(|(label, url)| (label.trim().to_owned(), url)).collect())
    }

    pub fn get(&self, label: &str) -> Option<&str> {
        let label = label.trim();
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(label)).map(|(_, url)| url.as_str())
    }
}

/// Reads `[label]: address "title"`.
pub(super) fn definition(line: &str) -> Option<(&str, String)> {
    let (label, rest) = line.strip_prefix('[')?.split_once("]:")?;
    if label.trim().is_empty() || label.contains(['[', ']']) || label.len() > LONGEST_LABEL {
        return None;
    }
    let rest = rest.trim();
    let (url, end) = destination(rest, 0).filter(|(url, _)| !url.is_empty())?;
    let title = rest.get(end..)?.trim();
    (title.is_empty() || title_end(title, 0) == Some(title.len())).then_some((label, url))
}

/// The address of `<scheme:…>` or `<name@host>`.
pub(super) fn autolink(inside: &str) -> Option<String> {
    if inside.bytes().any(|byte| byte.is_ascii_whitespace() || byte.is_ascii_control() || byte == b'<') {
        return None;
    }
    let scheme =
        inside.bytes().take(33).take_while(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(byte)).count();
    if (2..=32).contains(&scheme)
        && inside.as_bytes().get(scheme) == Some(&b':')
        && inside.starts_with(|first: char| first.is_ascii_alphabetic())
    {
        return Some(inside.to_owned());
    }
    let (name, host) = inside.split_once('@')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_mail = !name.is_empty() && name.bytes().all(is_name) && !host.is_empty() && host.bytes().all(is_host);
    is_mail.then(|| format!("mailto:{inside}"))
}

/// Reads `address "title")`, and says where it ends.
pub(super) fn in_brackets(text: &str, from: usize) -> Option<(String, usize)> {
    let (url, end) = destination(text, skip_blanks(text, from))?;
    let mut end_of_all = skip_blanks(text, end);
    if end_of_all > end
        && let Some(title) = title_end(text, end_of_all)
    {
        end_of_all = skip_blanks(text, title);
    }
    text.get(end_of_all..)?.starts_with(')').then_some((url, end_of_all + 1))
}

fn skip_blanks(text: &str, from: usize) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.bytes().take_while(u8::is_ascii_whitespace).count()
}

/// Reads an address, in angle brackets or without, and says where it ends.
fn destination(text: &str, from: usize) -> Option<(String, usize)> {
    let rest = text.get(from..)?;
    let angled = rest.starts_with('<');
    let (mut at, mut depth) = (usize::from(angled), 0);
    let bytes = rest.as_bytes();
    loop {
        match bytes.get(at).copied() {
            Some(b'\\') if bytes.get(at + 1).is_some_and(u8::is_ascii_punctuation) => at += 1,
            Some(b'>') if angled => return Some((unescape(rest.get(1..at)?), from + at + 1)),
            None | Some(b'<' | b'\n') if angled => return None,
            Some(b'(') if !angled => depth += 1,
            Some(b')') if !angled && depth > 0 => depth -= 1,
            None | Some(b')' | b'\0'..=b' ') if !angled => break,
            _ => {}
        }
        at += 1;
        if depth > NESTED || at > LONGEST {
            return None;
        }
    }
    (depth == 0).then_some((unescape(rest.get(..at)?), from + at))
}

/// Where a title ends that begins here.
fn title_end(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(from..)?;
    let close = match rest.bytes().next()? {
        quote @ (b'"' | b'\'') => quote,
        b'(' => b')',
        _ => return None,
    };
    let mut escaped = false;
    let end = rest.bytes().skip(1).take(LONGEST).position(|byte| {
        let ends = byte == close && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    Some(from + end + 2)
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '&']) {
        let (before, special) = rest.split_at_checked(at).unwrap_or((rest, ""));
        plain.push_str(before);
        let entity = entities::at(special).filter(|_| special.starts_with('&'));
        let mut behind = special.chars();
        let sign = behind.next();
        rest = behind.as_str();
        if let Some((character, length)) = entity {
            plain.push(character);
            rest = special.get(length..).unwrap_or_default();
        } else if sign == Some('\\') && rest.starts_with(|next: char| next.is_ascii_punctuation()) {
            plain.extend(behind.next());
            rest = behind.as_str();
        } else {
            plain.extend(sign);
        }
    }
    plain.push_str(rest);
    plain
}
