//! Markdown in, mrkdwn out; and what hostile text can't do.

mod dialects;
mod pulldown;

use super::{ADAPTIVE_CARD, DISCORD, Dialect, MRKDWN, PLAIN, TELEGRAM_HTML, is_plain, parse};
use crate::text::width;

const MAX: usize = 3000;
static DIALECTS: [&Dialect; 5] = [&MRKDWN, &TELEGRAM_HTML, &DISCORD, &ADAPTIVE_CARD, &PLAIN];

fn render(markdown: &str, max: usize, base: Option<&str>) -> String {
    MRKDWN.render(markdown, max, base)
}

fn literal(text: &str, max: usize) -> String {
    MRKDWN.literal(text, max)
}

fn link(url: &str, label: &str, max: usize) -> String {
    MRKDWN.link(url, label, max)
}

#[test]
fn markdown_becomes_mrkdwn() {
    for (markdown, expected) in [
        ("", ""),
        ("plain", "plain"),
        ("**bold** and *italic* and _too_ and ~~gone~~", "*bold* and _italic_ and _too_ and ~gone~"),
        ("***both***", "_*both*_"),
        ("**a *b* c**", "*a _b_ c*"),
        ("**a **b** c**", "*a b c*"),
        ("un**frigging**believable", "un\u{200b}*frigging*\u{200b}believable"),
        ("**a**_b_", "*a*\u{200b}_b_"),
        ("**a***b*", "*a*\u{200b}_b_"),
        ("**over\ntwo lines**", "*over*\n*two lines*"),
        ("`a < b`", "`a &lt; b`"),
        ("`` a`b ``", "`a\u{2cb}b`"),
        ("**`code`**", "*`code`*"),
        ("```rust\nlet x = 1 < 2;\n\nx\n```\nafter", "```\nlet x = 1 &lt; 2;\n\nx\n```\n\nafter"),
        ("````\n```\n````", "```\n\u{2cb}\u{2cb}\u{2cb}\n```"),
        ("    indented", "```\nindented\n```"),
        ("```\n```", "```\n```"),
        ("# Heading\ntext", "*Heading*\ntext"),
        ("## A **b** `c`\n\ntext", "*A b `c`*\ntext"),
        ("one\n\ntwo\nthree  \nfour", "one\n\ntwo\nthree\nfour"),
        ("> quoted\n> more\n>\n> again\n\nafter", "> quoted\n> more\n>\n> again\n\nafter"),
        ("before\n> quoted", "before\n\n> quoted"),
        ("> ```\n> code\n> ```", "```\ncode\n```"),
        ("- a\n- b\n\nafter", "• a\n• b\n\nafter"),
        ("- a\n  - b\n    - c\n- d", "• a\n    ◦ b\n        • c\n• d"),
        ("3. a\n4. b\n   more\n   - c\n5. d", "3. a\n4. b\n   more\n    ◦ c\n5. d"),
        ("- a\n\n  more\n\n- b", "• a\n   more\n• b"),
        ("- **a**: b", "• *a*: b"),
        ("- ```\n  code\n  ```\n- b", "• \n```\ncode\n```\n• b"),
        ("- [x] done\n- [ ] open", "• ☑ done\n• ☐ open"),
        ("text\n- a", "text\n\n• a"),
        ("a\n\n---\n\nb", "a\n\n───\n\nb"),
        ("&lt;b&gt; &amp; &copy;", "&lt;b&gt; &amp; ©"),
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        ("<div>\nx\n</div>\n\nafter", "&lt;div&gt;\nx\n&lt;/div&gt;\n\nafter"),
    ] {
        assert_eq!(render(markdown, MAX, None), expected, "{markdown:?}");
    }
}

#[test]
fn links_are_links() {
    for (markdown, expected) in [
        ("[label](https://a.example/x)", "<https://a.example/x|label>"),
        ("(by [a](http://a.example))", "(by <http://a.example|a>)"),
        ("**[label](https://a.example)**", "*<https://a.example|label>*"),
        ("[a **b** `c`](https://a.example)", "<https://a.example|a b c>"),
        ("[two\nlines](https://a.example)", "<https://a.example|two lines>"),
        ("[a | b > c](https://a.example)", "<https://a.example|a \u{2223} b &gt; c>"),
        ("[x](<https://a.example/a b|c>)", "<https://a.example/a%20b%7Cc|x>"),
        ("[x](https://a.example/?a=1&b=2)", "<https://a.example/?a=1&amp;b=2|x>"),
        ("[x](<https://a.example/\\<!here\\>>)", "<https://a.example/%3C!here%3E|x>"),
        ("[](https://a.example)", "<https://a.example>"),
        ("<https://a.example/x>", "<https://a.example/x>"),
        ("<me@a.example>", "<mailto:me@a.example|me@a.example>"),
        ("[mail](mailto:me@a.example)", "<mailto:me@a.example|mail>"),
        ("![plot](https://a.example/p.png)", "<https://a.example/p.png|plot>"),
        ("[![badge](https://a.example/b.svg)](https://a.example/ci)", "<https://a.example/ci|badge>"),
        ("see https://a.example/x_y_z, ok", "see <https://a.example/x_y_z>, ok"),
        ("(https://a.example/x(y)) http://b.example.", "(<https://a.example/x(y)>) <http://b.example>."),
        ("[rel](/p/x)", "rel"),
        ("[x](javascript:alert(1))", "x"),
        ("[x](JavaScript:alert(1))", "x"),
        ("[x](data:text/html,hi)", "x"),
        ("[x](//evil.example)", "x"),
        ("[x](!here)", "x"),
        ("[x](https://)", "x"),
    ] {
        assert_eq!(render(markdown, MAX, None), expected, "{markdown:?}");
    }
    assert_eq!(render("[x](/p/a?b)", MAX, Some("https://a.example:8080/y/z")), "<https://a.example:8080/p/a?b|x>");
    assert_eq!(render("[x](//evil.example)", MAX, Some("https://a.example/")), "x");
    assert_eq!(render("[x](/p)", MAX, Some("javascript://a/")), "x");
}

#[test]
fn literal_text_looks_as_it_is() {
    for (text, expected) in [
        ("a & b < c > d", "a &amp; b &lt; c &gt; d"),
        ("2 * 3, snake_case_name, a~b", "2 * 3, snake_case_name, a~b"),
        ("*so* _so_ ~so~ `so`", "\u{2217}so\u{2217} \u{2cd}so\u{2cd} \u{223c}so\u{223c} \u{2cb}so\u{2cb}"),
        ("```", "\u{2cb}\u{2cb}\u{2cb}"),
        ("<!channel> <@U1> <#C1> &lt;!here&gt;", "&lt;!channel&gt; &lt;@U1&gt; &lt;#C1&gt; &amp;lt;!here&amp;gt;"),
        ("> no quote", "\u{200b}&gt; no quote"),
        ("a\u{0}b\u{1b}[0m\u{202f}c", "ab[0m c"),
    ] {
        assert_eq!(literal(text, MAX), expected, "{text:?}");
    }
    assert_eq!(link("https://a.example", "*t* | <x>", MAX), "<https://a.example|\u{2217}t\u{2217} \u{2223} &lt;x&gt;>");
    assert_eq!(link("ftp://a.example", "*t*", MAX), "\u{2217}t\u{2217}");
}

#[test]
fn what_is_cut_off_is_cut_between_pieces() {
    assert_eq!(render("**abcdef**", 6, None), "*abc…*");
    assert_eq!(render("a&&b", 9, None), "a&amp;…");
    assert_eq!(render("```\nabcdefgh\n```", 13, None), "```\nabcd…\n```");
    assert_eq!(render("ab [label](https://a.example) x", 20, None), "ab label x");
    assert_eq!(render("ab [label](https://a.example) x", 7, None), "ab lab…");
    assert_eq!(render("- abc\n- def", 8, None), "• abc…");
    assert_eq!(literal("🦀🦀🦀", 5), "🦀🦀…");
}

/// Texts made of everything that is special to one dialect or the other, in every combination of a generator's whims.
fn hostile(seed: u64) -> String {
    const PIECES: &[&str] = &[
        "*",
        "**",
        "_",
        "~~",
        "`",
        "```",
        "\n",
        "\n\n",
        "> ",
        "- ",
        "  - ",
        "1. ",
        "# ",
        "<",
        ">",
        "&",
        "|",
        "[",
        "](",
        ")",
        "![",
        "<!channel>",
        "<@U1>",
        "<#C1|x>",
        "<!date^1^x|y>",
        "&lt;!here&gt;",
        "https://a.example/",
        "javascript:",
        "\\",
        " ",
        "a",
        "b c",
        "ä",
        "🦀",
        "\u{0}",
        "\t",
        "\r\n",
        "<div>",
        "<!--",
        "-->",
        "- [ ] ",
        "---",
        "\u{200b}",
        "[x]: https://a.example",
    ];
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    };
    (0..next(60)).map(|_| PIECES[next(PIECES.len())]).collect()
}

#[test]
fn no_text_can_forge_a_mention_or_break_the_cap() {
    for seed in 0..20_000 {
        let text = hostile(seed);
        let max = 6 + usize::try_from(seed % 200).unwrap();
        for (dialect, result) in
            [("markdown", render(&text, max, Some("https://b.example/"))), ("literal", literal(&text, max))]
        {
            assert!(width(&result) <= max, "{dialect} {max} {text:?} → {result:?}");
            assert_well_formed(&result, &text);
        }
    }
}

/// Every `<` begins a link to the web or a mail address and is closed on the same line; every `&` begins an entity.
fn assert_well_formed(result: &str, text: &str) {
    for (at, _) in result.match_indices('<') {
        let rest = &result[at + 1..];
        let inside = rest.split('>').next().unwrap();
        assert!(rest.contains('>') && !inside.contains(['<', '\n']), "open link: {text:?} → {result:?}");
        let address = inside.split('|').next().unwrap();
        assert!(
            ["https://", "http://", "mailto:"].iter().any(|scheme| address.starts_with(scheme)),
            "{text:?} → {result:?}"
        );
        assert!(inside.matches('|').count() <= 1, "two labels: {text:?} → {result:?}");
    }
    for (at, _) in result.match_indices('&') {
        let rest = &result[at..];
        assert!(
            ["&amp;", "&lt;", "&gt;"].iter().any(|entity| rest.starts_with(entity)),
            "cut entity: {text:?} → {result:?}"
        );
    }
    assert_eq!(result.matches("```").count() % 2, 0, "open code block: {text:?} → {result:?}");
}

#[test]
fn what_needs_no_parser_comes_out_as_it_does_of_one() {
    let words = [
        "a",
        "Word",
        "1.",
        "2)",
        "+",
        "-",
        "=",
        "#",
        ">",
        "|",
        ":",
        "://",
        "https://a.example/x?a=1",
        "!",
        "(c)",
        "\"q\"",
        "{#a}",
        "www.a.example",
        "a@b.example",
        "$x$",
        "^",
        "'s",
        "...",
        " ",
        "  ",
        "\t",
        "\n",
        "*",
        "~",
        "&",
        "<",
        "[",
        "ä",
        "\\",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut plain = 0;
    for _ in 0..200_000 {
        let mut markdown = String::new();
        for _ in 0..=state % 6 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            markdown.push_str(words[usize::try_from(state >> 33).unwrap() % words.len()]);
            markdown.push_str(if state & 1 == 0 { " " } else { "" });
        }
        for max in [MAX, 9] {
            assert!(
                !is_plain(&markdown) || render(&markdown, max, None) == MRKDWN.write(&parse(&markdown), max, None),
                "{markdown:?}"
            );
        }
        plain += u32::from(is_plain(&markdown));
    }
    assert!(plain > 5_000, "{plain}");
}

#[test]
fn literal_text_is_the_same_piece_by_piece() {
    use super::escape::{Place, text};
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..50_000 {
        let mut literal = String::new();
        for _ in 0..state % 9 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            literal.push(
                ['a', ' ', '*', '_', '`', '<', '>', '&', '|', '~', '\n', '\t', '\u{7}', 'ä', '\u{a0}', '"']
                    [usize::try_from(state >> 60).unwrap()],
            );
        }
        for place in [Place::Text, Place::Label, Place::Code, Place::Fence] {
            for dialect in DIALECTS {
                let (mut whole, mut pieces, mut before) = (String::new(), String::new(), None);
                text(dialect, place, before, &literal, &mut whole);
                let mut characters = literal.chars();
                while let Some(it) = characters.next() {
                    (dialect.character)(place, before, it, characters.as_str(), &mut pieces);
                    before = Some(it);
                }
                assert_eq!(whole, pieces, "{literal:?}");
            }
        }
    }
}
