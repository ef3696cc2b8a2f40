//! Clients that take their time: each is ended in the time that it is given, and nobody else notices.

use std::{net::SocketAddr, time::Duration};

use futures_util::future::join_all;
use herald::clock::Stopwatch;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::harness::{Setup, TestHost, process::Program, within};

/// What a client is given where that is what is tested. It holds for every other request of the same test, too: so it is
/// longer than these take on a busy machine.
const GIVEN: Duration = Duration::from_secs(2);
/// A head that is whole.
const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// With one channel that delivers nothing for now, and `request_timeout` as it is said here.
fn setup(request_timeout: &str) -> Setup {
    let setup = Setup::new(
        "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://127.0.0.1:9/\"\n\
         [[route]]\nchannel = \"c\"\n",
    );
    change(&setup, "[server]", &format!("[server]\nrequest_timeout = \"{request_timeout}\""));
    setup
}

/// Writes something else in the place of something that is in the config.
fn change(setup: &Setup, from: &str, to: &str) {
    let config = std::fs::read_to_string(setup.config()).unwrap();
    assert!(config.contains(from), "there is no {from:?} in {config}");
    std::fs::write(setup.config(), config.replace(from, to)).unwrap();
}

/// A host that gives its clients a short time.
async fn impatient() -> TestHost {
    setup("2s").start().await
}

/// A host whose patience is not what is tested.
async fn patient() -> TestHost {
    setup("5m").start().await
}

async fn connect(address: SocketAddr) -> TcpStream {
    within("a connection", TcpStream::connect(address)).await.unwrap()
}

async fn say(stream: &mut TcpStream, text: &str) {
    within("a client to say something", stream.write_all(text.as_bytes())).await.unwrap();
}

/// All that is said until the connection ends, while `drop` is sent again and again.
async fn dribble(stream: &mut TcpStream, drop: &str) -> String {
    let mut heard = Vec::new();
    let ends = async {
        loop {
            // A connection that has ended takes nothing; what it said before that is still there to be read.
            let _ = stream.write_all(drop.as_bytes()).await;
            if let Ok(Ok(0) | Err(_)) = timeout(GIVEN / 20, stream.read_buf(&mut heard)).await {
                return;
            }
        }
    };
    within("the end of a connection", ends).await;
    String::from_utf8(heard).unwrap()
}

/// The next answer on a connection that stays open.
async fn answer(stream: &mut TcpStream) -> String {
    let mut heard = String::new();
    // As long as it says that it is.
    let whole = |heard: &str| {
        let (head, body) = heard.split_once("\r\n\r\n")?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
        Some(body.len() == length.parse::<usize>().unwrap())
    };
    let reading = async {
        while whole(&heard) != Some(true) {
            heard.push(char::from(stream.read_u8().await.unwrap()));
        }
    };
    within("an answer", reading).await;
    heard
}

/// A post of twelve bytes that is under way: the host has asked for its body, and has got the first byte.
async fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = connect(address).await;
    let head = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n";
    say(&mut stream, head).await;
    let mut asked = [0; 25];
    within("the question for the body", stream.read_exact(&mut asked)).await.unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    say(&mut stream, "{").await;
    stream
}

fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_dribbles_and_a_client_that_says_nothing_are_closed() {
    let host = impatient().await;
    let address = host.address();
    let closes = move |(begin, drop): (&'static str, &'static str)| async move {
        let begun = Stopwatch::start();
        let mut stream = connect(address).await;
        say(&mut stream, begin).await;
        assert_eq!(dribble(&mut stream, drop).await, "", "{begin:?}");
        assert!(begun.elapsed() >= GIVEN, "{begin:?} was closed after {:?}", begun.elapsed());
    };
    let said = [("", ""), ("GET /healthz HTTP/1.1\r\nX: ", "x"), ("POST /v1/events HTTP/1.1\r\n", "a: b\r\n")];
    join_all(said.map(closes)).await;
    assert_eq!(host.get("/healthz").await.0, 200);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_dribbles_is_answered_408_and_nothing_comes_of_it() {
    let host = impatient().await;
    let address = host.address();
    let sized = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000\r\n\r\n{{");
    let chunked = "POST /v1/events?a=b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    let ends = move |(begin, drop): (String, &'static str)| async move {
        let begun = Stopwatch::start();
        let mut stream = connect(address).await;
        say(&mut stream, &begin).await;
        let heard = dribble(&mut stream, drop).await;
        assert!(begun.elapsed() >= GIVEN, "{begin:?} was ended after {:?}", begun.elapsed());
        assert!(heard.starts_with("HTTP/1.1 408 ") && heard.contains("connection: close\r\n"), "{begin:?}: {heard}");
        let body = json_of(&heard);
        assert_eq!(
            (&body["code"], &body["message"]),
            (&json!("request_timeout"), &json!("the body was not whole within 2s"))
        );
        assert!(body["hint"].as_str().unwrap().contains("server.request_timeout"), "{body}");
    };
    let said = [
        (sized("/v1/events"), " "),
        (sized("/v1/events"), ""),
        (chunked, "1\r\n \r\n"),
        (sized("/v1/channels/c/disable"), " "),
    ];
    join_all(said.map(ends)).await;
    assert!(host.deliveries().await.is_empty());
    assert!(host.get("/v1/channels").await.1["channels"][0]["disabled"].is_null());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_kept_may_be_idle_for_longer_and_its_next_head_may_not() {
    let host = impatient().await;
    let mut kept = connect(host.address()).await;
    let mut other = connect(host.address()).await;
    for stream in [&mut kept, &mut other] {
        say(stream, ASK).await;
        answer(stream).await;
    }
    // Whoever says nothing is closed only after the time for a head; the others have been idle for as long by then.
    let mut silent = connect(host.address()).await;
    dribble(&mut silent, "").await;
    for _ in 0..2 {
        say(&mut kept, ASK).await;
        assert!(answer(&mut kept).await.starts_with("HTTP/1.1 200 "));
    }
    say(&mut other, "POST /v1/events").await;
    assert_eq!(dribble(&mut other, "x").await, "");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_its_time_to_be_answered_is_not_cut() {
    let host = impatient().await;
    host.http.post(format!("{}/v1/channels/c/disable", host.base)).send().await.unwrap();
    host.accepted(r#"{"type":"a"}"#).await;
    let id = host.deliveries().await[0].delivery.id;
    let begun = Stopwatch::start();
    let (status, shown) = host.get(&format!("/v1/deliveries/{id}?wait=4")).await;
    assert_eq!((status.as_u16(), &shown["delivery"]["state"]), (200, &json!("pending")), "{shown}");
    assert!(begun.elapsed() > GIVEN, "{:?}", begun.elapsed());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_the_host_takes_at_a_time_are_answered_503_and_health_is_told() {
    let setup = setup("5m");
    change(&setup, "[server]", "[server]\nmax_requests = 2");
    let host = setup.start().await;
    // Each is under way before anything else is asked, or that would take its room.
    let mut first = begin(host.address()).await;
    let second = begin(host.address()).await;
    let refused = within("an answer", host.http.get(format!("{}/v1/jobs", host.base)).send()).await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    let body: Value = serde_json::from_slice(&refused.bytes().await.unwrap()).unwrap();
    assert!(body["code"] == "busy" && body["hint"].as_str().unwrap().contains("server.max_requests"), "{body}");
    let (status, answer) = host.post("{\"type\":\"a\"}").await;
    assert_eq!((status.as_u16(), &answer["code"]), (503, &json!("busy")));
    for health in ["/healthz", "/readyz"] {
        assert_eq!(host.get(health).await.0, 200, "{health}");
    }
    // One ends as if nothing had been, and one goes away: both give back their room, the first one before it is answered.
    say(&mut first, "\"type\":\"a\"}").await;
    assert!(self::answer(&mut first).await.starts_with("HTTP/1.1 202 "));
    assert_eq!(host.get("/v1/jobs").await.0, 200);
    let third = begin(host.address()).await;
    assert_eq!(host.get("/v1/jobs").await.0, 503);
    drop(second);
    within("the room of the one that has gone away", async { while host.get("/v1/jobs").await.0 != 200 {} }).await;
    assert_eq!(host.deliveries().await.len(), 1);
    drop(third);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_too_many_headers_is_answered_431() {
    let host = patient().await;
    for (count, status) in [(99, "200"), (101, "431")] {
        let mut stream = connect(host.address()).await;
        say(&mut stream, &ASK.replace("\r\n\r\n", &format!("\r\n{}\r\n", "a: b\r\n".repeat(count)))).await;
        assert!(answer(&mut stream).await.starts_with(&format!("HTTP/1.1 {status} ")), "{count} headers");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_more_than_64_kib_is_answered_431_before_it_is_whole() {
    let host = patient().await;
    let head = |length: usize| format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(length));
    let mut good = connect(host.address()).await;
    say(&mut good, &format!("{}\r\n\r\n", head(60 << 10))).await;
    assert!(answer(&mut good).await.starts_with("HTTP/1.1 200 "));
    let mut long = connect(host.address()).await;
    say(&mut long, &head(64 << 10)).await;
    let mut heard = String::new();
    within("the end of a connection", long.read_to_string(&mut heard)).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 431 "), "{heard}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_requests_at_once_are_answered_in_their_order() {
    let host = patient().await;
    let mut stream = connect(host.address()).await;
    let event = |id: u8| format!("{{\"type\":\"a\",\"id\":\"{id}\"}}");
    let post =
        |id: u8| format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 21\r\n\r\n{}", event(id));
    say(&mut stream, &[post(1), post(2), ASK.to_owned(), post(3)].concat()).await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(json_of(&answer(&mut stream).await)["id"].clone());
    }
    let health = answer(&mut stream).await;
    assert!(health.contains("\"config\""), "{health}");
    answers.push(json_of(&answer(&mut stream).await)["id"].clone());
    assert_eq!(answers, ["1", "2", "3"]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_do_not_hold_up_a_stop_and_a_request_is_finished() {
    let setup = setup("1h");
    // Were they waited for, the stop would take longer than any test.
    change(&setup, "grace = \"5s\"", "grace = \"5m\"");
    // An address of its own, where nobody else listens when it has stopped.
    change(&setup, "127.0.0.1:0", "127.0.0.77:0");
    let host = setup.start().await;
    let address = host.address();
    let mut silent = connect(address).await;
    let mut kept = connect(address).await;
    say(&mut kept, ASK).await;
    answer(&mut kept).await;
    host.http.post(format!("{}/v1/channels/c/disable", host.base)).send().await.unwrap();
    host.accepted(r#"{"type":"a"}"#).await;
    let id = host.deliveries().await[0].delivery.id;
    let mut asking = connect(address).await;
    // What comes with a request is under way when that is answered.
    say(&mut asking, &format!("{ASK}GET /v1/deliveries/{id}?wait=1 HTTP/1.1\r\nHost: localhost\r\n\r\nGET")).await;
    answer(&mut asking).await;
    let finished = async {
        let mut heard = String::new();
        within("the last answer", asking.read_to_string(&mut heard)).await.unwrap();
        heard
    };
    let ((), heard) = tokio::join!(host.stop(), finished);
    assert!(heard.starts_with("HTTP/1.1 200 ") && heard.contains("connection: close\r\n"), "{heard}");
    for stream in [&mut silent, &mut kept] {
        assert_eq!(dribble(stream, "").await, "");
    }
    assert!(TcpStream::connect(address).await.is_err());
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_out_of_file_descriptors_accepts_again_when_there_are_some() {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    const MOST: u64 = 1 << 12;
    let limit = |id: u32, files| {
        let id = Pid::from_raw(i32::try_from(id).unwrap());
        prlimit(id, Resource::Nofile, Rlimit { current: Some(files), maximum: Some(MOST) }).unwrap();
    };
    let setup = setup("1h");
    let mut host = Program::new(setup.folder.path()).serve(&[]).await;
    limit(host.id(), 3);
    let mut stream = connect(host.address.parse().unwrap()).await;
    let begun = Stopwatch::start();
    say(&mut stream, ASK).await;
    host.logged("no connection can be accepted").await;
    limit(host.id(), MOST);
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200 "));
    drop(stream);
    let log = host.stop().await;
    // It rested between its tries, for a second.
    let tries = log.iter().filter(|line| line.contains("no connection can be accepted")).count();
    assert!(tries as u64 <= begun.elapsed().as_secs() + 2, "{log:#?}");
}
