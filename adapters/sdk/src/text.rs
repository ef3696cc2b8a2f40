//! Short texts for people: shortening, single lines, durations, labels.

use std::borrow::Cow;

/// At most `max` characters, the last of them an ellipsis when something was cut off.
///
/// Characters are counted in UTF-16 units, which is how most services count; no other way of counting gives more.
pub fn truncate(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max || width(text) <= max {
        return Cow::Borrowed(text);
    }
    let mut room = max.saturating_sub(1);
    let kept = text.char_indices().find_map(|(at, character)| match room.checked_sub(character.len_utf16()) {
        Some(left) => {
            room = left;
            None
        }
        None => text.get(..at),
    });
    Cow::Owned(format!("{}…", kept.unwrap_or_default().trim_end()))
}

/// The number of characters as services count them: in UTF-16 units.
pub fn width(text: &str) -> usize {
    // By bytes: the first of a character counts one, of one outside of the Basic Multilingual Plane two.
    text.bytes().map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(byte >= 0xf0)).sum()
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
    // Below ten seconds a tenth matters.
    if seconds < 9.95 {
        return format!("{seconds:.1}s").replace(".0s", "s");
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
        for max in 1..12 {
            assert!(width(&truncate("a🦀äbc🦀 def", max)) <= max);
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
