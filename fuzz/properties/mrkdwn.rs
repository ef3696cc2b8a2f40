//! Markdown of events as Slack's mrkdwn and in the other dialects: never too long, and nothing that means something there
//! but links.

use herald_channel::markdown::{ADAPTIVE_CARD, DISCORD, MRKDWN, PLAIN, TELEGRAM_HTML};
use herald_channel::text::{self, Max};

/// Panics when the property does not hold.
pub fn check(input: (u8, &str)) {
    // The ellipsis takes one.
    let (max, markdown) = (usize::from(input.0).max(1), input.1);
    for max in [max, 3000] {
        for out in [
            MRKDWN.render(markdown, max, None),
            MRKDWN.render(markdown, max, Some("https://app.example/runs/1")),
            MRKDWN.literal(markdown, max),
            MRKDWN.link(markdown, "label", max),
            MRKDWN.link("https://app.example/", markdown, max),
        ] {
            assert!(text::width(&out) <= max, "{} instead of {max}: {out:?}", text::width(&out));
            check_links(&out);
        }
    }
    // The longest thing that must stay whole is a block's tags.
    let room = usize::from(input.0).max(30);
    for dialect in [&TELEGRAM_HTML, &DISCORD, &ADAPTIVE_CARD, &PLAIN] {
        for max in [Max::Utf16(room), Max::Bytes(room), Max::Characters(room)] {
            let out = dialect.render(markdown, max, None);
            assert!(max.width(&out) <= room, "{} instead of {room}: {out:?}", max.width(&out));
        }
    }
    let out = DISCORD.render(markdown, 3000, None);
    assert!(!["@everyone", "@here", "<@"].iter().any(|call| out.contains(call)), "a call: {out:?}");
}

/// Each `<` begins a link to an address of the web or of mail, which ends, and each `&` one of Slack's three entities.
fn check_links(out: &str) {
    let mut rest = out;
    while let Some(at) = rest.find('<') {
        let link = &rest[at + 1..];
        let end = link.find('>').unwrap_or_else(|| panic!("a link without an end: {out:?}"));
        let link = link[..end].to_ascii_lowercase();
        assert!(
            ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)),
            "a link to {link:?}: {out:?}"
        );
        assert!(!link.contains('<'), "a link in a link: {out:?}");
        rest = &rest[at + 1 + end + 1..];
    }
    for (at, _) in out.match_indices('&') {
        let entity = &out[at..];
        assert!(["&amp;", "&lt;", "&gt;"].iter().any(|known| entity.starts_with(known)), "no entity: {out:?}");
    }
}
