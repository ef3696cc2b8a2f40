//! Clients that open all the connections that they can: whoever has something to say is heard, and deliveries go out.

use std::net::SocketAddr;

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{Receiver, Setup, ledger::webhook, process::Program, raw, within};

/// A head that is whole.
const ASK: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Half a body.
const BEGIN: &str = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n{";
/// What those say who only want to be there: nothing, half a head, and what everybody may ask.
const SAID: [&str; 3] = ["", "POST /v1/ev", ASK];

/// One channel, which everything goes to, and these lines of `[server]`.
fn setup(receiver: &Receiver, server: &str) -> Setup {
    let setup = Setup::new(&format!("{}[[route]]\nchannel = \"c\"\n", webhook("c", &receiver.url("/c"))));
    let config = std::fs::read_to_string(setup.config()).unwrap();
    std::fs::write(setup.config(), config.replacen("[server]\n", &format!("[server]\n{server}\n"), 1)).unwrap();
    setup
}

async fn connect(address: SocketAddr) -> TcpStream {
    within("a connection", TcpStream::connect(address)).await.unwrap()
}

async fn say(stream: &mut TcpStream, text: &str) {
    within("a client to say something", stream.write_all(text.as_bytes())).await.unwrap();
}

/// Asks for the host's health; false when the connection has ended instead.
async fn is_heard(stream: &mut TcpStream) -> bool {
    if stream.write_all(ASK.as_bytes()).await.is_err() {
        return false;
    }
    // An answer is written at once.
    let mut heard = vec![0; 4096];
    let length = within("an answer, or the end of the connection", stream.read(&mut heard)).await.unwrap_or(0);
    assert!(length == 0 || heard.starts_with(b"HTTP/1.1 200"));
    length > 0
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_opens_all_it_can_shuts_out_nobody_and_no_delivery() {
    let receiver = Receiver::start().await;
    let setup = setup(&receiver, "");
    // Of 128 files 64 are for connections. A receiver that is held must not let a delivery time out.
    let program = Program::new(setup.folder.path()).variable("HERALD_DELIVERY__TIMEOUT", "5m").files(128);
    let host = program.serve(&[]).await;
    receiver.hold();
    assert_eq!(host.post(r#"{"type":"first"}"#).await.0, 202);
    receiver.wait_for(1).await;
    let (address, mut crowd) = (host.address.parse().unwrap(), Vec::new());
    for round in 0..3 {
        // Of the 48 requests that may be under way at a time some are left for others.
        let halves = std::iter::repeat_n(&BEGIN, if round == 0 { 40 } else { 0 });
        for said in halves.chain(SAID.iter().cycle().take(100)) {
            let mut stream = connect(address).await;
            // Whoever was sent away already can say no more.
            let _ = stream.write_all(said.as_bytes()).await;
            crowd.push(stream);
        }
        let (status, channels) = host.get("/v1/channels").await;
        assert_eq!((status.as_u16(), &channels["channels"][0]["name"]), (200, &json!("c")), "round {round}");
        let (status, answer) = host.post(r#"{"type":"next"}"#).await;
        assert_eq!(status, 202, "round {round}: {answer}");
        // Another connection to the receiver: the others are waiting for their answers.
        receiver.wait_for(2 + round).await;
    }
    receiver.release();
    host.drained().await;
    let deliveries = host.deliveries("").await.unwrap();
    assert_eq!(deliveries.len(), 4);
    for delivery in &deliveries {
        assert_eq!((&delivery["state"], &delivery["attempts"]), (&json!("delivered"), &json!(1)), "{delivery}");
    }
    drop(crowd);
    let log = host.stop().await;
    let told = |part: &str| log.iter().filter(|line| line.contains(part)).count();
    assert_eq!(told("the API takes fewer connections than `server.max_connections` says"), 1, "{log:#?}");
    assert_eq!(
        (told("no connection can be accepted"), told("as many connections as there may be")),
        (0, 1),
        "{log:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn for_one_connection_too_many_the_one_is_closed_that_has_waited_for_the_longest() {
    let receiver = Receiver::start().await;
    let host = setup(&receiver, "max_connections = 8").start().await;
    let mut kept = Vec::new();
    for _ in 0..7 {
        let mut stream = connect(host.address()).await;
        assert!(is_heard(&mut stream).await);
        kept.push(stream);
    }
    // A request under way, whose connection waits for nothing of the client's patience.
    let mut busy = connect(host.address()).await;
    say(&mut busy, BEGIN).await;
    assert!(is_heard(&mut kept[0]).await, "there is room for eight");
    let mut ninth = connect(host.address()).await;
    assert!(is_heard(&mut ninth).await);
    assert!(!is_heard(&mut kept[1]).await, "it has waited for longer than the first, which has asked again");
    for index in [0, 2, 3, 4, 5, 6] {
        assert!(is_heard(&mut kept[index]).await, "connection {index}");
    }
    // However many come and say nothing: what is under way is not ended for them, and the last one is heard.
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(connect(host.address()).await);
    }
    let mut last = connect(host.address()).await;
    assert!(is_heard(&mut last).await);
    assert!(!is_heard(&mut kept[0]).await && !is_heard(&mut ninth).await);
    say(&mut busy, "\"type\":\"a\"}").await;
    let mut answer = vec![0; 12];
    within("the answer", busy.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 202");
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_keeps_no_connection() {
    const TOKEN: &str = "hrld_write-0123456789012345678901234567890";
    let receiver = Receiver::start().await;
    let setup = setup(&receiver, "");
    let config = std::fs::read_to_string(setup.config()).unwrap();
    let hash = hex::encode(Sha256::digest(TOKEN));
    let token = format!("[[server.token]]\nname = \"w\"\nsha256 = \"{hash}\"\nscopes = [\"events:write\"]\n");
    std::fs::write(setup.config(), config + &token).unwrap();
    let host = setup.start().await;
    for (asked, status) in [
        ("GET /v1/channels HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 401),
        ("GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned(), 401),
        ("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}".to_owned(), 401),
        (format!("GET /v1/channels HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"), 403),
    ] {
        // `raw` waits for the end of the connection, which the client does not ask for.
        let heard = raw(host.address(), &asked).await;
        assert!(
            heard.starts_with(&format!("HTTP/1.1 {status} ")) && heard.contains("connection: close\r\n"),
            "{heard}"
        );
    }
    host.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_on_and_on_and_reads_nothing_makes_room_like_any_other() {
    let receiver = Receiver::start().await;
    let setup = setup(&receiver, "max_connections = 16");
    let host = Program::new(setup.folder.path()).serve(&[]).await;
    let address = host.address.parse().unwrap();
    let (much, mut crowd) = (ASK.repeat(2000), Vec::new());
    for _ in 0..18 {
        let mut stream = connect(address).await;
        let much = much.clone();
        // As much as the host takes of it: more than the answers find room for.
        crowd.push(tokio::spawn(async move {
            let _ = stream.write_all(much.as_bytes()).await;
            std::future::pending::<()>().await;
        }));
    }
    for _ in 0..3 {
        assert!(is_heard(&mut connect(address).await).await);
    }
    crowd.iter().for_each(tokio::task::JoinHandle::abort);
    host.stop().await;
}
