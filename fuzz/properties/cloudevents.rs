//! CloudEvents in each of their shapes. An input looks like a request of HTTP: headers, an empty line, the body.

use bytes::Bytes;
use herald::pipeline::incoming::{self, Post, Surroundings};

/// Panics when the property does not hold.
pub fn check(request: &[u8]) {
    let end = request.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = request.split_at(end.map_or(request.len(), |end| end + 2));
    let Ok(head) = std::str::from_utf8(head) else { return };
    let headers: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let post = Post {
        content_type: headers.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, value)| value),
        ce_headers: headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce-")?, *value))).collect(),
        idempotency_key: headers.iter().find(|(name, _)| *name == "idempotency-key").map(|(_, value)| *value),
        body: Bytes::copy_from_slice(body),
        ..Post::default()
    };
    let around = Surroundings { now: 1_793_600_000_000, app_url: None, new_id: &|| "evt_new".to_owned() };
    let Ok(read) = incoming::read(&post, &around) else { return };
    for event in read.events {
        assert!(!event.id.is_empty(), "an event without an id");
        // As it came, whatever its numbers: JSON sets them no limits (RFC 8259, section 6), so Herald doesn't.
        let data: serde_json::Result<&serde_json::value::RawValue> = serde_json::from_str(event.data.get());
        assert!(data.is_ok_and(|data| data.get().starts_with('{')), "data is an object: {}", event.data);
        if let Some(url) = &event.url {
            assert!(url.starts_with("http://") || url.starts_with("https://"), "a link to {url}");
        }
    }
}
