//! Markdown in, the other dialects out; and what hostile text can't do there.

use super::{DIALECTS, MAX, hostile};
use crate::markdown::{ADAPTIVE_CARD, DISCORD, PLAIN, TELEGRAM_HTML};
use crate::text::Max;

/// One document with everything in it, in the other dialects.
const DOCUMENT: &str = "\
# Run *failed*

**3 of 4** done, `a < b`, ~~gone~~, see [the log](https://a.example/log?a=1&b=(2)) or https://a.example/x_y.

> quoted
> more

- one
  - two
- [x] done

1. first
2. second

```
let x = 1 < 2;
```
---
The *end*";

#[test]
fn telegram_gets_html() {
    assert_eq!(
        TELEGRAM_HTML.render(DOCUMENT, MAX, None),
        "<b>Run <i>failed</i></b>\n\
         <b>3 of 4</b> done, <code>a &lt; b</code>, <s>gone</s>, see \
         <a href=\"https://a.example/log?a=1&amp;b=(2)\">the log</a> or \
         <a href=\"https://a.example/x_y\">https://a.example/x_y</a>.\n\n\
         <blockquote>quoted\nmore</blockquote>\n\n\
         • one\n    ◦ two\n• ☑ done\n\n1. first\n2. second\n\n\
         <pre>let x = 1 &lt; 2;</pre>\n\n───\n\nThe <i>end</i>"
    );
    for (markdown, expected) in [
        ("**a `b` c**", "<b>a </b><code>b</code> <b>c</b>"),
        ("<b>x</b> &amp; \"q\"", "&lt;b&gt;x&lt;/b&gt; &amp; &quot;q&quot;"),
        ("@someone me@a.example", "@\u{200b}someone me@a.example"),
        ("[x](tg://user?id=1) [y](javascript:alert(1))", "x y"),
        ("[x](<https://a.example/\"onclick=\">)", "<a href=\"https://a.example/%22onclick=%22\">x</a>"),
        ("**two\nlines**", "<b>two\nlines</b>"),
        (
            "> a\n>\n> ```\n> b\n> ```\n>\n> c",
            "<blockquote>a</blockquote>\n\n<pre>b</pre>\n\n<blockquote>c</blockquote>",
        ),
        ("> a\n> > b", "<blockquote>a\n\nb</blockquote>"),
    ] {
        assert_eq!(TELEGRAM_HTML.render(markdown, MAX, None), expected, "{markdown:?}");
    }
    assert_eq!(TELEGRAM_HTML.render("**abcdefghijkl**", 12, None), "<b>abcd…</b>");
    assert_eq!(TELEGRAM_HTML.render("> abcdefghijkl", 30, None), "<blockquote>abcd…</blockquote>");
    assert_eq!(TELEGRAM_HTML.literal("a&&b", 9), "a&amp;…");
}

#[test]
fn discord_gets_its_markdown() {
    assert_eq!(
        DISCORD.render(DOCUMENT, MAX, None),
        "**Run *failed***\n\
         **3 of 4** done, `a < b`, ~~gone~~, see [the log](<https://a.example/log?a=1&b=%282%29>) or \
         <https://a.example/x_y>.\n\n\
         > quoted\n> more\n\n\
         - one\n  - two\n- ☑ done\n\n1. first\n2. second\n\n\
         ```\nlet x = 1 < 2;\n```\n\n───\n\nThe *end*"
    );
    for (text, expected) in [
        ("*so* _so_ ~~so~~ `so` ||so||", "\\*so\\* \\_so\\_ \\~\\~so\\~\\~ \\`so\\` \\|\\|so\\|\\|"),
        ("@everyone @here me@a.example", "@\u{200b}everyone @\u{200b}here me@a.example"),
        ("<@1> <@&2> <#3> <t:4>", "\\<\u{200b}@1\\> \\<\u{200b}@&2\\> \\<\u{200b}#3\\> \\<\u{200b}t:4\\>"),
        ("# no heading\n-# no subtext\n- no item", "\\# no heading\n\\-\\# no subtext\n\\- no item"),
        ("> no quote [x](https://a.example)", "\\> no quote \\[x\\](https://a.example)"),
        ("a - b #1 well-known", "a \\- b #1 well-known"),
        ("1. no item", "1\\. no item"),
    ] {
        assert_eq!(DISCORD.literal(text, MAX), expected, "{text:?}");
    }
    assert_eq!(DISCORD.render("`@everyone` `` ` ``", MAX, None), "`@\u{200b}everyone` `\u{2cb}`");
    assert_eq!(DISCORD.link("https://a.example/(x)", "a] (b)", MAX), "[a\\] (b)](<https://a.example/%28x%29>)");
    assert_eq!(DISCORD.render("abc**defghijkl**", 13, None), "abc\u{200b}**defg…**");
}

#[test]
fn an_adaptive_card_gets_the_markdown_that_it_knows() {
    assert_eq!(
        ADAPTIVE_CARD.render(DOCUMENT, MAX, None),
        "**Run _failed_**\n\n\
         **3 of 4** done, a < b, gone, see [the log](https://a.example/log?a=1&b=%282%29) or \
         [https://a.example/x\\_y](https://a.example/x_y).\n\n\
         quoted\n\nmore\n\n\
         - one\r- two\r- ☑ done\n\n1. first\r2. second\n\n\
         let x = 1 < 2;\n\n───\n\nThe _end_"
    );
    for (text, expected) in [
        ("*so* _so_ [x](y) `z`", "\\*so\\* \\_so\\_ \\[x\\](y) \\`z\\`"),
        ("<at>you</at> &lt; {{DATE(x)}}", "<\u{200b}at\\>you<\u{200b}/at\\> &\u{200b}lt; {\u{200b}{DATE(x)}}"),
        ("1. so\n- so\n# so", "1\\. so\n\n\\- so\n\n\\# so"),
        ("v1.2 (1) a-b", "v1.2 (1\\) a-b"),
    ] {
        assert_eq!(ADAPTIVE_CARD.literal(text, MAX), expected, "{text:?}");
    }
}

#[test]
fn plain_text_is_plain() {
    assert_eq!(
        PLAIN.render(DOCUMENT, MAX, None),
        "Run failed\n3 of 4 done, a < b, gone, see the log (https://a.example/log?a=1&b=(2)) or https://a.example/x_y.\n\n\
         > quoted\n> more\n\n• one\n  ◦ two\n• ☑ done\n\n1. first\n2. second\n\nlet x = 1 < 2;\n\n───\n\nThe end"
    );
    assert_eq!(PLAIN.render("[x](javascript:alert(1)) <b>\u{7}", MAX, None), "x <b>");
    assert_eq!(PLAIN.render("aäöü", Max::Bytes(6), None), "aä…");
    assert_eq!(PLAIN.render("🦀🦀🦀", Max::Characters(2), None), "🦀…");
}

#[test]
fn no_dialect_lets_hostile_text_call_or_break_out() {
    for seed in 0..1_000 {
        let text = hostile(seed)
            + ["@everyone", "<*\0*@1> @every*\0*one", "\"", "{\0{DATE(x)}}", "</b>"]
                [usize::try_from(seed % 5).unwrap()];
        let room = 30 + usize::try_from(seed % 200).unwrap();
        for max in [Max::Utf16(room), Max::Bytes(room), Max::Characters(room)] {
            for dialect in DIALECTS {
                for out in [dialect.render(&text, max, None), dialect.literal(&text, max)] {
                    assert!(max.width(&out) <= room, "{max:?} {text:?} → {out:?}");
                    assert!(!out.contains("javascript:alert"), "{text:?} → {out:?}");
                }
            }
            let html = TELEGRAM_HTML.render(&text, max, None);
            assert_tags_match(&html);
            for out in [DISCORD.render(&text, max, None), DISCORD.literal(&text, max)] {
                assert!(
                    !["@everyone", "@here", "<@", "<#"].iter().any(|call| out.contains(call)),
                    "{text:?} → {out:?}"
                );
            }
            let card = ADAPTIVE_CARD.render(&text, max, None);
            assert!(!card.contains("{{") && !card.contains("<b>") && !card.contains("</"), "{text:?} → {card:?}");
        }
    }
}

/// Tags are those that Telegram knows, and nest.
fn assert_tags_match(html: &str) {
    let mut open = Vec::new();
    for piece in html.split('<').skip(1) {
        let (tag, _) = piece.split_once('>').unwrap_or_else(|| panic!("a cut tag: {html:?}"));
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{html:?}");
        } else {
            let name = tag.split(' ').next().unwrap();
            assert!(["b", "i", "s", "code", "pre", "a", "blockquote"].contains(&name), "{html:?}");
            assert!(!(open.contains(&"code") || open.contains(&"pre")), "{html:?}");
            assert!(name == "a" || tag == name, "{html:?}");
            open.push(name);
        }
    }
    assert!(open.is_empty(), "an open tag: {html:?}");
}

/// A text that could take the square of its length: how long it takes is no one's to choose.
#[test]
fn parsing_takes_time_in_proportion_to_the_text() {
    for piece in [
        "*a ", "[", "](", "[a](", "<", "`a``b", "> ", "- ", "![", "**a *b ", "[a][", "~~a ", "_a_*b*", "&", "a](<b",
        "\\",
    ] {
        let text = piece.repeat(200_000 / piece.len());
        assert!(PLAIN.render(&text, MAX, None).len() <= 2 * MAX, "{piece:?}");
    }
}
