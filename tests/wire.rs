//! Requests that are made by hand to be read in two ways, or in none: each is read in one way or refused, and the host goes
//! on. Whoever gets a second request past a proxy, or past a check, inside of a first one has smuggled it.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Setup, TestHost, within};

const EVENT: &str = "{\"type\":\"a\"}";
/// What nobody has asked for, if it is answered or stored.
const SMUGGLED: &str = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{\"type\":\"a\"}";

/// A host that waits for the rest of a request for longer than any test takes.
async fn start() -> TestHost {
    waiting("5m").await
}

/// A host that waits for the rest of a request for as long.
async fn waiting(request_timeout: &str) -> TestHost {
    let setup = Setup::new("");
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let server = format!("[server]\nrequest_timeout = \"{request_timeout}\"");
    std::fs::write(setup.config(), text.replace("[server]", &server)).unwrap();
    setup.start().await
}

/// All that is answered until the host closes, which it may do before it has heard everything.
async fn ask(address: SocketAddr, said: &[u8]) -> String {
    let mut stream = within("a connection", TcpStream::connect(address)).await.unwrap();
    let _ = within("the request to be taken", stream.write_all(said)).await;
    let mut heard = Vec::new();
    let _ = within("the end of the connection", stream.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

fn statuses(heard: &str) -> Vec<&str> {
    heard.split("HTTP/1.1 ").skip(1).map(|answer| answer.split(' ').next().unwrap()).collect()
}

/// The last that is asked on a connection.
const LAST: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// With these headers and this body, as they are; the last on its connection.
fn post(headers: &str, body: &str) -> String {
    format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n{body}")
}

/// Whether it answers, and how many events it has taken.
async fn well(host: &TestHost) -> u64 {
    assert_eq!(host.get("/healthz").await.0, 200);
    host.app.pipeline().totals().accepted()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused_and_nothing_of_it_is_done() {
    let host = start().await;
    let event = |headers: &str| post(headers, EVENT);
    let chunked = |headers: &str, body: &str| post(&format!("{headers}Transfer-Encoding: chunked\r\n"), body);
    let long = "f".repeat(17);
    let shapes = [
        // Lengths.
        event("Content-Length: 12\r\nContent-Length: 11\r\n"),
        event("Content-Length: 0\r\nContent-Length: 12\r\n"),
        event("Content-Length: +12\r\n"),
        event("Content-Length: -12\r\n"),
        event("Content-Length: 0xc\r\n"),
        event("Content-Length: 12, 11\r\n"),
        event("Content-Length: 12;\r\n"),
        event("Content-Length: 99999999999999999999\r\n"),
        event("Content-Length:\r\n"),
        // Encodings that are not ours.
        event("Transfer-Encoding: identity\r\nContent-Length: 12\r\n"),
        event("Transfer-Encoding: xchunked\r\nContent-Length: 12\r\n"),
        event("Transfer-Encoding: chunked, identity\r\nContent-Length: 12\r\n"),
        event("Transfer-Encoding: \"chunked\"\r\nContent-Length: 12\r\n"),
        event("Transfer-Encoding:\x0bchunked\r\nContent-Length: 12\r\n"),
        // Heads.
        event("Content-Length: 12\r\nX: a\r\n b\r\n"),
        event("Content-Length: 1\r\n 2\r\n"),
        event("Content-Length : 12\r\n"),
        event("X: \0\r\nContent-Length: 12\r\n"),
        event("X: a\rContent-Length: 12\r\n"),
        event("no header\r\nContent-Length: 12\r\n"),
        // Chunks.
        chunked("", &format!("{long}\r\n{EVENT}\r\n0\r\n\r\n")),
        chunked("", &format!("-c\r\n{EVENT}\r\n0\r\n\r\n")),
        chunked("", &format!("0xc\r\n{EVENT}\r\n0\r\n\r\n")),
        chunked("", &format!("c\r\n{EVENT}0\r\n\r\n")),
        chunked("", &format!("\r\n{EVENT}\r\n0\r\n\r\n")),
        chunked("", &format!("c;{}\r\n{EVENT}\r\n0\r\n\r\n", "x".repeat(100_000))),
        // No HTTP/1.1, or none of ours.
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{SMUGGLED}"),
        format!("POST /v1/events HTTP/3.0\r\nContent-Length: 12\r\n\r\n{EVENT}"),
        format!("POST /v1/events\r\n\r\n{EVENT}"),
        format!("POST  /v1/events HTTP/1.1\r\nContent-Length: 12\r\n\r\n{EVENT}"),
        format!("POST /v1/ events HTTP/1.1\r\nContent-Length: 12\r\n\r\n{EVENT}"),
        format!("P\u{e9}ST /v1/events HTTP/1.1\r\nContent-Length: 12\r\n\r\n{EVENT}"),
        format!("CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n{SMUGGLED}"),
        format!("\x16\x03\x01\x02\x00\x01{SMUGGLED}"),
    ];
    for said in &shapes {
        let heard = ask(host.address(), said.as_bytes()).await;
        let statuses = statuses(&heard);
        let is_http = !said.starts_with("PRI") && !said.starts_with('\x16');
        assert!(statuses.len() == 1 || !is_http, "{said:?}: {heard}");
        assert!(statuses.iter().all(|status| status.starts_with('4')), "{said:?}: {heard}");
        assert_eq!(well(&host).await, 0, "{said:?}: {heard}");
    }
    host.stop().await;
    // Without an end, which is waited for: only time tells.
    let host = waiting("2s").await;
    let endless = chunked("", &format!("c\r\n{EVENT}\r\n"));
    let heard = ask(host.address(), endless.as_bytes()).await;
    assert_eq!(statuses(&heard), ["408"], "{heard}");
    assert_eq!(well(&host).await, 0, "{heard}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_with_two_lengths_is_read_by_its_chunks_and_is_the_last_of_its_connection() {
    let host = start().await;
    let both = [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "Content-Length: 900\r\nTransfer-Encoding: chunked\r\n",
    ];
    let mut taken = 0;
    for headers in both {
        let heard = ask(host.address(), post(headers, &format!("c\r\n{EVENT}\r\n0\r\n\r\n")).as_bytes()).await;
        assert_eq!(statuses(&heard), ["202"], "{headers}: {heard}");
        taken += 1;
        assert_eq!(well(&host).await, taken);
    }
    // Chunks that end at once: what comes after them, which a proxy may have taken for the body, is not read at all.
    for headers in both {
        let kept = post(headers, "0\r\n\r\n").replace("Connection: close\r\n", "");
        let heard = ask(host.address(), format!("{kept}{SMUGGLED}").as_bytes()).await;
        assert_eq!(statuses(&heard), ["400"], "{heard}");
    }
    assert_eq!(well(&host).await, taken);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_body_of_a_refused_request_is_never_taken_for_the_next_one() {
    let host = start().await;
    // Each is refused before its body is read, be it for its length, its encoding, its sender, its method or its path.
    let inside = |line: &str, headers: &str, before: usize| {
        let body = format!("{}{SMUGGLED}", " ".repeat(before));
        let length = body.len();
        format!("{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}{LAST}")
    };
    let mut shapes = Vec::new();
    for (line, headers) in [
        ("POST /v1/events", "Content-Encoding: gzip\r\n"),
        ("POST /v1/events", "Idempotency-Key:\r\n"),
        ("POST /v1/events", "Origin: https://evil.example\r\n"),
        ("PUT /v1/events", ""),
        ("GET /v1/deliveries", ""),
        ("POST /v1/nothing", ""),
        ("POST /v1/sources/nobody/events", ""),
        ("POST /v1/events", "Expect: 100-continue\r\nContent-Encoding: gzip\r\n"),
    ] {
        for before in [0, 10_000, 300_000] {
            shapes.push(inside(line, headers, before));
        }
    }
    shapes.push(inside("POST /v1/events", "", 2 << 20));
    for said in &shapes {
        let heard = ask(host.address(), said.as_bytes()).await;
        let shown = said.chars().take(150).collect::<String>();
        let statuses = statuses(&heard);
        // The last one is answered where the connection has been kept.
        let good = match statuses.as_slice() {
            [] => said.len() > 100_000, // it was closed while there was more to hear
            [_] => true,
            [_, last] => *last == "200",
            _ => false,
        };
        assert!(good && !statuses.contains(&"202"), "{shown}: {heard}");
        assert_eq!(well(&host).await, 0, "{shown}: {heard}");
    }
    // What does follow a refused request is answered as it deserves, or not at all: never as something else.
    let refused = "PUT /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
    let heard = ask(host.address(), format!("{refused}{SMUGGLED}{LAST}").as_bytes()).await;
    let statuses = statuses(&heard);
    assert!(["405", "202", "200"].starts_with(&statuses) && !statuses.is_empty(), "{heard}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_has_a_size_and_a_client_that_expects_to_be_asked_for_its_body_is() {
    let host = start().await;
    for (length, status) in [(100_000, "200"), (2_000_000, "431")] {
        let value = format!("X: {}\r\n", "x".repeat(length));
        let said = LAST.replace("Connection:", &format!("{value}Connection:"));
        let heard = ask(host.address(), said.as_bytes()).await;
        // An answer may be lost where more is said than is heard.
        assert!(statuses(&heard) == [status] || (heard.is_empty() && status == "431"), "{length}: {heard}");
        well(&host).await;
    }
    for said in [
        LAST.replace("healthz", &"x".repeat(100_000)),
        LAST.replace("Connection:", &format!("{}:", "x".repeat(100_000))),
    ] {
        let heard = ask(host.address(), said.as_bytes()).await;
        assert!(statuses(&heard).iter().all(|status| status.starts_with('4')), "{heard}");
        well(&host).await;
    }
    let mut stream = within("a connection", TcpStream::connect(host.address())).await.unwrap();
    let head = post("Content-Length: 12\r\nExpect: 100-continue\r\nConnection: close\r\n", "");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut asked = [0; 25];
    within("the question for the body", stream.read_exact(&mut asked)).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(EVENT.as_bytes()).await.unwrap();
    let mut heard = String::new();
    within("the answer", stream.read_to_string(&mut heard)).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 202 "), "{heard}");
    assert_eq!(well(&host).await, 1);
    host.stop().await;
}
