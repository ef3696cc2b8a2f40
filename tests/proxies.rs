//! Where connections come from, and through whom: a fixed address, a proxy, and none from the environment.

use herald::model::State;
use serde_json::Value;
use tokio::{io::AsyncReadExt, net::TcpListener, sync::mpsc};

use crate::harness::{
    Closed, Receiver, Setup, TestHost,
    process::Program,
    proxy::{Manner, Proxy},
    tls::{self, Authority},
    within,
};

/// A webhook channel with a route for the events of its name. One attempt, so that a failure is told at once.
fn channel(name: &str, url: &str, keys: &str) -> String {
    format!(
        "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\nschedule = []\n{keys}\n[channel.settings]\n\
         url = \"{url}\"\n[[route]]\nevents = [\"{name}\"]\nchannel = \"{name}\"\n"
    )
}

/// Sends an event on one channel, by the identical path, and gives the attempt.
async fn attempt(host: &TestHost, channel: &str) -> Value {
    let id = host.app.pipeline().test(channel).await.unwrap().unwrap();
    host.get(&format!("/v1/deliveries/{id}?wait=30")).await.1["attempts"][0].clone()
}

fn proxied(proxy: &Proxy) -> String {
    format!("proxy = \"http://{}\"", proxy.address)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_come_from_the_address_that_the_config_names() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (peers, mut seen) = mpsc::channel(8);
    tokio::spawn(async move {
        // It hangs up, which is good enough: who came is what counts.
        while let Ok((_, peer)) = listener.accept().await {
            let _ = peers.send(peer.ip().to_string()).await;
        }
    });
    let setup = Setup::new(
        &[
            "bind = \"127.0.0.2\"\n".to_owned(),
            channel("common", &url, ""),
            channel("own", &url, "bind = \"127.0.0.3\""),
            channel("none", &url, "bind = \"\""),
            channel("other-family", &url, "bind = \"::1\""),
            channel("nobodys", &url, "bind = \"192.0.2.1\""),
        ]
        .concat(),
    );
    let host = setup.start().await;
    for (name, address) in [("common", "127.0.0.2"), ("own", "127.0.0.3"), ("none", "127.0.0.1")] {
        attempt(&host, name).await;
        assert_eq!(within("a connection", seen.recv()).await.unwrap(), address, "{name}");
    }
    for (name, reason) in [
        ("other-family", "it has no IPv6 address, and connections are to come from ::1 (`bind`)"),
        ("nobodys", "connections are to come from 192.0.2.1 (`bind`), which this machine does not allow"),
    ] {
        let said = attempt(&host, name).await["reason"].to_string();
        assert!(said.contains("connect: no connection to 127.0.0.1:") && said.contains(reason), "{said}");
    }
    assert!(seen.try_recv().is_err(), "nobody else came");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_handed_the_address_that_was_checked_and_the_receivers_name_stays_between_the_two_ends() {
    let receiver = Receiver::start().await;
    let authority = Authority::new("private");
    let (heard, mut hear) = mpsc::channel::<Vec<u8>>(8);
    let secure = tls::serve(authority.acceptor("localhost", &[]), move |mut stream, _| {
        let heard = heard.clone();
        async move {
            let mut read = Vec::new();
            while !read.ends_with(b"}") && stream.read_buf(&mut read).await.unwrap_or(0) > 0 {}
            let _ = heard.send(read).await;
        }
    })
    .await;
    let (connects, socks) = (Proxy::start(Manner::Connects).await, Proxy::start(Manner::Socks).await);
    let setup = Setup::new(
        &[
            format!("proxy = \"http://user:pass%3Aword@{}\"\n", connects.address),
            channel("plain", &receiver.url("/plain"), ""),
            channel("straight", &receiver.url("/straight"), "proxy = \"\""),
            channel("socks", &receiver.url("/socks"), "proxy = { file = \"proxy\" }"),
            channel("secure", &format!("https://localhost:{}/", secure.port()), "tls = { ca = { file = \"ca.pem\" } }"),
        ]
        .concat(),
    );
    std::fs::write(setup.folder.path().join("ca.pem"), authority.pem()).unwrap();
    let url = format!("socks5://user:pass%3Aword@{}\n", socks.address);
    std::fs::write(setup.folder.path().join("proxy"), url).unwrap();
    let host = setup.start().await;
    for name in ["plain", "straight", "socks"] {
        let attempt = attempt(&host, name).await;
        assert_eq!(attempt["outcome"], "delivered", "{name}: {attempt:#}");
    }
    assert_eq!(
        receiver.received().iter().map(|one| one.path.as_str()).collect::<Vec<_>>(),
        ["/plain", "/straight", "/socks"]
    );
    assert_eq!(socks.asked(), [receiver.address.to_string()]);
    assert_eq!(connects.asked().len(), 1, "neither the straight one nor that of another proxy came by");

    attempt(&host, "secure").await;
    let heard = String::from_utf8(within("the request", hear.recv()).await.unwrap()).unwrap();
    assert!(heard.contains(&format!("host: localhost:{}\r\n", secure.port())), "{heard}");
    for (head, to) in connects.asked().iter().zip([receiver.address, secure]) {
        assert!(head.starts_with(&format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\n")), "{head}");
        assert!(head.contains("proxy-authorization: Basic dXNlcjpwYXNzOndvcmQ=\r\n"), "{head}");
    }
    assert!(
        !heard.contains("proxy-authorization") && !receiver.received()[0].headers.contains_key("proxy-authorization")
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_fails_is_told_apart_from_the_receiver() {
    let receiver = Receiver::start().await;
    let to = receiver.address;
    let cases = [
        (
            "wants-more",
            Manner::Says("HTTP/1.1 407 No\r\ncontent-length: 0\r\n\r\n"),
            "asks for a user and a password (407)".to_owned(),
        ),
        ("bad-gateway", Manner::Says("HTTP/1.1 502 No\r\n\r\n"), format!("can't reach {to} (502 Bad Gateway)")),
        ("forbids", Manner::Says("HTTP/1.1 403 No\r\n\r\n"), format!("does not connect to {to} (403 Forbidden)")),
        ("babbles", Manner::Says("SSH-2.0-x\r\n"), "did not answer as a proxy of HTTP does".to_owned()),
        ("hangs-up", Manner::Says(""), "did not answer as a proxy of HTTP does".to_owned()),
        (
            "speaks-first",
            Manner::Says("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"),
            "something came before anything was sent".to_owned(),
        ),
        ("refuses", Manner::RefusesBySocks(5), format!("does not connect to {to}: ")),
        ("silent", Manner::IsSilent, format!("to connect to {to}")),
    ];
    let (mut config, mut proxies) = (String::new(), Vec::new());
    for (name, manner, _) in &cases {
        let proxy = Proxy::start(*manner).await;
        let scheme = if *name == "refuses" { "socks5://user:pass%3Aword@" } else { "http://" };
        let timeout = if *name == "silent" { "1s" } else { "30s" };
        let keys = format!("timeout = \"{timeout}\"\nproxy = \"{scheme}{}\"", proxy.address);
        config += &channel(name, &receiver.url("/"), &keys);
        proxies.push(proxy);
    }
    let closed = Closed::new();
    config += &channel("gone", &receiver.url("/"), &format!("proxy = \"http://{closed}\""));
    let host = Setup::new(&config).start().await;
    let gone = ("gone", closed.address, "can't be reached: Connection refused".to_owned());
    let told = cases.into_iter().zip(&proxies).map(|((name, _, words), proxy)| (name, proxy.address, words));
    for (name, proxy, words) in told.chain([gone]) {
        let attempt = attempt(&host, name).await;
        let exchange = &attempt["exchanges"][0];
        let said = exchange["error"][1].as_str().unwrap_or_default();
        assert_eq!(
            (&exchange["error"][0], &attempt["blame"], &exchange["response"]),
            (&"proxy".into(), &"host".into(), &Value::Null),
            "{name}: {attempt:#}"
        );
        assert!(said.contains(&format!("the proxy {proxy} ")) && said.contains(&words), "{name}: {said}");
    }
    assert!(receiver.received().is_empty());
    assert!(host.deliveries().await.iter().all(|one| one.delivery.state == State::Failed));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_through_a_proxy_leads_past_the_guard() {
    let proxy = Proxy::start(Manner::Connects).await;
    // Loopback is allowed, and that of IPv6 is not.
    let setup = Setup::new(
        &[
            channel("private", "https://10.0.0.1/", &proxied(&proxy)),
            channel("metadata", "https://169.254.169.254/latest/", &proxied(&proxy)),
            channel("mapped", "https://[::ffff:10.0.0.1]/", &proxied(&proxy)),
        ]
        .concat(),
    );
    let host = setup.start().await;
    for name in ["private", "metadata", "mapped"] {
        let attempt = attempt(&host, name).await;
        assert!(attempt["reason"].as_str().unwrap().contains("outbound.allow_addresses = ["), "{attempt:#}");
    }
    let all = host.deliveries().await;
    assert!(all.iter().all(|one| one.delivery.reason.is_some_and(|reason| reason.as_str() == "blocked")), "{all:?}");
    assert_eq!(proxy.asked(), [""; 0]);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_is_taken_from_the_environment() {
    let (receiver, proxy) = (Receiver::start().await, Proxy::start(Manner::Connects).await);
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[outbound]\nallow_http = [\"127.0.0.1\"]\n\
         allow_addresses = [\"127.0.0.0/8\"]\n{}",
        channel("c", &receiver.url("/c"), "")
    );
    std::fs::write(folder.path().join("herald.toml"), config).unwrap();
    let mut program = Program::new(folder.path());
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        let url = format!("http://{}", proxy.address);
        program = program.variable(name, &url).variable(&name.to_lowercase(), &url);
    }
    program = program.variable("NO_PROXY", "nobody.example").variable("no_proxy", "nobody.example");
    let running = program.serve(&[]).await;
    let tested = program.run(&["channels", "test", "c", "--url", &running.url()]).await;
    assert_eq!(tested.code, Some(0), "{tested:?}");
    assert_eq!(receiver.wait_for(1).await[0].path, "/c");
    assert_eq!(proxy.asked(), [""; 0], "neither the delivery nor the command came by");
}
