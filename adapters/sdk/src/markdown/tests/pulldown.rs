//! The parser beside `pulldown-cmark`, which knows all of `CommonMark`.

#![allow(clippy::format_push_string, clippy::match_same_arms)] // An outline reads best piece by piece.

use pulldown_cmark::{Event, LinkType, Options, Parser, Tag, TagEnd};

use crate::markdown::{Block, Inline, parse};

/// What people write, put together at random: the same tree as `pulldown-cmark`'s, as far as text shows it.
#[test]
fn the_parser_agrees_with_pulldown_cmark() {
    const LINES: &[&str] = &[
        "plain text",
        "**bold** and *it*",
        "a_b_c and 2 * 3",
        "# Heading",
        "## *Head* ##",
        "",
        "",
        "- item",
        "- **item**: x",
        "  - nested",
        "1. one",
        "2. two",
        "> quote",
        "> - item",
        "```",
        "    code",
        "[l](https://a.example/x \"t\")",
        "---",
        "<https://a.example>",
        "`code` ``a`b``",
        "***both***",
        "~~gone~~ ~x~",
        "![i](https://a.example/i.png)",
        "a\\*b\\_c",
        "line  ",
        "[r]",
        "[r]: https://r.example",
        "* star",
        "+ plus",
        "**a*b**c*",
        "&amp; &copy; &#65;",
        "[x](a(b)c)",
        "===",
        "<b>tag</b> x",
        "- [ ] task",
        "<div>",
        "<!-- *x* -->",
        "*a **b** c*",
        "un*frigging*believable",
        "[a [b](c) d](e)",
        "**bold",
        "text",
        "`open",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let (mut same, mut all) = (0, 0);
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..=state % 6 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text.push_str(LINES[usize::try_from(state >> 33).unwrap() % LINES.len()]);
            text.push('\n');
        }
        all += 1;
        let (ours, theirs) = (outline(&parse(&text)), pulldown(&text));
        if ours == theirs {
            same += 1;
        } else if all - same < 12 {
            eprintln!("{text:?}\n  ours   {ours}\n  theirs {theirs}");
        }
    }
    assert!(same * 1000 >= all * 990, "{same} of {all}");
}

/// A tree in a line: blocks in round brackets, styles in square ones.
fn outline(blocks: &[Block]) -> String {
    fn inlines(inlines: &[Inline], out: &mut String) {
        for inline in inlines {
            match inline {
                Inline::Text(text) | Inline::Html(text) => out.push_str(text),
                Inline::Code(code) => out.extend(["`", code, "`"]),
                Inline::Styled(style, inner) => {
                    out.push_str(&format!("[{style:?} "));
                    inlines_of(inner, out);
                    out.push(']');
                }
                Inline::Link(url, inner) => {
                    out.extend(["[", url, " "]);
                    inlines_of(inner, out);
                    out.push(']');
                }
                Inline::Break => out.push('|'),
            }
        }
    }
    let mut out = String::new();
    for block in blocks {
        match block {
            Block::Paragraph(text) => inlines(text, &mut out),
            Block::Heading(text) => {
                out.push_str("(h ");
                inlines(text, &mut out);
                out.push(')');
            }
            Block::Quote(inner) => out.extend(["(q ", &outline(inner), ")"]),
            Block::Code(code) => out.extend(["(c ", code.trim_end(), ")"]),
            Block::List(first, items) => {
                out.push_str(&format!("(l{first:?} "));
                for item in items {
                    out.push_str(&format!("(i{:?} {})", item.done, outline(&item.blocks)));
                }
                out.push(')');
            }
            Block::Rule => out.push_str("(r)"),
        }
        out.push(';');
    }
    out
}

fn inlines_of(inlines: &[Inline], out: &mut String) {
    let mut text = outline(&[Block::Paragraph(inlines.to_vec())]);
    text.pop();
    out.push_str(&text);
}

fn pulldown(markdown: &str) -> String {
    let mut out = String::new();
    let close = |out: &mut String, bracket: &str| {
        // The text of a tight item is no paragraph there.
        if out.ends_with(|last: char| !"; ".contains(last)) && bracket == ")" {
            out.push(';');
        }
        out.push_str(bracket);
    };
    for event in Parser::new_ext(markdown, Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS) {
        match event {
            Event::Start(Tag::Heading { .. }) => out.push_str("(h "),
            Event::End(TagEnd::Heading(_)) => out.push_str(");"),
            Event::Start(Tag::BlockQuote(_)) => out.push_str("(q "),
            Event::Start(Tag::CodeBlock(_)) => out.push_str("(c "),
            Event::End(TagEnd::CodeBlock) => {
                out.truncate(out.trim_end().len().max(out.rfind("(c ").unwrap_or(0) + 3));
                out.push_str(");");
            }
            Event::Start(Tag::List(first)) => {
                if out.ends_with(|last: char| !"; )".contains(last)) {
                    out.push(';');
                }
                out.push_str(&format!("(l{first:?} "));
            }
            Event::Start(Tag::Item) => out.push_str("(iNone "),
            Event::TaskListMarker(done) => {
                out.truncate(out.len() - "None ".len());
                out.push_str(&format!("{:?} ", Some(done)));
            }
            Event::End(TagEnd::Item) => close(&mut out, ")"),
            Event::End(TagEnd::List(_) | TagEnd::BlockQuote(_)) => out.push_str(");"),
            Event::End(TagEnd::Paragraph) => out.push(';'),
            Event::Start(Tag::Strong) => out.push_str("[Strong "),
            Event::Start(Tag::Emphasis) => out.push_str("[Emphasis "),
            Event::Start(Tag::Strikethrough) => out.push_str("[Strike "),
            Event::Start(Tag::Link { link_type: LinkType::Email, dest_url, .. }) => {
                out.extend(["[mailto:", &dest_url, " "]);
            }
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => out.extend(["[", &dest_url, " "]),
            Event::End(TagEnd::Strong | TagEnd::Emphasis | TagEnd::Strikethrough | TagEnd::Link | TagEnd::Image) => {
                out.push(']');
            }
            Event::Html(text) => out.push_str(&text.replace('\n', "|")),
            Event::End(TagEnd::HtmlBlock) => {
                out.truncate(out.trim_end_matches('|').len());
                out.push(';');
            }
            Event::Text(text) | Event::InlineHtml(text) => out.push_str(&text),
            Event::Code(code) => out.extend(["`", &code, "`"]),
            Event::SoftBreak | Event::HardBreak => out.push('|'),
            Event::Rule => out.push_str("(r);"),
            _ => {}
        }
    }
    out
}
