//! Attacks on the way out of a running host: addresses that are spelt in every way, by every road, and TLS of old.

use std::fmt::Write;

use futures_util::FutureExt;
use herald::model::{Blame, FailReason, State};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::harness::{Receiver, Reply, Setup, TestHost, guests::Guest, preload::rebinding, process::Program, within};

/// Ways to say this machine, or what else is not public, and what would allow it.
const SPELLINGS: &[(&str, &str)] = &[
    ("localhost", ""),
    ("LOCALHOST", ""),
    ("localhost.", ""),
    ("LocalHost.", ""),
    ("127.1", "127.0.0.0/8"),
    ("2130706433", "127.0.0.0/8"),
    ("0177.0.0.1", "127.0.0.0/8"),
    ("0x7f000001", "127.0.0.0/8"),
    ("0x7F.0.0.0x1", "127.0.0.0/8"),
    ("%31%32%37.0.0.1", "127.0.0.0/8"),
    ("0", "0.0.0.0/32"),
    ("[::]", "::/128"),
    ("[::1]", "::1/128"),
    ("[::ffff:127.0.0.1]", "127.0.0.0/8"),
    ("[::ffff:7f00:1]", "127.0.0.0/8"),
    ("[::127.0.0.1]", "127.0.0.0/8"),
    ("[64:ff9b::7f00:1]", "127.0.0.0/8"),
    ("[64:ff9b::a9fe:a9fe]", "169.254.169.254/32"),
    ("[64:ff9b:1::a00:1]", "64:ff9b:1::a00:1/128"),
    ("[2002:7f00:1::]", "127.0.0.0/8"),
    ("169.254.169.254", "169.254.169.254/32"),
    ("2852039166", "169.254.169.254/32"),
    ("169.254.42.42", "169.254.42.42/32"),
    ("[fd20:ce::254]", "fd20:ce::254/128"),
    ("[fd00:42::42]", "fd00:42::42/128"),
    ("[fd00:c1:0:0::169.254.169.254]", "fd00:c1::a9fe:a9fe/128"),
    ("10.1", "10.0.0.1/32"),
];
/// What begins like an address and is none: there is nothing to send.
const NO_HOSTS: &[&str] = &["256.0.0.1", "127.0.0.1.1"];
/// What no URL can hold: zones, and digits that are none. The config is refused.
const NO_URLS: &[&str] = &["[fe80::1%25eth0]", "[::1%25lo]", "[::1%1]", "１２７.0.0.1"];

/// A channel for each, and no address allowed but what `allow` says.
fn config(port: u16, allow: &str, hosts: impl Iterator<Item = &'static str>) -> String {
    let mut text = format!("{allow}\nserver.listen = \"127.0.0.1:0\"\n");
    for (index, host) in hosts.enumerate() {
        write!(
            text,
            "[[channel]]\nname = \"c{index}\"\nadapter = \"webhook\"\nschedule = []\n[channel.settings]\n\
             url = \"https://{host}:{port}/\"\n[[route]]\nevents = [\"all\"]\nchannel = \"c{index}\"\n"
        )
        .unwrap();
    }
    text
}

fn hosts() -> impl Iterator<Item = &'static str> {
    SPELLINGS.iter().map(|(host, _)| host).chain(NO_HOSTS).copied()
}

/// Each delivery is to have failed after so many attempts, and to say what would have allowed it.
async fn are_refused(host: &TestHost, attempts: u32, count: usize) {
    let all = host.drain().await;
    assert_eq!(all.len(), count);
    for listed in &all {
        let shown = host.show(listed).await;
        let (delivery, index) = (&listed.delivery, listed.delivery.channel[1..].parse::<usize>().unwrap());
        let last = shown["attempts"].as_array().unwrap().last().unwrap();
        let reason = last["reason"].as_str().unwrap_or_default();
        assert_eq!((delivery.state, delivery.attempts), (State::Failed, attempts), "{reason}");
        let Some((spelling, range)) = SPELLINGS.get(index) else {
            assert_eq!(delivery.reason, Some(FailReason::Adapter), "{reason}");
            assert_eq!(last["exchanges"], Value::Array(Vec::new()), "{reason}");
            continue;
        };
        // Not every machine knows that name with a full stop.
        if spelling.ends_with('.') && reason.starts_with("dns: ") {
            continue;
        }
        assert_eq!(delivery.reason, Some(FailReason::Blocked), "{spelling}: {reason}");
        // Where `localhost` leads is the machine's affair.
        let allows = |range: &str| reason.ends_with(&format!("outbound.allow_addresses = [\"{range}\"]"));
        let is_told = if range.is_empty() { allows("127.0.0.0/8") || allows("::1/128") } else { allows(range) };
        assert!(is_told, "{spelling}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_an_address_is_sent_to_by_events_tests_or_retries_and_the_line_that_is_told_allows_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let setup = Setup::new("");
    std::fs::write(setup.config(), config(port, "", hosts())).unwrap();
    let host = setup.start().await;
    let count = SPELLINGS.len() + NO_HOSTS.len();
    // As an event, as tests, and once more by hand.
    assert_eq!(host.accepted(r#"{"type":"all"}"#).await["deliveries"], count);
    are_refused(&host, 1, count).await;
    for index in 0..count {
        host.app.pipeline().test(&format!("c{index}")).await.unwrap().unwrap();
    }
    are_refused(&host, 1, 2 * count).await;
    for listed in host.deliveries().await {
        let url = format!("{}/v1/deliveries/{}/retry", host.base, listed.delivery.id);
        assert_eq!(host.http.post(url).send().await.unwrap().status(), 200);
    }
    are_refused(&host, 2, 2 * count).await;
    assert!(listener.accept().now_or_never().is_none(), "nobody came here");
    host.stop().await;

    // The line as it is told, at the head of the config.
    std::fs::write(setup.config(), config(port, "outbound.allow_addresses = [\"127.0.0.0/8\"]", hosts())).unwrap();
    let host = setup.start().await;
    host.app.pipeline().test("c4").await.unwrap().unwrap();
    within("a connection", listener.accept()).await.unwrap();
    host.stop().await;
}

/// The real resolver asks a name server, and gets another answer each time.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changes_its_address_leads_a_running_host_nowhere_else() {
    let receiver = Receiver::start().await;
    let port = receiver.address.port();
    let forbidden = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let setup = Setup::new("");
    let config = format!(
        "server.listen = \"127.0.0.1:0\"\n[outbound]\nallow_http = [\"rebinds.example\"]\nallow_addresses = [\"127.0.0.1\"]\n\
         [[channel]]\nname = \"c\"\nadapter = \"webhook\"\nschedule = []\n[channel.settings]\n\
         url = \"http://rebinds.example:{port}/\"\n[[route]]\nchannel = \"c\"\n"
    );
    std::fs::write(setup.config(), config).unwrap();
    let host = rebinding(Program::new(setup.folder.path())).serve(&[]).await;
    for round in 1..=4 {
        // No connection is kept: for the next one the name is looked up again.
        receiver.reply(Reply::new(200, "ok").header("connection", "close"));
        for (id, state) in [("to-the-checked-one", "delivered"), ("elsewhere", "failed")] {
            assert_eq!(host.post(format!(r#"{{"type":"a","id":"{id}-{round}"}}"#)).await.0, 202);
            host.drained().await;
            let listed = host.deliveries("").await.unwrap();
            let id = listed.iter().map(|delivery| delivery["id"].as_str().unwrap()).max().unwrap();
            let shown = host.get(&format!("/v1/deliveries/{id}")).await.1;
            assert_eq!(shown["delivery"]["state"], state, "round {round}: {shown}");
            let reason = shown["attempts"][0]["reason"].as_str().unwrap_or_default();
            let refused = "rebinds.example resolves to 127.0.0.2, a loopback address";
            assert_eq!(reason.contains(refused), state == "failed", "{reason}");
        }
        assert_eq!(receiver.received().len(), round);
    }
    assert!(forbidden.accept().now_or_never().is_none(), "nobody came here");
    host.stop().await;
}

#[test]
fn what_is_no_url_is_refused_with_the_config() {
    let setup = Setup::new("");
    std::fs::write(setup.config(), config(443, "", NO_URLS.iter().copied())).unwrap();
    let origin = herald::app::Origin { file: Some(setup.config()), ..Default::default() };
    let problems = herald::app::check(&origin.sources()).unwrap().0.to_string();
    for index in 0..NO_URLS.len() {
        assert!(
            problems.contains(&format!("channel.c{index}.settings.url: this value is not a \"uri\"")),
            "{problems}"
        );
    }
}

/// The versions that a ClientHello offers: its own (RFC 5246, 7.4.1.2) and those of `supported_versions` (RFC 8446,
/// 4.2.1).
fn versions(hello: &[u8]) -> Vec<u16> {
    let number = |at: usize| u16::from_be_bytes([hello[at], hello[at + 1]]);
    // Record, handshake, version, random.
    let mut found = vec![number(9)];
    let mut at = 5 + 4 + 2 + 32;
    at += 1 + usize::from(hello[at]);
    at += 2 + usize::from(number(at));
    at += 1 + usize::from(hello[at]);
    at += 2;
    while at < hello.len() {
        let (kind, length) = (number(at), usize::from(number(at + 2)));
        if kind == 43 {
            found.extend((at + 5..at + 4 + length).step_by(2).map(number));
        }
        at += 4 + length;
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_1_1_is_neither_offered_nor_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 5];
        stream.read_exact(&mut hello).await.unwrap();
        hello.resize(5 + usize::from(u16::from_be_bytes([hello[3], hello[4]])), 0);
        stream.read_exact(&mut hello[5..]).await.unwrap();
        // A ServerHello of TLS 1.1: a random, no session, TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, no compression.
        let body = [&[3, 2][..], &[7; 32], &[0, 0xc0, 0x13, 0]].concat();
        let length = u8::try_from(body.len()).unwrap();
        let record = [&[22, 3, 2, 0, length + 4, 2, 0, 0, length][..], &body].concat();
        stream.write_all(&record).await.unwrap();
        // Herald is to go away by itself.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        versions(&hello)
    });
    let setup = Setup::new(&format!(
        "[[channel]]\nname = \"old\"\nadapter = \"webhook\"\nschedule = []\n[channel.settings]\nurl = \"https://{address}/\"\n"
    ));
    let host = setup.start().await;
    host.app.pipeline().test("old").await.unwrap().unwrap();
    assert_eq!(within("the handshake", server).await.unwrap(), [0x0303, 0x0304, 0x0303]);
    let all = host.drain().await;
    let shown = host.show(&all[0]).await;
    let said = format!("tls: TLS with {address} failed: the other end speaks neither TLS 1.2 nor 1.3");
    assert_eq!(shown["attempts"][0]["reason"].as_str().unwrap_or_default().split(';').next().unwrap(), said);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_is_refused_in_an_allowed_range_too() {
    let metadata = ["[fd20:ce::254]", "[fd00:42::42]", "[fd00:c1::a9fe:a9fe]", "[fd00:ec2::254]", "169.254.42.42"];
    let setup = Setup::new("");
    let allow = r#"outbound.allow_addresses = ["fd00::/8", "169.254.0.0/16"]"#;
    std::fs::write(setup.config(), config(1, allow, metadata.into_iter())).unwrap();
    let host = setup.start().await;
    host.accepted(r#"{"type":"all"}"#).await;
    let all = host.drain().await;
    assert_eq!(all.len(), metadata.len());
    for listed in all {
        let reason = listed.last_attempt.unwrap().reason.unwrap();
        assert_eq!(listed.delivery.reason, Some(FailReason::Blocked), "{reason}");
        assert!(reason.contains("is a metadata address"), "{reason}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_neither_declared_nor_pointed_at_is_blocked_and_no_line_is_told_as_none_allows_it() {
    let receiver = Receiver::start().await;
    let channel = |name: &str, settings: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\nadapter = \"{name}\"\n[channel.settings]\n{settings}\n\
             [[route]]\nevents = [\"all\"]\nchannel = \"{name}\"\n"
        )
    };
    let channels = [("declares", ""), ("points", "url = \"https://elsewhere.example/\""), ("nowhere", "")];
    let setup = Setup::new(&channels.map(|(name, settings)| channel(name, settings)).concat());
    for (name, hosts) in [("declares", vec!["elsewhere.example".to_owned()]), ("points", vec![]), ("nowhere", vec![])] {
        let guest = Guest { hosts, ..Guest::new("1", &receiver.url("/")) };
        std::fs::write(setup.adapters().join(format!("{name}.wasm")), guest.component()).unwrap();
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"all"}"#).await;
    let all = host.drain().await;
    assert_eq!(all.len(), channels.len());
    for listed in all {
        let attempt = listed.last_attempt.unwrap();
        let reason = attempt.reason.unwrap();
        assert_eq!(
            (listed.delivery.reason, attempt.blame),
            (Some(FailReason::Blocked), Some(Blame::Adapter)),
            "{reason}"
        );
        let known = match listed.delivery.channel.as_str() {
            "declares" => {
                "its adapter declares elsewhere.example; no line of the config allows it: the adapter must declare"
            }
            "points" => "its settings point at elsewhere.example; no line of the config allows it: point a URL",
            _ => "no URL is in its settings; no line of the config allows it: point a URL",
        };
        assert!(reason.starts_with(&format!("127.0.0.1 is not a host of this channel: {known}")), "{reason}");
    }
    assert!(receiver.received().is_empty());
    host.stop().await;
}
