//! Connections: they are kept and shared, over HTTP/1.1 and HTTP/2, and TLS and HTTP/2 that go wrong are named.

use std::{
    fmt::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::{Reason, server};
use http::Response;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tokio_rustls::server::TlsStream;

use crate::harness::{
    Setup, http,
    process::{Program, Running},
    tls::{Authority, serve},
    within,
};

const LOCAL: &str = "127.0.0.1";
const H2: &[&str] = &["h2", "http/1.1"];

fn channel(name: &str, url: &str, more: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n{more}\n[channel.settings]\nurl = \"{url}\"\n\
         [[route]]\nevents = [\"test\"]\nchannel = \"{name}\"\n"
    )
}

/// The program, with an authority that it trusts: a host in this process would take this machine's.
async fn trusting(setup: &Setup, authority: &Authority) -> Running {
    let file = setup.folder.path().join("authority.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    Program::new(setup.folder.path()).variable("SSL_CERT_FILE", file.to_str().unwrap()).serve(&[]).await
}

async fn post(host: &Running, count: usize) {
    let posted = http().post(format!("{}/v1/events", host.url())).header("content-type", "application/json");
    let answer = posted.body(format!("[{}]", vec![r#"{"type":"test"}"#; count].join(","))).send().await.unwrap();
    assert_eq!(answer.status(), 202);
}

/// The deliveries, once each has been attempted so often.
async fn attempted(host: &Running, times: u64) -> Vec<Value> {
    let url = format!("{}/v1/deliveries?limit=500", host.url());
    let mut look = tokio::time::interval(Duration::from_millis(20));
    within("the attempts", async {
        loop {
            look.tick().await;
            let text = http().get(&url).send().await.unwrap().text().await.unwrap();
            let list = serde_json::from_str::<Value>(&text).unwrap()["deliveries"].as_array().unwrap().clone();
            if list.iter().all(|delivery| delivery["attempts"].as_u64().unwrap() >= times) {
                return list;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_connections_are_reused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let router = axum::Router::new().fallback(async || "ok");
            let service = hyper_util::service::TowerToHyperService::new(router);
            let io = hyper_util::rt::TokioIo::new(stream);
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let setup = Setup::new(&channel("hook", &format!("http://{address}/"), "concurrency = 4"));
    let host = setup.start().await;
    host.accepted(format!("[{}]", vec![r#"{"type":"test"}"#; 50].join(","))).await;
    host.drain().await;
    let accepted = accepted.load(Ordering::SeqCst);
    assert!(accepted <= 4, "{accepted} connections for 50 deliveries, 4 at once");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_http_2_connection_carries_many_deliveries_at_once() {
    let authority = Authority::new("trusted");
    let (connections, under_way) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(0));
    let gate = Arc::new(Semaphore::new(1));
    let (seen, count, open) = (connections.clone(), under_way.clone(), gate.clone());
    let address = serve(authority.acceptor(LOCAL, H2), move |stream, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        let (count, open) = (count.clone(), open.clone());
        async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                count.send_modify(|count| *count += 1);
                let open = open.clone();
                tokio::spawn(async move {
                    let _permit = open.acquire().await.unwrap();
                    respond.send_response(Response::new(()), true).unwrap();
                });
            }
        }
    })
    .await;
    let setup = Setup::new(&channel("hook", &format!("https://{address}/"), ""));
    let host = trusting(&setup, &authority).await;
    // The first makes the connection; before that, nobody knows that it can be shared.
    post(&host, 1).await;
    attempted(&host, 1).await;
    gate.forget_permits(1);
    post(&host, 8).await;
    within("all on their way at once", under_way.subscribe().wait_for(|count| *count == 9)).await.unwrap();
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    gate.add_permits(8);
    assert!(attempted(&host, 1).await.iter().all(|delivery| delivery["state"] == "delivered"));
    host.stop().await;
}

/// Answers nothing on the first connection, and everything on those after it.
async fn silent_at_first(stream: TlsStream<TcpStream>, number: usize) {
    let mut connection = server::handshake(stream).await.unwrap();
    let mut unanswered = Vec::new();
    while let Some(Ok((_, mut respond))) = connection.accept().await {
        if number == 0 {
            unanswered.push(respond);
        } else {
            respond.send_response(Response::new(()), true).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_connection_that_did_not_answer_is_not_used_again() {
    let authority = Authority::new("trusted");
    let address = serve(authority.acceptor(LOCAL, H2), silent_at_first).await;
    let retry = "[delivery]\ntimeout = \"3s\"\nschedule = [\"0s\"]\n";
    let setup = Setup::new(&format!("{retry}{}", channel("hook", &format!("https://{address}/"), "")));
    let host = trusting(&setup, &authority).await;
    post(&host, 1).await;
    let all = attempted(&host, 2).await;
    assert_eq!((&all[0]["state"], &all[0]["attempts"]), (&"delivered".into(), &2.into()), "{all:?}");
    host.stop().await;
}

/// What an HTTP/2 receiver does that is no good, and how that ends.
const HOSTILE: &[(&str, &str)] = &[
    ("resets", "reset: {} reset the HTTP/2 stream before it answered: REFUSED_STREAM, "),
    ("resets-in-body", "reset: {} reset the HTTP/2 stream in the middle of the response: INTERNAL_ERROR, "),
    // With or without the reason: the connection may be closed before that is read.
    ("goes-away", "reset: {} closed the "),
    ("hangs-up", "reset: {} closed the connection before it answered"),
    ("silent", "timeout: no complete response within 3s: time was up while waiting for the response's headers from {}"),
    ("speaks-http-1", "protocol: {} did not answer with proper HTTP/2: FRAME_SIZE_ERROR, "),
    ("endless-headers", "protocol: {} did not answer with proper HTTP/2: "),
    ("endless-interim", "timeout: "),
    ("endless-body", ""),
    ("untrusted", "tls: TLS with {} failed: its certificate is signed by nobody that this machine trusts "),
    ("another-name", "tls: TLS with {} failed: invalid peer certificate: certificate not valid for name \"127.0.0.1\""),
    ("expired", "tls: TLS with {} failed: invalid peer certificate: certificate expired"),
];

async fn hostile(name: &'static str, mut stream: TlsStream<TcpStream>) {
    match name {
        "hangs-up" | "speaks-http-1" | "endless-headers" if !request(&mut stream).await => {}
        "hangs-up" => drop(stream),
        "speaks-http-1" => drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await),
        "endless-headers" => endless_headers(stream).await,
        _ => {
            let mut connection = server::handshake(stream).await.unwrap();
            let mut unanswered = Vec::new();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                match name {
                    "resets" => respond.send_reset(Reason::REFUSED_STREAM),
                    "goes-away" => connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM),
                    "resets-in-body" => {
                        let mut body = respond.send_response(Response::new(()), false).unwrap();
                        body.send_data(Bytes::from_static(b"half"), false).unwrap();
                        // By itself, so that the answer is not taken back before it is sent.
                        tokio::spawn(async move {
                            body.reserve_capacity(1);
                            let _ = std::future::poll_fn(|cx| body.poll_capacity(cx)).await;
                            body.send_reset(Reason::INTERNAL_ERROR);
                        });
                    }
                    "endless-body" => drop(tokio::spawn(endless_body(respond))),
                    "endless-interim" => drop(tokio::spawn(async move {
                        let interim = || Response::builder().status(102).body(()).unwrap();
                        while respond.send_informational(interim()).is_ok() {
                            tokio::time::interval(Duration::from_millis(5)).tick().await;
                        }
                    })),
                    _ => unanswered.push(respond),
                }
            }
        }
    }
}

async fn endless_body(mut respond: server::SendResponse<Bytes>) {
    let mut body = respond.send_response(Response::new(()), false).unwrap();
    loop {
        body.reserve_capacity(16 * 1024);
        let Some(Ok(room)) = std::future::poll_fn(|cx| body.poll_capacity(cx)).await else { return };
        if body.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
            return;
        }
    }
}

/// Reads until a request's headers are there; false when the other end has closed.
async fn request(stream: &mut TlsStream<TcpStream>) -> bool {
    let mut preface = [0; b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len()];
    if stream.read_exact(&mut preface).await.is_err() {
        return false;
    }
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return false;
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        if stream.read_exact(&mut vec![0; length]).await.is_err() || head[3] == 1 {
            return head[3] == 1;
        }
    }
}

/// A block of headers that goes on and on.
async fn endless_headers(mut stream: TlsStream<TcpStream>) {
    let frame = |kind: u8, stream: u8, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, stream], payload].concat()
    };
    let header = [&b"\x00\x06x-more\x7f\xe9\x06"[..], &[b'x'; 1000]].concat();
    let mut begin = frame(4, 0, &[]);
    // `:status: 200` is the eighth entry of the static table.
    begin.extend(frame(1, 1, b"\x88"));
    let _ = stream.write_all(&begin).await;
    while stream.write_all(&frame(9, 1, &header)).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_http_2_that_go_wrong_are_named() {
    let (authority, unknown) = (Authority::new("trusted"), Authority::new("unknown"));
    let mut config = "[delivery]\ntimeout = \"3s\"\nschedule = []\n".to_owned();
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for (name, _) in HOSTILE {
        let acceptor = match *name {
            "untrusted" => unknown.acceptor(LOCAL, H2),
            "another-name" => authority.acceptor("example.com", H2),
            "expired" => authority.expired(LOCAL),
            _ => authority.acceptor(LOCAL, H2),
        };
        let address = serve(acceptor, |stream, _| hostile(name, stream)).await;
        write!(config, "{}", channel(name, &format!("https://{address}/"), "")).unwrap();
        addresses.push(address);
    }
    let setup = Setup::new(&config);
    let host = trusting(&setup, &authority).await;
    post(&host, 1).await;
    let all = attempted(&host, 1).await;
    let mut wrong = Vec::new();
    for ((name, said), address) in HOSTILE.iter().zip(addresses) {
        for delivery in all.iter().filter(|delivery| delivery["channel"] == *name) {
            let attempt = &delivery["last_attempt"];
            let reason = attempt["reason"].as_str().unwrap_or_default();
            let in_time = attempt["duration_us"].as_u64().unwrap() < 30_000_000;
            // On a busy machine the end of a connection may be seen before its first request is sent.
            let early = matches!(*name, "hangs-up" | "speaks-http-1") && reason.contains("ended before the request");
            if !(early || reason.starts_with(&said.replace("{}", &address.to_string()))) || !in_time {
                wrong.push(format!("{name}: {attempt}"));
            }
        }
    }
    assert!(wrong.is_empty() && all.len() == HOSTILE.len(), "\n{}\n", wrong.join("\n"));
    host.stop().await;
}
