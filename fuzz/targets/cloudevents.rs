//! CloudEvents in each of their shapes. An input looks like a request of HTTP: headers, an empty line, the body.

#![no_main]

use bytes::Bytes;
use herald::pipeline::incoming::{self, Post, Surroundings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|request: &[u8]| {
    let end = request.windows(2).position(|pair| pair == b"\n\n");
    let (head, body) = request.split_at(end.map_or(request.len(), |end| end + 2));
    let Ok(head) = std::str::from_utf8(head) else { return };
    let headers: Vec<(&str, &str)> = head.lines().filter_map(|line| line.split_once(": ")).collect();
    let post = Post {
        content_type: headers.iter().find(|(name, _)| *name == "content-type").map_or("", |(_, value)| value),
        ce_headers: headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce-")?, *value))).collect(),
        idempotency_key: headers.iter().find(|(name, _)| *name == "idempotency-key").map(|(_, value)| *value),
        body: Bytes::copy_from_slice(body),
    };
    let around = Surroundings { now: 1_793_600_000_000, app_url: None, new_id: &|| "evt_new".to_owned() };
    let Ok(read) = incoming::read(&post, &around) else { return };
    for event in read.events {
        assert!(!event.id.is_empty(), "an event without an id");
        let data: serde_json::Value = serde_json::from_str(event.data.get()).expect("data is JSON");
        assert!(data.is_object(), "data is an object: {data}");
        if let Some(url) = &event.url {
            assert!(url.starts_with("http://") || url.starts_with("https://"), "a link to {url}");
        }
    }
});
