//! What is said of events that are not as they should be.

#![allow(clippy::unwrap_used)]

use super::*;

fn read_body(content_type: &str, body: &[u8]) -> Result<Read, BadInput> {
    let post = Post { content_type, body: Bytes::copy_from_slice(body), ..Post::default() };
    read(&post, &Surroundings { now: 7, app_url: None, new_id: &|| "new".to_owned() })
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (body, message) in [
        (
            &br#"{"type": "a", "time": 5}"#[..],
            "`time`: invalid type: integer `5`, expected a string at line 1 column 23",
        ),
        (br#"{"type": "a", "time": "x\ty"}"#, "`time` is not a time since 1970 by RFC 3339: \"x\\ty\""),
        (br#"{"type": "a", "time": "1", "time": "2"}"#, "duplicate field `time` at line 1 column 33"),
        (br#"{"type": "\ud800"}"#, "not valid JSON: unexpected end of hex escape at line 1 column 17"),
        (br#"{"type": "a"} x"#, "not valid JSON: trailing characters at line 1 column 15"),
        (b"{\"type\": \"a\", \"x\": \"\xff\"}", "not UTF-8: invalid utf-8 sequence of 1 bytes from index 20"),
        (b"\xef\xbb\xbf{}", "not valid JSON: expected value at line 1 column 1"),
    ] {
        assert_eq!(read_body("", body).unwrap_err().message, message);
    }
}

#[test]
fn a_payload_is_the_events_own_bytes() {
    let one = r#" {"type": "a", "time": "1970-01-01T00:00:\u00300.005Z"} "#;
    let event = read_body("", one.as_bytes()).unwrap().events.remove(0);
    assert_eq!((&*event.payload, event.occurred_at), (one.as_bytes(), 5));
    let list = read_body("", format!("\n[{one},{one}]").as_bytes()).unwrap();
    let lines = read_body("application/jsonl", format!("{one}\r\n\n\x0c{one}").as_bytes()).unwrap();
    for event in list.events.iter().chain(&lines.events) {
        assert_eq!(event.payload, one.trim());
    }
    assert_eq!((list.events.len(), lines.events.len()), (2, 2));
}
