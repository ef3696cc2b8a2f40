//! What each service reads, and what of it literal text must not mean there.

use super::escape::{Address, Place, plain};
use super::{Dialect, Quote};

/// Parts what would mean something together, without being seen.
const APART: char = '\u{200b}';

/// Slack's mrkdwn, and what imitates it.
///
/// `&`, `<` and `>` are escaped. The formatting characters can't be escaped in mrkdwn; where a literal one would format
/// (`*so*`, not `2 * 3` or `snake_case`), a look-alike takes its place.
pub static MRKDWN: Dialect = Dialect {
    character: mrkdwn,
    special: b"&<>|`*_~",
    marks: [("*", "*"), ("_", "_"), ("~", "~"), ("`", "`")],
    edge: "\u{200b}",
    across_lines: false,
    code_alone: false,
    fence: ("```\n", "\n```"),
    quote: Quote::Lines("> ", ">\n"),
    line: "\n",
    paragraph: "\n\n",
    item: "\n",
    bullets: ["• ", "◦ "],
    indent: 4,
    hang: Some(1),
    link: |address, label, out| match label {
        Some(label) => out.extend(["<", address, "|", label, ">"]),
        None => out.extend(["<", address, ">"]),
    },
    address: Address { ampersand: "&amp;", percent: "" },
};

fn mrkdwn(place: Place, before: Option<char>, it: char, rest: &str, out: &mut String) {
    let after = rest.chars().next();
    match it {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        // At the beginning of a line even an escaped one makes a quote.
        '>' if place == Place::Text && matches!(before, None | Some('\n')) => out.push_str("\u{200b}&gt;"),
        '>' => out.push_str("&gt;"),
        '|' if place == Place::Label => out.push('\u{2223}'),
        '`' if place == Place::Code => out.push('\u{2cb}'),
        '`' if place == Place::Fence && (before == Some('`') || after == Some('`')) => out.push('\u{2cb}'),
        '*' | '_' | '~' | '`' if matches!(place, Place::Text | Place::Label) && formats(before, after) => {
            out.push(match it {
                '*' => '\u{2217}',
                '_' => '\u{2cd}',
                '~' => '\u{223c}',
                _ => '\u{2cb}',
            });
        }
        _ => plain(place, it, out),
    }
}

/// Whether a formatting character could open or close something between these: it can't inside of a word, nor between blanks.
fn formats(before: Option<char>, after: Option<char>) -> bool {
    let in_word = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    let apart = before.is_none_or(char::is_whitespace) && after.is_some_and(char::is_whitespace);
    !(apart || in_word(before) && in_word(after))
}

/// The HTML that Telegram's Bot API takes with `parse_mode` `HTML`.
///
/// `&`, `<`, `>` and `"` are escaped; an `@name` is parted by an invisible space, as Telegram would tell its owner.
pub static TELEGRAM_HTML: Dialect = Dialect {
    character: telegram,
    special: b"&<>\"@",
    marks: [("<b>", "</b>"), ("<i>", "</i>"), ("<s>", "</s>"), ("<code>", "</code>")],
    edge: "",
    across_lines: true,
    // Neither may hold another.
    code_alone: true,
    fence: ("<pre>", "</pre>"),
    quote: Quote::Tags("<blockquote>", "</blockquote>"),
    line: "\n",
    paragraph: "\n\n",
    item: "\n",
    bullets: ["• ", "◦ "],
    indent: 4,
    hang: Some(1),
    link: |address, label, out| out.extend(["<a href=\"", address, "\">", label.unwrap_or(address), "</a>"]),
    address: Address { ampersand: "&amp;", percent: "" },
};

fn telegram(place: Place, before: Option<char>, it: char, rest: &str, out: &mut String) {
    match it {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        '"' => out.push_str("&quot;"),
        '@' if matches!(place, Place::Text | Place::Label)
            && !before.is_some_and(char::is_alphanumeric)
            && rest.chars().next().is_none_or(|next| next.is_ascii_alphabetic()) =>
        {
            out.extend([it, APART]);
        }
        _ => plain(place, it, out),
    }
}

/// Discord's Markdown, of a message or an embed.
///
/// What formats is escaped by a backslash. That would not keep a mention from calling people, so `@everyone`, `@here` and
/// `<@…` are parted by an invisible space; have `"allowed_mentions": {"parse": []}` in the message as well.
pub static DISCORD: Dialect = Dialect {
    character: discord,
    special: b"\\*_~`|<>[]#-+.:@",
    marks: [("**", "**"), ("*", "*"), ("~~", "~~"), ("`", "`")],
    edge: "\u{200b}",
    across_lines: true,
    code_alone: false,
    fence: ("```\n", "\n```"),
    quote: Quote::Lines("> ", "> \n"),
    line: "\n",
    paragraph: "\n\n",
    item: "\n",
    bullets: ["- ", "- "],
    indent: 2,
    hang: Some(0),
    link: |address, label, out| match label {
        Some(label) => out.extend(["[", label, "](<", address, ">)"]),
        None => out.extend(["<", address, ">"]),
    },
    address: Address { ampersand: "&", percent: "()@" },
};

fn discord(place: Place, before: Option<char>, it: char, rest: &str, out: &mut String) {
    let after = rest.chars().next();
    let calls = match it {
        // What follows may come in another piece.
        '@' => ["everyone", "here"].iter().any(|all| rest.starts_with(all) || all.starts_with(rest)),
        '<' => after.is_none_or(|next| "@#:/atid".contains(next)),
        _ => false,
    };
    match (place, it) {
        (Place::Code, '`') => out.push('\u{2cb}'),
        (Place::Fence, '`') if before == Some('`') || after == Some('`') => out.push('\u{2cb}'),
        (Place::Code | Place::Fence, _) => plain(place, it, out),
        (_, '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '[' | ']') => out.extend(['\\', it]),
        (_, '#' | '-' | '+') if begins(before, after) => out.extend(['\\', it]),
        (_, '.') if numbers(before, after) => out.extend(['\\', it]),
        // `[label](address)` of text: the address must not be taken for one, nor `://` in a label.
        (Place::Label, ':') if rest.starts_with("//") => out.extend([it, APART]),
        _ => plain(place, it, out),
    }
    if calls {
        out.push(APART);
    }
}

/// Whether a sign could begin a heading or an item between these.
fn begins(before: Option<char>, after: Option<char>) -> bool {
    before.is_none_or(|before| before.is_whitespace() || "#-".contains(before))
        && after.is_none_or(|after| after.is_whitespace() || after == '#')
}

/// Whether a sign could end the number of an item between these.
fn numbers(before: Option<char>, after: Option<char>) -> bool {
    before.is_some_and(|before| before.is_ascii_digit()) && after.is_none_or(char::is_whitespace)
}

/// The Markdown of a `TextBlock` in Microsoft's Adaptive Cards: bold, italic, lists and links, and nothing else.
///
/// What formats is escaped by a backslash; tags, entities and functions like `{{DATE(…)}}` are parted by an invisible
/// space. Code, headings and quotes are set as text.
pub static ADAPTIVE_CARD: Dialect = Dialect {
    character: adaptive_card,
    special: b"\\*_[]`~<>&{#-+.)",
    marks: [("**", "**"), ("_", "_"), ("", ""), ("", "")],
    edge: "\u{200b}",
    across_lines: false,
    code_alone: false,
    fence: ("", ""),
    quote: Quote::Lines("", ""),
    // A single line end is a blank there, except between items.
    line: "\n\n",
    paragraph: "\n\n",
    item: "\r",
    bullets: ["- ", "- "],
    indent: 0,
    hang: None,
    link: |address, label, out| {
        out.push('[');
        match label {
            Some(label) => out.push_str(label),
            None => address.chars().for_each(|it| adaptive_card(Place::Label, Some(it), it, ".", out)),
        }
        out.extend(["](", address, ")"]);
    },
    address: Address { ampersand: "&", percent: "(){}" },
};

fn adaptive_card(place: Place, before: Option<char>, it: char, rest: &str, out: &mut String) {
    let after = rest.chars().next();
    match it {
        '\n' => out.push_str("\n\n"),
        '\\' | '*' | '_' | '[' | ']' | '`' | '~' | '>' => out.extend(['\\', it]),
        '#' | '-' | '+' if begins(before, after) => out.extend(['\\', it]),
        '.' | ')' if numbers(before, after) => out.extend(['\\', it]),
        '<' if after.is_none_or(|after| after.is_ascii_alphabetic() || "/!".contains(after)) => out.extend([it, APART]),
        '&' if after.is_none_or(|after| after.is_ascii_alphabetic() || after == '#') => out.extend([it, APART]),
        '{' if after.is_none_or(|after| after == '{') => out.extend([it, APART]),
        _ => plain(place, it, out),
    }
}

/// Text without any formatting, for mail, SMS and pagers.
pub static PLAIN: Dialect = Dialect {
    character: |place, _, it, _, out| plain(place, it, out),
    special: b"",
    marks: [("", ""), ("", ""), ("", ""), ("", "")],
    edge: "",
    across_lines: true,
    code_alone: false,
    fence: ("", ""),
    quote: Quote::Lines("> ", ">\n"),
    line: "\n",
    paragraph: "\n\n",
    item: "\n",
    bullets: ["• ", "◦ "],
    indent: 2,
    hang: Some(0),
    link: |address, label, out| match label {
        Some(label) => out.extend([label, " (", address, ")"]),
        None => out.push_str(address),
    },
    address: Address { ampersand: "&", percent: "" },
};
