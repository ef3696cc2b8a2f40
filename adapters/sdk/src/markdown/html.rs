//! Blocks of HTML: they stay the text that they are, and nothing in them is Markdown.

/// The names of tags that begin a block, which ends at an empty line.
const BLOCKS: &str = " address article aside blockquote body caption center col colgroup dd details dialog div dl dt fieldset \
                      figcaption figure footer form h1 h2 h3 h4 h5 h6 head header hr html iframe legend li link main menu \
                      nav ol option p section source summary table tbody td tfoot th thead title tr ul ";

/// What ends the block that a line begins, if it begins one: a mark in a line, or an empty line if that is empty.
pub(super) fn end_of(text: &str, in_paragraph: bool) -> Option<&'static str> {
    let inside = text.strip_prefix('<')?;
    if inside.starts_with("!--") {
        return Some("-->");
    }
    if inside.starts_with('?') {
        return Some("?>");
    }
    if let Some(declared) = inside.strip_prefix('!') {
        return declared.starts_with(|first: char| first.is_ascii_alphabetic()).then_some(">");
    }
    let closing = inside.strip_prefix('/');
    let tag = closing.unwrap_or(inside);
    let length = tag.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let (name, rest) = tag.split_at_checked(length)?;
    let name = name.to_ascii_lowercase();
    let ends = rest.is_empty() || rest.starts_with([' ', '>']) || rest.starts_with("/>");
    match name.as_str() {
        "" => None,
        "script" if ends && closing.is_none() => Some("</script>"),
        "pre" if ends && closing.is_none() => Some("</pre>"),
        "style" if ends && closing.is_none() => Some("</style>"),
        _ if ends && BLOCKS.contains(&[" ", &name, " "].concat()) => Some(""),
        // Any other tag begins one if it is all that there is in its line.
        _ => {
            (!in_paragraph && ends && rest.trim_end().strip_suffix('>').is_some_and(|rest| !rest.contains(['<', '>'])))
                .then_some("")
        }
    }
}
