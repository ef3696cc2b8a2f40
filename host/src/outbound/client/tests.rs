//! The client against servers on loopback that do what no good server does.

#![allow(clippy::unwrap_used)]

use std::{
    future::Future,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
};

use super::*;
use crate::{
    clock::Stopwatch,
    model::{Body, Request},
    outbound::{Destination, prepare},
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nX-Thing: A\r\nContent-Length: 2\r\n\r\nok";
const LONG: Duration = Duration::from_secs(20);
/// For what never comes; what comes before it is there by then, on a busy machine too.
const SHORT: Duration = Duration::from_secs(2);

/// A receiver on a loopback port that does with each connection what the test says.
async fn receiver<F, H>(mut handle: H) -> u16
where
    H: FnMut(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    port
}

/// Reads one request's head, and its body where that is short.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.windows(4).any(|window| window == b"\r\n\r\n") {
        if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
            break;
        }
    }
    String::from_utf8(read).unwrap()
}

/// Answers every request on the connection with the bytes, and then closes where `close` says so.
async fn answering(answer: &'static [u8], close: bool) -> u16 {
    receiver(move |stream| answer_all(stream, answer, close)).await
}

async fn answer_all(mut stream: TcpStream, answer: &'static [u8], close: bool) {
    while !request(&mut stream).await.is_empty() {
        let _ = stream.write_all(answer).await;
        if close {
            return;
        }
    }
}

fn local() -> Options {
    Options {
        allow_http: vec!["127.0.0.1".to_owned(), "localhost".to_owned(), "*.invalid".to_owned()],
        allow_addresses: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()],
    }
}

fn secrets(url: &str) -> Secrets {
    let pointers = ["/token".to_owned()].into();
    Secrets::new(&json!({"url": url, "token": "hunter2hunter2"}), &pointers).unwrap()
}

fn to(client: &Client, url: &str) -> Result<Prepared, Refused> {
    let request =
        Request { method: "POST".to_owned(), url: url.to_owned(), headers: vec![], body: Body::Payload, auth: None };
    let payload = Bytes::from_static(b"{}");
    let (options, delivery_id) = (client.options(), "dlv_1");
    let destination = Destination { options, hosts: &[], listed: None, delivery_id, payload: &payload, now: 0 };
    prepare(&request, &secrets(url).seal(|| 7), &destination)
}

async fn send_by(client: &Client, url: &str, deadline: Duration) -> Sent {
    client.send(to(client, url).unwrap(), deadline, &secrets(url)).await
}

async fn send(url: &str, deadline: Duration) -> Sent {
    send_by(&Client::new(local()).unwrap(), url, deadline).await
}

fn error(sent: &Sent) -> (TransportError, &str) {
    assert_eq!(sent.blocked, None);
    let (kind, words) = sent.error.as_ref().unwrap();
    (*kind, words)
}

#[tokio::test]
async fn an_exchange_gives_the_response_and_its_times() {
    let (heard, mut hear) = tokio::sync::mpsc::channel(1);
    let port = receiver(move |mut stream| {
        let heard = heard.clone();
        async move {
            let _ = heard.send(request(&mut stream).await).await;
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let sent = send(&format!("http://127.0.0.1:{port}/x?y"), LONG).await;
    let response = sent.response.unwrap();
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    assert_eq!(response.header("x-thing"), Some("A"));
    assert_eq!((sent.error, sent.blocked), (None, None));
    let (connect, first) = (sent.timing.connect_us.unwrap(), sent.timing.first_byte_us.unwrap());
    assert!(connect > 0 && connect <= first && first <= sent.timing.total_us, "{:?}", sent.timing);
    let heard = hear.recv().await.unwrap();
    assert!(heard.starts_with("POST /x?y HTTP/1.1\r\n"), "{heard}");
    assert!(heard.contains("herald-delivery-id: dlv_1\r\n") && heard.contains("content-length: 2\r\n"), "{heard}");
}

#[tokio::test]
async fn a_reused_connection_has_no_connect_time() {
    let port = answering(OK, false).await;
    let client = Client::new(local()).unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    assert!(send_by(&client, &url, LONG).await.timing.connect_us.is_some());
    for _ in 0..3 {
        let again = send_by(&client.clone(), &url, LONG).await;
        assert_eq!(again.timing.connect_us, None);
        assert_eq!(again.response.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_connection_that_the_other_end_closes_while_it_is_idle_is_let_go_of() {
    let (close, closing) = tokio::sync::watch::channel(false);
    let port = receiver(move |mut stream| {
        let mut closing = closing.clone();
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(OK).await;
            let _ = closing.wait_for(|now| *now).await;
        }
    })
    .await;
    let client = Client::new(local()).unwrap();
    assert_eq!(send_by(&client, &format!("http://127.0.0.1:{port}/"), LONG).await.error, None);
    assert!(client.pool.sweep().is_empty(), "it is kept");
    close.send_replace(true);
    let gone = async {
        while client.pool.sweep().is_empty() {
            crate::clock::pause(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LONG, gone).await.unwrap();
}

#[tokio::test]
async fn a_burst_goes_over_the_connections_of_the_one_before_it() {
    static ACCEPTED: AtomicUsize = AtomicUsize::new(0);
    let port = receiver(move |stream| {
        ACCEPTED.fetch_add(1, Ordering::SeqCst);
        answer_all(stream, OK, false)
    })
    .await;
    let client = Client::new(local()).unwrap();
    let url = format!("http://127.0.0.1:{port}/");
    for _ in 0..3 {
        let sent = join_all((0..64).map(|_| send_by(&client, &url, LONG))).await;
        assert!(sent.iter().all(|sent| sent.error.is_none()));
    }
    assert_eq!(ACCEPTED.load(Ordering::SeqCst), 64);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let port = answering(OK, true).await;
    let client = Client::new(local()).unwrap();
    for _ in 0..20 {
        let sent = send_by(&client, &format!("http://127.0.0.1:{port}/"), LONG).await;
        assert_eq!(sent.error, None);
    }
}

#[tokio::test]
async fn time_is_up_in_each_phase_and_is_named() {
    let silent = receiver(|mut stream| async move {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let sent = send(&format!("http://127.0.0.1:{silent}/"), SHORT).await;
    let (kind, words) = error(&sent);
    assert_eq!(kind, TransportError::Timeout);
    assert!(words.contains("within 2s: time was up while waiting for the response's headers"), "{words}");
    assert!(sent.timing.connect_us.is_some() && sent.timing.first_byte_us.is_none());

    let sent = send(&format!("https://127.0.0.1:{silent}/"), SHORT).await;
    let (kind, words) = error(&sent);
    assert_eq!(kind, TransportError::Timeout);
    assert!(words.contains(&format!("while connecting to 127.0.0.1:{silent} (TCP or TLS)")), "{words}");
    assert_eq!(sent.timing.connect_us, None);

    let halting = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", false).await;
    let sent = send(&format!("http://127.0.0.1:{halting}/"), SHORT).await;
    let (kind, words) = error(&sent);
    assert_eq!(kind, TransportError::Timeout);
    assert!(words.contains("while reading the response's body") && words.contains("(4 bytes so far)"), "{words}");
    assert_eq!(sent.response.as_ref().unwrap().body, "half");
}

#[tokio::test]
async fn a_slow_drip_does_not_stretch_the_deadline() {
    let port = receiver(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            crate::clock::pause(Duration::from_millis(20)).await;
        }
    })
    .await;
    let watch = Stopwatch::start();
    let sent = send(&format!("http://127.0.0.1:{port}/"), SHORT).await;
    assert_eq!(error(&sent).0, TransportError::Timeout);
    assert!(watch.elapsed() < Duration::from_secs(30), "all of it would take half an hour");
}

#[tokio::test]
async fn an_endless_body_is_cut_and_its_connection_dropped() {
    let (ended, mut end) = tokio::sync::mpsc::channel(1);
    let port = receiver(move |mut stream| {
        let ended = ended.clone();
        async move {
            request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while stream.write_all(&[b'x'; 8192]).await.is_ok() {}
            let _ = ended.send(()).await;
        }
    })
    .await;
    let sent = send(&format!("http://127.0.0.1:{port}/"), LONG).await;
    assert_eq!(sent.error, None);
    assert_eq!(sent.response.unwrap().body.len(), 64 * 1024);
    tokio::time::timeout(LONG, end.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broken_or_a_foreign_answer_is_told_apart() {
    for (answer, kind, said) in [
        (&b""[..], TransportError::Reset, "closed the connection before it answered"),
        (b"HTTP/1.1 200 OK\r\nConte", TransportError::Reset, "closed the connection before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", TransportError::Reset, "in the middle of the response"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal",
            TransportError::Reset,
            "in the middle of the response",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", TransportError::Protocol, "did not answer with proper HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16", TransportError::Protocol, "did not answer with proper HTTP"),
    ] {
        let port = answering(answer, true).await;
        let sent = send(&format!("http://127.0.0.1:{port}/"), LONG).await;
        let (found, words) = error(&sent);
        assert_eq!(found, kind, "{words}");
        assert!(words.contains(said) && words.contains(&format!("127.0.0.1:{port}")), "{words}");
    }
}

#[tokio::test]
async fn a_refused_connection_and_a_name_without_addresses_are_told_apart() {
    // Held, and nobody listens.
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = held.local_addr().unwrap().port();
    let sent = send(&format!("http://127.0.0.1:{closed}/"), LONG).await;
    assert_eq!(error(&sent), (TransportError::Connect, &*format!("connection refused by 127.0.0.1:{closed}")));
    // No label may be so long: the resolver knows without asking anybody.
    let name = format!("{}.invalid", "a".repeat(64));
    for (url, port) in [(format!("http://{name}/"), 80), (format!("https://{name}/"), 443)] {
        let sent = send(&url, LONG).await;
        let (kind, words) = error(&sent);
        assert_eq!(kind, TransportError::Dns);
        assert!(words.starts_with(&format!("{name}:{port} does not resolve: ")), "{words}");
    }
}

#[tokio::test]
async fn tls_with_a_port_that_does_not_speak_it_is_a_tls_error() {
    let port = receiver(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let sent = send(&format!("https://127.0.0.1:{port}/"), LONG).await;
    let said = format!("TLS with 127.0.0.1:{port} failed: the other end does not speak TLS on this port");
    assert_eq!(error(&sent), (TransportError::Tls, &*said));
    let hanging_up = receiver(|mut stream| async move {
        let _ = stream.read(&mut [0; 1024]).await;
    })
    .await;
    let sent = send(&format!("https://127.0.0.1:{hanging_up}/"), LONG).await;
    assert_eq!(error(&sent).0, TransportError::Tls);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let port =
        answering(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false).await;
    let sent = send(&format!("http://127.0.0.1:{port}/"), LONG).await;
    assert_eq!(sent.error, None);
    assert_eq!(sent.response.unwrap().status, 302);
}

#[tokio::test]
async fn a_name_is_refused_by_what_it_resolves_to() {
    let port = answering(OK, false).await;
    let url = format!("http://localhost:{port}/");
    let guarded = Client::new(Options { allow_addresses: vec![], ..local() }).unwrap();
    let refused = send_by(&guarded, &url, LONG).await;
    assert_eq!((refused.response, refused.error), (None, None));
    let refused = refused.blocked.unwrap();
    assert_eq!(refused.reason, crate::model::FailReason::Blocked);
    assert!(refused.message.starts_with("localhost resolves to ") && refused.message.contains("a loopback address"));
    let hint = refused.hint.unwrap();
    assert!(hint.contains("outbound.allow_addresses = [\"127.0.0.0/8\"]") || hint.contains("[\"::1/128\"]"), "{hint}");
    assert!(to(&guarded, &format!("http://127.0.0.1:{port}/")).is_err(), "a literal address is refused sooner");
    let open = Client::new(local()).unwrap();
    assert_eq!(send_by(&open, &url, LONG).await.response.unwrap().status, 200);
}

#[tokio::test]
async fn plain_http_is_not_even_prepared_unless_it_is_allowed() {
    let client = Client::new(Options { allow_http: vec![], ..local() }).unwrap();
    let refused = to(&client, "http://127.0.0.1:1/").unwrap_err();
    assert!(refused.hint.unwrap().ends_with(r#"outbound.allow_http = ["127.0.0.1"]"#));
}

#[tokio::test]
async fn an_echoed_secret_is_redacted() {
    let answer =
        b"HTTP/1.1 401 No\r\nX-Echo: hunter2hunter2\r\nContent-Length: 36\r\n\r\nhunter2hunter2 aHVudGVyMmh1bnRlcjI= x";
    let port = answering(answer, true).await;
    let response = send(&format!("http://127.0.0.1:{port}/"), LONG).await.response.unwrap();
    assert_eq!(response.header("x-echo"), Some("[redacted]"));
    assert!(response.body.starts_with("[redacted] [redacted]"), "{}", response.body);
}
