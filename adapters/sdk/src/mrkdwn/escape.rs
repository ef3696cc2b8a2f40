//! What a literal character, an address and a bare address in a text become.

/// No service takes longer ones.
const LONGEST_URL: usize = 2000;

/// Where literal text stands: what would be special there differs.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    Text,
    /// A link's label ends at `>`, and is parted from the address by `|`.
    Label,
    /// Between single backticks: nothing formats, a backtick ends it.
    Code,
    /// Between three backticks.
    Fence,
}

/// Hands literal text on as mrkdwn. `before` is what stands before it in the original text.
pub(super) fn text(place: Place, before: Option<char>, text: &str, buffer: &mut String) {
    let (mut before, mut rest) = (before, text);
    while !rest.is_empty() {
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        let (run, special) = rest.split_at_checked(plain).unwrap_or((rest, ""));
        buffer.push_str(run);
        before = run.chars().next_back().or(before);
        let mut characters = special.chars();
        if let Some(it) = characters.next() {
            rest = characters.as_str();
            character(place, before, it, rest.chars().next(), buffer);
            before = Some(it);
        } else {
            rest = "";
        }
    }
}

/// Whether a character is itself wherever it stands: most of them are.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'&' | b'<' | b'>' | b'|' | b'`' | b'*' | b'_' | b'~')
}

/// Hands a literal character on as mrkdwn. The neighbours are those in the original text.
pub(super) fn character(place: Place, before: Option<char>, it: char, after: Option<char>, buffer: &mut String) {
    match it {
        '&' => buffer.push_str("&amp;"),
        '<' => buffer.push_str("&lt;"),
        // At the beginning of a line even an escaped one makes a quote.
        '>' if place == Place::Text && matches!(before, None | Some('\n')) => buffer.push_str("\u{200b}&gt;"),
        '>' => buffer.push_str("&gt;"),
        '|' if place == Place::Label => buffer.push('\u{2223}'),
        '`' if place == Place::Code => buffer.push('\u{2cb}'),
        '`' if place == Place::Fence && (before == Some('`') || after == Some('`')) => buffer.push('\u{2cb}'),
        '*' | '_' | '~' | '`' if matches!(place, Place::Text | Place::Label) && formats(before, after) => {
            buffer.push(match it {
                '*' => '\u{2217}',
                '_' => '\u{2cd}',
                '~' => '\u{223c}',
                _ => '\u{2cb}',
            });
        }
        '\n' | '\t' if matches!(place, Place::Text | Place::Fence) => buffer.push(it),
        _ if it.is_whitespace() => buffer.push(' '),
        _ if it.is_control() => {}
        _ => buffer.push(it),
    }
}

/// Whether a formatting character could open or close something between these: it can't inside of a word, nor between blanks.
fn formats(before: Option<char>, after: Option<char>) -> bool {
    let in_word = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    let apart = before.is_none_or(char::is_whitespace) && after.is_some_and(char::is_whitespace);
    !(apart || in_word(before) && in_word(after))
}

/// The address as it may stand in a link; none if it is neither a web nor a mail address.
pub(super) fn address(url: &str, base: Option<&str>) -> Option<String> {
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
        if part.bytes().all(|byte| byte.is_ascii_graphic() && !b"&<>|\"`\\".contains(&byte)) {
            address.push_str(part);
            continue;
        }
        for character in part.chars() {
            match character {
                '&' => address.push_str("&amp;"),
                '<' | '>' | '|' | '"' | '`' | '\\' | ' ' => percent(character, &mut address),
                _ if character.is_control() || character.is_whitespace() => percent(character, &mut address),
                _ => address.push(character),
            }
        }
    }
    Some(address)
}

fn percent(character: char, address: &mut String) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        address.push('%');
        for digit in [byte >> 4, byte & 15] {
            address.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
        }
    }
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
