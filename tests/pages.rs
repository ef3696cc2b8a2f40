//! Web pages in a browser on the host's machine: what they may not ask, however they go about it.

use herald::clock;

use crate::harness::{Setup, TestHost, raw, within};

const EVENT: &str = "{\"type\":\"a\"}";
const TOKEN: &str = "hrld_pages-0123456789012345678901234567890";

/// The answer to a request whose head has these lines; a post brings an event.
async fn ask(host: &TestHost, line: &str, headers: &str) -> String {
    let body = if line.starts_with("POST") { EVENT } else { "" };
    let length = body.len();
    let head = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    raw(host.address(), &(head + body)).await
}

fn token() -> String {
    use sha2::Digest;
    let hash = hex::encode(sha2::Sha256::digest(TOKEN));
    format!(
        "[[server.token]]\nname = \"all\"\nsha256 = \"{hash}\"\nscopes = [\"events:write\", \"read\", \"manage\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_neither_posts_nor_reads() {
    // A page that has got hold of a token gets no further than one that has none.
    for (config, with) in [(String::new(), String::new()), (token(), format!("Authorization: Bearer {TOKEN}\r\n"))] {
        let host = Setup::new(&config).start().await;
        let own = format!("Host: {}\r\n{with}", host.address());
        let asked = async |line: &str, more: &str| ask(&host, line, &format!("{own}{more}")).await;
        for line in [
            "POST /v1/events",
            "POST /v1/channels/c/disable",
            "POST /v1/deliveries/retry",
            "GET /v1/deliveries",
            "GET /metrics",
            "OPTIONS /v1/events",
            "GET /nothing",
        ] {
            for more in [
                "Origin: https://evil.example\r\n",
                "Origin: null\r\n",
                "Origin: \r\n",
                "Origin: http://localhost:1\r\n",
                "Origin: http://127.0.0.1\r\n",
                "Origin: file://\r\n",
                "Sec-Fetch-Site: cross-site\r\n",
                "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: no-cors\r\n",
                "Sec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n",
                &format!("Origin: http://{}@evil.example\r\n", host.address()),
                &format!("Origin: http://{}\r\nOrigin: https://evil.example\r\n", host.address()),
            ] {
                let heard = asked(line, more).await;
                let refused = heard.starts_with("HTTP/1.1 403 ") && heard.contains("\"foreign_page\"");
                assert!(refused && !heard.to_lowercase().contains("access-control"), "{line} {more:?}: {heard}");
            }
        }
        assert_eq!(host.app.pipeline().totals().accepted(), 0, "no event was stored");
        // Balancers are answered whatever they say; programs, and what somebody types, as ever.
        for health in ["GET /healthz", "GET /readyz"] {
            assert!(asked(health, "Origin: https://evil.example\r\n").await.starts_with("HTTP/1.1 200 "));
        }
        let same = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", host.address());
        for more in ["", "Sec-Fetch-Site: none\r\n", &same] {
            assert!(asked("POST /v1/events", more).await.starts_with("HTTP/1.1 202 "), "{more}");
            assert!(asked("GET /v1/deliveries", more).await.starts_with("HTTP/1.1 200 "), "{more}");
        }
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_rebound_to_loopback_reaches_nothing_without_a_token() {
    let setup = Setup::new("");
    let host = setup.start().await;
    let port = host.address().port();
    for strange in [
        format!("evil.example:{port}"),
        "evil.example".to_owned(),
        "localhost.evil.example".to_owned(),
        format!("localhost@evil.example:{port}"),
        "127.0.0.1.evil.example".to_owned(),
        "10.0.0.7".to_owned(),
        "0.0.0.0".to_owned(),
        "a b".to_owned(),
        String::new(),
    ] {
        // Its own origin: to the browser it is one site.
        let headers = format!("Host: {strange}\r\nOrigin: http://{strange}\r\nSec-Fetch-Site: same-origin\r\n");
        for line in ["POST /v1/events", "GET /v1/deliveries", "GET /metrics"] {
            let heard = ask(&host, line, &headers).await;
            assert!(
                heard.starts_with("HTTP/1.1 403 ") && heard.contains("\"unknown_host\""),
                "{line} {strange}: {heard}"
            );
            assert!(heard.contains("server.allowed_hosts"), "{heard}");
        }
        // What is wrong with the config is told to nobody either.
        let health = ask(&host, "GET /healthz", &headers).await;
        assert!(health.starts_with("HTTP/1.1 200 ") && !health.contains("problems"), "{health}");
    }
    // Neither place for a name takes the other's part.
    for (line, headers) in [
        ("GET http://evil.example/v1/deliveries", "Host: localhost\r\n"),
        ("POST http://evil.example/v1/events", "Host: localhost\r\n"),
        ("POST http://localhost/v1/events", "Host: evil.example\r\n"),
        ("POST /v1/events", "Host: localhost\r\nHost: evil.example\r\n"),
    ] {
        let heard = ask(&host, line, headers).await;
        assert!(heard.starts_with("HTTP/1.1 403 "), "{line} {headers}: {heard}");
    }
    for good in ["localhost", "LocalHost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:7766", "[::ffff:127.0.0.1]"] {
        let heard = ask(&host, "POST /v1/events", &format!("Host: {good}\r\n")).await;
        assert!(heard.starts_with("HTTP/1.1 202 "), "{good}: {heard}");
    }
    // A proxy's name is allowed without a restart, and a page of that name may ask.
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let next = setup.folder.path().join("next");
    std::fs::write(&next, text.replace("[server]", "[server]\nallowed_hosts = [\"Herald.example.com\"]")).unwrap();
    std::fs::rename(next, setup.config()).unwrap();
    let proxied = "Host: herald.example.com\r\nOrigin: https://herald.example.com\r\nSec-Fetch-Site: same-origin\r\n";
    within("the name to be allowed", async {
        while !ask(&host, "GET /v1/jobs", proxied).await.starts_with("HTTP/1.1 200 ") {
            clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let rewritten = "Host: 127.0.0.1:9\r\nOrigin: https://herald.example.com\r\n";
    assert!(ask(&host, "POST /v1/events", rewritten).await.starts_with("HTTP/1.1 202 "));
    assert!(ask(&host, "GET /v1/jobs", "Host: evil.example\r\n").await.starts_with("HTTP/1.1 403 "));
    // With tokens a rebound name brings nothing: the page has none. So any name will do.
    setup.write_config(&token());
    within("the tokens to be asked for", async {
        while !ask(&host, "GET /v1/jobs", "Host: localhost\r\n").await.starts_with("HTTP/1.1 401 ") {
            clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let heard = ask(&host, "GET /v1/jobs", &format!("Host: h\r\nAuthorization: Bearer {TOKEN}\r\n")).await;
    assert!(heard.starts_with("HTTP/1.1 200 "), "{heard}");
    host.stop().await;
}
