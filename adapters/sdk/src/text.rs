//! Short texts for people: shortening, single lines, durations, labels.

use std::borrow::Cow;

/// How long a text may be, and how its service counts. A plain number is UTF-16 units, which is how most services count:
/// no other way of counting characters gives more.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Max {
    /// Unicode's characters (code points).
    Characters(usize),
    /// Bytes of UTF-8.
    Bytes(usize),
    /// UTF-16 units, as JavaScript and Java have them.
    Utf16(usize),
}

impl From<usize> for Max {
    fn from(max: usize) -> Self {
        Self::Utf16(max)
    }
}

impl Max {
    /// How much of it a text takes.
    pub fn width(self, text: &str) -> usize {
        match self {
            Self::Bytes(_) => text.len(),
            // By bytes: the first of a character counts one, of one outside of the Basic Multilingual Plane perhaps two.
            Self::Characters(_) => text.bytes().map(|byte| usize::from(byte & 0xc0 != 0x80)).sum(),
            Self::Utf16(_) => {
                text.bytes().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)).sum()
            }
        }
    }

    /// All that there is.
    pub fn room(self) -> usize {
        match self {
            Self::Characters(room) | Self::Bytes(room) | Self::Utf16(room) => room,
        }
    }
}

/// The text if it is no longer than `max`, else as much of it as fits with an ellipsis at its end.
pub fn truncate(text: &str, max: impl Into<Max>) -> Cow<'_, str> {
    let max = max.into();
    if text.len() <= max.room() || max.width(text) <= max.room() {
        return Cow::Borrowed(text);
    }
    let mut room = max.room().saturating_sub(max.width("…"));
    let kept = text.char_indices().find_map(|(at, character)| {
        match room.checked_sub(max.width(character.encode_utf8(&mut [0; 4]))) {
            Some(left) => {
                room = left;
                None
            }
            None => text.get(..at),
        }
    });
    Cow::Owned([kept.unwrap_or_default().trim_end(), "…"].concat())
}

/// The number of characters as most services count them: in UTF-16 units.
pub fn width(text: &str) -> usize {
    Max::Utf16(0).width(text)
}

/// The text on one line: every run of white space is one space, other control characters are gone.
pub fn single_line(text: &str) -> String {
    if is_single_line(text) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        let start = line.len();
        line.extend((start > 0).then_some(' '));
        let blank = line.len();
        line.extend(word.chars().filter(|character| !character.is_control()));
        if line.len() == blank {
            line.truncate(start);
        }
    }
    line
}

/// Whether this is a single line already, as far as that can be seen quickly.
fn is_single_line(text: &str) -> bool {
    let mut after_blank = true;
    for byte in text.bytes() {
        match byte {
            b' ' if !after_blank => after_blank = true,
            b'!'..=b'~' => after_blank = false,
            _ => return false,
        }
    }
    !after_blank
}

/// A duration by its two largest units: `660.02` seconds are `11m 0s`.
pub fn duration(seconds: f64) -> String {
    if !(0.0..1e12).contains(&seconds) {
        return format!("{seconds}s");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let tenths = (seconds * 10.0).round() as u64;
    // Below ten seconds a tenth matters.
    if tenths < 100 {
        return match tenths % 10 {
            0 => format!("{}s", tenths / 10),
            tenth => format!("{}.{tenth}s", tenths / 10),
        };
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
    let total = seconds.round() as u64;
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60);
    match total {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {seconds}s"),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// A key as a label: `order_total-amount` and `orderTotalAmount` are both `Order total amount`.
pub fn label(key: &str) -> String {
    let mut label = String::with_capacity(key.len() + 4);
    let mut after_lower = false;
    for character in key.chars() {
        let separates = !character.is_alphanumeric();
        if (separates || (character.is_uppercase() && after_lower)) && !label.is_empty() && !label.ends_with(' ') {
            label.push(' ');
        }
        if !separates {
            match (label.is_empty(), after_lower) {
                (true, _) => label.extend(character.to_uppercase()),
                (false, true) => label.extend(character.to_lowercase()),
                (false, false) => label.push(character),
            }
        }
        after_lower = character.is_lowercase() || character.is_ascii_digit();
    }
    label.truncate(label.trim_end().len());
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_counts_characters_and_says_that_it_cut() {
        assert_eq!(truncate("abc", 3), "abc");
        assert_eq!(truncate("abcd", 3), "ab…");
        assert_eq!(truncate("äöüß", 4), "äöüß");
        assert_eq!(truncate("äöüß", 3), "äö…");
        assert_eq!(truncate("🦀🦀", 4), "🦀🦀");
        assert_eq!(truncate("🦀🦀", 3), "🦀…");
        assert_eq!(truncate("a bcd", 3), "a…");
        assert_eq!(truncate("abc", 0), "…");
        for text in ["", "aä\u{7ff}\u{800}€\u{ffff}\u{10000}🦀\u{10ffff}"] {
            assert_eq!(width(text), text.encode_utf16().count());
        }
        assert_eq!(truncate("🦀🦀🦀", Max::Characters(3)), "🦀🦀🦀");
        assert_eq!(truncate("🦀🦀🦀", Max::Characters(2)), "🦀…");
        assert_eq!(truncate("äöü", Max::Bytes(6)), "äöü");
        assert_eq!(truncate("äöüß", Max::Bytes(7)), "äö…");
        for room in 3..16 {
            for max in [Max::Characters(room), Max::Bytes(room), Max::Utf16(room)] {
                assert!(max.width(&truncate("a🦀äbc🦀 def🦀🦀", max)) <= room, "{max:?}");
            }
        }
    }

    #[test]
    fn a_single_line_has_no_control_characters() {
        assert_eq!(single_line(" a\r\n\tb \u{1b}[31m\u{0} c\u{7}"), "a b [31m c");
        assert_eq!(single_line("\u{0} \u{0}"), "");
        for (text, expected) in
            [("a b", "a b"), ("a  b", "a b"), (" a", "a"), ("a ", "a"), ("ä\u{a0}b", "ä b"), (" ", "")]
        {
            assert_eq!(single_line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_have_two_units() {
        for (seconds, expected) in [
            (660.018_644_571_304_3, "11m 0s"),
            (0.0, "0s"),
            (0.04, "0s"),
            (0.26, "0.3s"),
            (9.0, "9s"),
            (9.96, "10s"),
            (59.4, "59s"),
            (59.6, "1m 0s"),
            (3599.7, "1h 0m"),
            (3725.0, "1h 2m"),
            (90_061.0, "1d 1h"),
            (-1.0, "-1s"),
            (f64::NAN, "NaNs"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn keys_become_labels() {
        for (key, expected) in [
            ("order_total-amount", "Order total amount"),
            ("orderTotalAmount", "Order total amount"),
            ("customer.name", "Customer name"),
            ("HTTPStatus", "HTTPStatus"),
            ("http status", "Http status"),
            ("_x_", "X"),
            ("", ""),
        ] {
            assert_eq!(label(key), expected, "{key}");
        }
    }
}
