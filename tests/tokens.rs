//! Who may do what by the API: tokens, their scopes, and whoever tries without.

use std::net::SocketAddr;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::{Setup, TestHost, process::Program, raw, within};

const WRITE: &str = "hrld_write-0123456789012345678901234567890";
const READ: &str = "hrld_read-01234567890123456789012345678901";
const MANAGE: &str = "hrld_manage-012345678901234567890123456789";
const UNKNOWN: &str = "hrld_unknown-01234567890123456789012345678";

/// Every route: method, path, and the scope that it needs; "" where it needs none.
const ROUTES: [(&str, &str, &str); 21] = [
    ("GET", "/healthz", ""),
    ("GET", "/readyz", ""),
    ("GET", "/metrics", "read"),
    ("POST", "/v1/events", "events:write"),
    // Of a source that signs, which there is none of here, and for who has a token, whatever it allows.
    ("POST", "/v1/sources/x/events", "any"),
    ("POST", "/v1/events/replay", "manage"),
    ("POST", "/v1/events/x/replay", "manage"),
    ("GET", "/v1/deliveries", "read"),
    ("POST", "/v1/deliveries/retry", "manage"),
    ("POST", "/v1/deliveries/cancel", "manage"),
    ("GET", "/v1/deliveries/x", "read"),
    ("POST", "/v1/deliveries/x/retry", "manage"),
    ("POST", "/v1/deliveries/x/cancel", "manage"),
    ("GET", "/v1/jobs", "read"),
    ("GET", "/v1/jobs/x", "read"),
    ("POST", "/v1/jobs/x/stop", "manage"),
    ("GET", "/v1/channels", "read"),
    ("POST", "/v1/channels/x/test", "manage"),
    ("POST", "/v1/channels/x/enable", "manage"),
    ("POST", "/v1/channels/x/disable", "manage"),
    ("GET", "/v1/adapters", "read"),
];

/// The lines of a token that has this scope.
fn token(token: &str, scope: &str) -> String {
    let hash = hex::encode(Sha256::digest(token));
    let name = scope.replace(':', "-");
    format!("[[server.token]]\nname = \"{name}\"\nsha256 = \"{hash}\"\nscopes = [\"{scope}\"]\n")
}

/// One token for each scope.
fn tokens() -> String {
    [token(WRITE, "events:write"), token(READ, "read"), token(MANAGE, "manage")].concat()
}

/// The status, the challenge, and the body.
async fn ask(host: &TestHost, method: &str, path: &str, token: Option<&str>) -> (StatusCode, String, Value) {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = host.http.request(method, format!("{}{path}", host.base));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let answer = within(path, request.send()).await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map_or("", |value| value.to_str().unwrap()).to_owned();
    let (status, body) = (answer.status(), answer.bytes().await.unwrap());
    (status, challenge, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_route_needs_a_token_with_its_scope() {
    // A route that is not in this test's list is one that nobody has thought about.
    let source = include_str!("../host/src/api/mod.rs").split("fn routes()").nth(1).unwrap();
    assert_eq!(source.lines().filter(|line| line.starts_with("        (")).count(), ROUTES.len());
    let host = Setup::new(&tokens()).start().await;
    for (method, path, scope) in ROUTES {
        for (presented, has) in [
            (None, ""),
            (Some(UNKNOWN), ""),
            (Some(WRITE), "events:write"),
            (Some(READ), "read"),
            (Some(MANAGE), "manage"),
        ] {
            let (status, challenge, body) = ask(&host, method, path, presented).await;
            let what = format!("{method} {path} with {has:?}: {status} {body}");
            if scope.is_empty() || scope == has || (scope == "any" && !has.is_empty()) {
                assert!(![StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status), "{what}");
            } else if has.is_empty() {
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{what}");
                let code = if presented.is_none() { "missing_token" } else { "unknown_token" };
                assert!(challenge.starts_with("Bearer") && body["code"] == code, "{what} {challenge}");
            } else {
                assert_eq!((status, &body["code"]), (StatusCode::FORBIDDEN, &json!("missing_scope")), "{what}");
                assert!(body["message"].as_str().unwrap().contains(&format!("`{scope}`")), "{what}");
                assert!(body["hint"].as_str().unwrap().contains("[[server.token]]"), "{what}");
                assert_eq!(challenge, format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""));
            }
        }
    }
    // What is no route, or not by this method, is nobody's business either.
    for (method, path) in [("GET", "/"), ("GET", "/v2"), ("DELETE", "/v1/channels"), ("OPTIONS", "/v1/deliveries")] {
        assert_eq!(ask(&host, method, path, None).await.0, StatusCode::UNAUTHORIZED, "{method} {path}");
    }
    assert_eq!(ask(&host, "GET", "/v2", Some(WRITE)).await.0, StatusCode::NOT_FOUND);
    assert_eq!(ask(&host, "DELETE", "/v1/channels", Some(READ)).await.0, StatusCode::METHOD_NOT_ALLOWED);
    assert!(host.deliveries().await.is_empty());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_a_request_gets_past_the_check() {
    const EVENT: &str = "{\"type\":\"a\"}";
    let channel = "[[channel]]\nname = \"c\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://127.0.0.1:9/\"\n\
                   [[route]]\nchannel = \"c\"\n";
    let host = Setup::new(&(tokens() + channel)).start().await;
    let address = host.address();
    let request = |line: &str, headers: &str| {
        let length = EVENT.len();
        format!("{line} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{EVENT}")
    };
    let long = "x".repeat(60_000);
    let bad_headers = [
        String::new(),
        "Authorization:\r\n".to_owned(),
        "Authorization: Bearer\r\n".to_owned(),
        "Authorization: Bearer \r\n".to_owned(),
        format!("Authorization: {WRITE}\r\n"),
        format!("Authorization: Basic {WRITE}\r\n"),
        format!("Authorization: Bearer{WRITE}\r\n"),
        format!("Authorization: Bearer {WRITE}x\r\n"),
        format!("Authorization: Bearer {}\r\n", WRITE.to_uppercase()),
        format!("Authorization: Bearer \"{WRITE}\"\r\n"),
        format!("Authorization: Bearer {WRITE}, Bearer {WRITE}\r\n"),
        format!("Authorization: Bearer {WRITE}\r\nAuthorization: Bearer {WRITE}\r\n"),
        format!("Authorization: Bearer {UNKNOWN}\r\nAuthorization: Bearer {WRITE}\r\n"),
        format!("Authorization: Bearer {long}\r\n"),
        format!("Authorization: Bearer \u{e9}{WRITE}\r\n"),
        format!("Proxy-Authorization: Bearer {WRITE}\r\n"),
        format!("Cookie: token={WRITE}\r\n"),
        // The hash, for who has read the config.
        format!("Authorization: Bearer {}\r\n", hex::encode(Sha256::digest(WRITE))),
    ];
    for headers in &bad_headers {
        let heard = raw(address, &request("POST /v1/events", headers)).await;
        let shown = headers.chars().take(100).collect::<String>();
        assert!(heard.starts_with("HTTP/1.1 401 "), "{shown:?}: {heard}");
        assert!(heard.contains("www-authenticate: Bearer") && !heard.contains(WRITE), "{heard}");
    }
    for line in [
        "POST http://h/v1/events",
        "POST http://127.0.0.1/v1/events?token=x",
        "POST //v1/events",
        "POST /v1//events",
        "POST /v1/events/",
        "POST /v1/./events",
        "POST /healthz/../v1/events",
        "POST /v1/%65vents",
        "POST /%76%31/events",
        "POST /v1%2fevents",
        "POST /V1/Events",
        "POST /v1/events;a=b",
        "HEAD /v1/deliveries",
        "OPTIONS /v1/events",
        "OPTIONS *",
        "PUT /v1/events",
        "TRACE /v1/events",
        "post /v1/events",
        "GET http://h/v1/deliveries",
        "GET /v1/deliveries/",
        "GET //v1/deliveries",
        "GET /healthz/../metrics",
        "GET /healthz/",
        "GET /%6detrics",
        "POST /v1/channels/c%2Fdisable",
    ] {
        let heard = raw(address, &request(line, "")).await;
        let refused = ["HTTP/1.1 401 ", "HTTP/1.1 400 "].iter().any(|start| heard.starts_with(start));
        assert!(refused, "{line:?}: {heard}");
    }
    // Of several on one connection each needs its own; after the first without, nothing more is read there.
    let with = format!("Authorization: Bearer {WRITE}\r\n");
    let kept = |headers: &str| request("POST /v1/events", headers).replace("Connection: close\r\n", "");
    let heard = raw(address, &[kept(&with), kept(""), request("POST /v1/events", "")].concat()).await;
    let statuses: Vec<_> = heard.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["202", "401"], "{heard}");
    // The scheme is the same in any case, and what stands around a header is not part of it.
    for good in [format!("authorization: bEARER   {WRITE}  \t\r\n"), with] {
        let heard = raw(address, &request("POST http://h/v1/events", &good)).await;
        assert!(heard.starts_with("HTTP/1.1 202 "), "{heard}");
    }
    assert_eq!(host.deliveries().await.len(), 3);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_comes_before_the_body_is_read() {
    let host = Setup::new(&tokens()).start().await;
    // Neither body ever comes; without the check the first would be waited for, and the second asked for.
    for (path, expect) in
        [("/v1/events", ""), ("/v1/events", "Expect: 100-continue\r\n"), ("/v1/channels/c/disable", "")]
    {
        let head = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{expect}Content-Length: 900000\r\n\r\n");
        let heard = raw(host.address(), &head).await;
        assert!(heard.starts_with("HTTP/1.1 401 ") && !heard.contains("100 Continue"), "{path} {expect}: {heard}");
    }
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_change_with_the_config_without_a_restart() {
    let setup = Setup::new("");
    let host = setup.start().await;
    assert_eq!(ask(&host, "GET", "/v1/jobs", None).await.0, StatusCode::OK, "without tokens all is open");
    let until = async |presented: Option<&str>, wanted: StatusCode| {
        within(&format!("an answer of {wanted}"), async {
            while ask(&host, "GET", "/v1/jobs", presented).await.0 != wanted {
                herald::clock::pause(std::time::Duration::from_millis(10)).await;
            }
        })
        .await;
    };
    setup.write_config(&token(READ, "read"));
    until(None, StatusCode::UNAUTHORIZED).await;
    assert_eq!(ask(&host, "GET", "/v1/jobs", Some(READ)).await.0, StatusCode::OK);
    // One that is given by reference takes its place.
    std::fs::write(setup.folder.path().join("token"), format!("{MANAGE}\n")).unwrap();
    setup.write_config("[[server.token]]\nname = \"other\"\ntoken = { file = \"token\" }\nscopes = [\"read\"]\n");
    until(Some(MANAGE), StatusCode::OK).await;
    assert_eq!(ask(&host, "GET", "/v1/jobs", Some(READ)).await.0, StatusCode::UNAUTHORIZED);
    // What is wrong changes nothing, and is told to who may read.
    setup.write_config("[[server.token]]\nname = \"other\"\nsha256 = \"abc\"\nscopes = [\"read\"]\n");
    within("the bad config to be told of", async {
        while ask(&host, "GET", "/healthz", None).await.2["config"]["applied"] != json!(false) {
            herald::clock::pause(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    let (_, _, health) = ask(&host, "GET", "/healthz", None).await;
    assert_eq!(health["config"], json!({ "applied": false }), "problems name files and channels");
    let (_, _, health) = ask(&host, "GET", "/healthz", Some(MANAGE)).await;
    assert!(health["config"]["problems"][0].as_str().unwrap().contains("server.token.other.sha256"), "{health}");
    assert_eq!(ask(&host, "GET", "/v1/jobs", None).await.0, StatusCode::UNAUTHORIZED);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_beyond_loopback_needs_a_token_or_is_told_that_it_is_open() {
    let setup = Setup::new("");
    let program = Program::new(setup.folder.path());
    for arguments in [&["--listen", "0.0.0.0:0"][..], &["--listen", "[::]:0"]] {
        let (code, log) = program.launch(arguments).ended().await;
        let log = log.join("\n");
        assert_eq!(code, Some(2), "{log}");
        for part in ["flag --listen: server.listen: ", "no token is configured", "herald token new", "--insecure"] {
            assert!(log.contains(part), "{part:?} in {log}");
        }
    }
    let ended = program.run(&["check"]).await;
    assert_eq!(ended.code, Some(0), "by default it is on loopback: {ended:?}");
    // Said, it starts, and warns.
    let mut open = program.launch(&["--listen", "0.0.0.0:0", "--insecure"]);
    open.logged("server.insecure: whoever reaches this host").await;
    open.logged(" ready ").await;
    open.stop().await;
    let by_environment = Program::new(setup.folder.path()).variable("HERALD_SERVER__INSECURE", "true");
    let mut open = by_environment.launch(&["--listen", "0.0.0.0:0"]);
    open.logged(" ready ").await;
    open.stop().await;
    setup.write_config(&tokens());
    let mut closed = program.launch(&["--listen", "0.0.0.0:0"]);
    let ready = closed.logged(" ready ").await;
    let port: u16 = ready.split("0.0.0.0:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    let ask = "GET /v1/jobs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(raw(address, ask).await.starts_with("HTTP/1.1 401 "));
    closed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_reload_opens_a_host_that_listens_beyond_loopback() {
    let setup = Setup::new(&tokens());
    let program = Program::new(setup.folder.path());
    let text = std::fs::read_to_string(setup.config()).unwrap();
    std::fs::write(setup.config(), text.replace("127.0.0.1:0", "0.0.0.0:0")).unwrap();
    let mut host = program.launch(&[]);
    let ready = host.logged(" ready ").await;
    let port: u16 = ready.split("0.0.0.0:").nth(1).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    // By itself this config is good: it would listen on loopback. What runs listens where it did.
    setup.write_config("");
    host.logged("the host listens beyond this machine and would ask for no token any more").await;
    let ask = "GET /v1/jobs HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    assert!(raw(([127, 0, 0, 1], port).into(), ask).await.starts_with("HTTP/1.1 401 "));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_bring_a_token_and_say_what_to_do_without_one() {
    let setup = Setup::new("");
    let folder = setup.folder.path();
    let plain = Program::new(folder);
    // As it is printed, so it works.
    let made = plain.run(&["token", "new", "--name", "ci", "--scopes", "events:write,read"]).await;
    let secret = made.out.lines().find(|line| line.starts_with("hrld_")).unwrap().to_owned();
    assert_eq!(secret.len(), "hrld_".len() + 43, "{made:?}");
    let lines = &made.out[made.out.find("[[server.token]]").unwrap()..];
    assert!(!lines.contains(&secret) && made.out.matches(&secret).count() == 1, "{made:?}");
    setup.write_config(lines);
    let other = plain.json(&["token", "new"]).await;
    assert!(other["token"] != json!(secret) && other["scopes"] == json!(["events:write"]), "{other}");
    // With all that it can log.
    let loud = Program::new(folder).variable("HERALD_SERVER__LOG", "trace");
    let mut host = loud.serve(&["--listen", "127.0.0.1:0"]).await;
    let url = host.url();
    std::fs::write(folder.join("event.json"), "{\"type\":\"a\"}").unwrap();
    std::fs::write(folder.join("secret"), format!("{secret}\n")).unwrap();
    let known = Program::new(folder).variable("HERALD_TOKEN", &secret);
    for (program, arguments) in [
        (&known, &["send", "event.json"][..]),
        (&known, &["deliveries", "list"]),
        (&plain, &["send", "event.json", "--token-file", "secret"]),
        (&plain, &["adapters", "list", "--token-file", "secret"]),
    ] {
        let ended = program.run(&[arguments, &["--url", &url]].concat()).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    }
    let unknown = Program::new(folder).variable("HERALD_TOKEN", UNKNOWN);
    let broken = Program::new(folder).variable("HERALD_TOKEN", "two words-of-s3cret");
    for (program, arguments, parts) in [
        (
            &plain,
            &["send", "event.json"][..],
            ["this host asks for a token; put one into HERALD_TOKEN", "--token-file"],
        ),
        (&unknown, &["jobs", "list"], ["does not know this token; it came from HERALD_TOKEN", "herald token new"]),
        (
            &known,
            &["channels", "enable", "x"],
            ["a token with the scope `manage`", "add the scope to its [[server.token]]"],
        ),
        (&known, &["jobs", "list", "--token-file", "absent"], ["cannot read absent", "No such file"]),
        (&broken, &["jobs", "list"], ["HERALD_TOKEN holds no token such as hrld_", "one word"]),
    ] {
        let ended = program.run(&[arguments, &["--url", &url]].concat()).await;
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        for part in parts {
            assert!(ended.err.contains(part), "{part:?} in {ended:?}");
        }
        assert!(
            !ended.err.contains(&secret) && !ended.err.contains(UNKNOWN) && !ended.err.contains("s3cret"),
            "{ended:?}"
        );
    }
    let bad = plain.run(&["token", "new", "--scopes", "all"]).await;
    assert!(bad.code == Some(2) && bad.err.contains("events:write, read and manage"), "{bad:?}");
    host.logged(" ready ").await;
    let log = host.stop().await.join("\n");
    assert!(!log.contains(&secret) && !log.contains(UNKNOWN), "{log}");
}
