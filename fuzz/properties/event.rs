//! Posts in Herald's own JSON shape: none may end in a panic, and what is kept of an event is that event.

use bytes::Bytes;
use herald::pipeline::incoming::{self, Post, Read, Surroundings};

/// Panics when the property does not hold.
pub fn check(body: &[u8]) {
    for content_type in ["application/json", "application/x-ndjson"] {
        let Ok(Read { events, .. }) = read(content_type, Bytes::copy_from_slice(body)) else { continue };
        for event in events {
            if let Some(url) = &event.url {
                let parsed = url::Url::parse(url).expect("a link is an absolute URL");
                assert!(matches!(parsed.scheme(), "http" | "https"), "a link to {url}");
            }
            // Receivers get the payload, and people replay it: it has to say the same.
            let again = read("application/json", event.payload.clone()).expect("a payload is an event by itself");
            let [again] = again.events.as_slice() else { panic!("a payload is one event") };
            assert_eq!(format!("{event:?}"), format!("{again:?}"));
        }
    }
}

fn read(content_type: &str, body: Bytes) -> Result<Read, incoming::BadInput> {
    let post = Post { content_type, body, ..Post::default() };
    incoming::read(&post, &Surroundings { now: 1_793_600_000_000, app_url: None, new_id: &|| "evt_new".to_owned() })
}
