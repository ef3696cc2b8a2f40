//! The API under TLS: who gets through, who does not, and what becomes of a certificate that is renewed.

use std::{path::PathBuf, sync::Arc, time::Duration};

use herald::clock::{self, Stopwatch};
use reqwest::Certificate;
use rustls::{
    ClientConfig, ProtocolVersion, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::harness::{Setup, TestHost, process::Program, raw, tls::Authority, within};

/// A host that speaks TLS, in this process, and whoever signed its certificate.
struct Secured {
    setup: Setup,
    authority: Authority,
}

impl Secured {
    /// It waits for its clients for longer than any test takes.
    fn new() -> Self {
        Self::waiting("5m")
    }

    /// It waits for as long for a handshake.
    fn waiting(request_timeout: &str) -> Self {
        let secured = Self { setup: Setup::new(""), authority: Authority::new("Test authority") };
        secured.renew(&["localhost", "127.0.0.1"]);
        let text = std::fs::read_to_string(secured.setup.config()).unwrap();
        let server = format!(
            "[server]\nrequest_timeout = \"{request_timeout}\"\ntls = {{ certificate = \"c.pem\", key = \"k.pem\" }}\n"
        );
        std::fs::write(secured.setup.config(), text.replace("[server]\n", &server)).unwrap();
        std::fs::write(secured.file("ca.pem"), secured.authority.pem()).unwrap();
        secured
    }

    fn file(&self, name: &str) -> PathBuf {
        self.setup.folder.path().join(name)
    }

    /// Another certificate in the place of the one that is there.
    fn renew(&self, names: &[&str]) {
        let (certificate, key) = self.authority.pems(names);
        self.put("c.pem", &certificate);
        self.put("k.pem", &key);
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(self.file(name), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    fn client(&self) -> reqwest::Client {
        let _ = ring::default_provider().install_default();
        let trusted = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        // A connection that is kept goes on under the certificate that it began with.
        reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).pool_max_idle_per_host(0).build().unwrap()
    }

    fn connector(&self, versions: &[&'static rustls::SupportedProtocolVersion], protocols: &[&str]) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let mut config =
            config.with_protocol_versions(versions).unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

/// Waits until a client that asks for this name gets an answer, or none any more.
async fn until_known_as(client: &reqwest::Client, host: &TestHost, name: &str, known: bool) {
    let url = format!("https://{name}:{}/v1/jobs", host.address().port());
    within(&format!("{name}: {known}"), async {
        while client.get(&url).send().await.is_ok() != known {
            clock::pause(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_speaks_tls_1_2_and_1_3_and_nothing_older() {
    let secured = Secured::new();
    let host = secured.setup.start().await;
    let address = host.address();
    let url = format!("https://localhost:{}", address.port());
    let answer = secured.client().post(format!("{url}/v1/events")).body("{\"type\":\"a\"}").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    for (version, wanted) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let socket = TcpStream::connect(address).await.unwrap();
        let connector = secured.connector(&[version], &["h2", "http/1.1"]);
        let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), socket).await.unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(wanted));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        within("an answer", stream.read_to_string(&mut heard)).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    }
    // A hello of TLS 1.0 and 1.1: one cipher suite of theirs, no extensions.
    for minor in [1, 2] {
        let hello = [&[3, minor][..], &[7; 32], &[0], &[0, 2, 0, 0x2f], &[1, 0]].concat();
        let length = u8::try_from(hello.len()).unwrap();
        let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(&record).await.unwrap();
        let mut heard = Vec::new();
        let _ = within("the end", socket.read_to_end(&mut heard)).await;
        // A fatal alert, `protocol_version` or `handshake_failure` (RFC 8446, 6), and no hello.
        assert!(matches!(heard.as_slice(), [21, _, _, 0, 2, 2, 70 | 40 | 47]), "{heard:?}");
    }
    // Whoever does not know the authority goes away.
    assert!(host.http.get(format!("{url}/v1/jobs")).send().await.is_err());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_where_tls_is_spoken_gets_a_hint_and_nothing_else() {
    let secured = Secured::new();
    let host = secured.setup.start().await;
    let body = "{\"type\":\"a\"}";
    let post = format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for request in [post.as_str(), "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n", "x"] {
        let heard = raw(host.address(), request).await;
        assert!(heard.starts_with("HTTP/1.1 400 ") && heard.contains("https://"), "{request}: {heard}");
    }
    assert_eq!(host.app.pipeline().totals().accepted(), 0);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_not_finished_is_closed_and_holds_up_nobody() {
    // Which the request in the middle has as well, on a busy machine.
    const GIVEN: Duration = Duration::from_secs(3);
    let secured = Secured::waiting("3s");
    let host = secured.setup.start().await;
    let address = host.address();
    let begun = Stopwatch::start();
    let mut held = Vec::new();
    for begin in [&b""[..], &[22], &[22, 3, 1, 2, 0], &[22, 3, 1, 0x40, 0, 1]] {
        for _ in 0..10 {
            let mut socket = TcpStream::connect(address).await.unwrap();
            socket.write_all(begin).await.unwrap();
            held.push(socket);
        }
    }
    let client = secured.client();
    let url = format!("https://localhost:{}/v1/jobs", address.port());
    assert_eq!(within("an answer meanwhile", client.get(&url).send()).await.unwrap().status(), 200);
    for mut socket in held {
        let mut heard = Vec::new();
        let _ = within("the end of a connection", socket.read_to_end(&mut heard)).await;
    }
    assert!(begun.elapsed() >= GIVEN, "they have had their time");
    // None of it holds up a stop.
    let _silent = TcpStream::connect(address).await.unwrap();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_used_without_a_restart_and_a_broken_one_leaves_the_old() {
    let secured = Secured::new();
    let host = secured.setup.start().await;
    let client = secured.client();
    until_known_as(&client, &host, "localhost", true).await;
    // Only the files change. The new one is for one name less, which tells that it is in use.
    secured.renew(&["127.0.0.1"]);
    until_known_as(&client, &host, "localhost", false).await;
    until_known_as(&client, &host, "127.0.0.1", true).await;
    // Half of the next one: a certificate without its key. The host says so, and goes on.
    let (certificate, key) = secured.authority.pems(&["localhost"]);
    secured.put("c.pem", &certificate);
    let health = format!("https://127.0.0.1:{}/healthz", host.address().port());
    within("the broken one to be told of", async {
        loop {
            let answer = client.get(&health).send().await.unwrap().bytes().await.unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
            if answer["config"]["applied"] == json!(false) {
                let problem = answer["config"]["problems"][0].as_str().unwrap();
                assert!(problem.contains("server.tls: certificate and key do not fit"), "{problem}");
                return;
            }
            clock::pause(Duration::from_millis(20)).await;
        }
    })
    .await;
    for (name, text) in [("c.pem", "no certificate"), ("k.pem", "no key")] {
        secured.put(name, text);
    }
    until_known_as(&client, &host, "127.0.0.1", true).await;
    secured.put("c.pem", &certificate);
    secured.put("k.pem", &key);
    until_known_as(&client, &host, "localhost", true).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_talk_to_a_host_over_tls_and_say_why_they_do_not_trust_one() {
    let secured = Secured::new();
    let folder = secured.setup.folder.path();
    let mut host = Program::new(folder).launch(&[]);
    let ready = host.logged(" ready ").await;
    let port = ready.split("127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap();
    let url = format!("https://localhost:{port}");
    let ca = secured.file("ca.pem").display().to_string();
    let run = async |args: &[&str], ca_variable: &str| {
        Program::new(folder).variable("HERALD_CA", ca_variable).run(args).await
    };
    for (args, ca_variable) in [
        (vec!["channels", "list", "--url", &url, "--ca", &ca], ""),
        (vec!["channels", "list", "--url", &url], ca.as_str()),
    ] {
        let ran = run(&args, ca_variable).await;
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    let ran = run(&["channels", "list", "--url", &url], "").await;
    assert!(ran.code == Some(1) && ran.err.contains("not to be trusted") && ran.err.contains("--ca"), "{}", ran.err);
    let plain = url.replace("https", "http");
    let ran = run(&["channels", "list", "--url", &plain, "--ca", &ca], "").await;
    assert!(ran.code == Some(1) && ran.err.contains("https://"), "{}", ran.err);
    host.stop().await;
    // What is no certificate is told before anything runs, without the key.
    secured.put("k.pem", "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----\n");
    let ran = run(&["check"], "").await;
    let said = format!("{}{}", ran.out, ran.err);
    assert!(ran.code == Some(2) && said.contains("server.tls: ") && !said.contains("s3cret"), "{said}");
}
