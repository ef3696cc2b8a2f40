//! How requests say who sends them: tokens that are asked for, signatures that are made afresh.

use base64::{Engine, engine::general_purpose::STANDARD};
use herald::{clock::Clock, model::State, store::Listed};
use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Setup, TestHost, seconds};

const START: u64 = 1_700_000_000_000;
const CLIENT_SECRET: &str = "client-s3cret-distinct";

/// A `webhook` channel that gets every event, with these settings beside its URL.
fn channel(receiver: &Receiver, more: &str) -> String {
    format!(
        "[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\ntimeout = \"30s\"\nschedule = [\"60s\"]\n\
         [channel.settings]\nurl = \"{}\"\n{more}\n[[route]]\nchannel = \"hook\"\n",
        receiver.url("/hook")
    )
}

fn oauth(receiver: &Receiver, server: &Receiver) -> String {
    let auth = format!(
        "[channel.settings.auth.oauth2]\ntoken_url = \"{}\"\nclient_id = \"herald\"\nclient_secret = \"{CLIENT_SECRET}\"\n\
         scopes = [\"events.write\"]",
        server.url("/token")
    );
    channel(receiver, &auth)
}

/// The token endpoint gives this one next.
fn grant(server: &Receiver, token: &str, expires_in: u64) {
    let answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in});
    server.reply(Reply::new(200, &answer.to_string()).header("x-token", token));
}

async fn post(host: &TestHost, id: &str) {
    host.accepted(format!(r#"{{"type":"test","id":"{id}"}}"#)).await;
}

/// The account of the one delivery there is.
async fn account(host: &TestHost) -> Value {
    let listed = host.drain().await;
    host.show(&listed[0]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_asked_for_once_and_used_until_it_expires() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(START);
    let setup = Setup::new(&oauth(&receiver, &server)).clock(clock.clone());
    let host = setup.start().await;
    grant(&server, "token-of-the-first-hour", 3600);
    // All of them want it at the same time.
    server.hold();
    for id in ["a", "b", "c", "d"] {
        post(&host, id).await;
    }
    let asked = server.wait_for(1).await;
    server.release();
    let received = receiver.wait_for(4).await;
    assert!(received.iter().all(|one| one.header("authorization") == "Bearer token-of-the-first-hour"));
    let basic = format!("Basic {}", STANDARD.encode(format!("herald:{CLIENT_SECRET}")));
    assert_eq!((asked[0].path.as_str(), asked[0].header("authorization")), ("/token", basic.as_str()));
    assert_eq!(asked[0].text(), "grant_type=client_credentials&scope=events.write");
    host.drain().await;
    clock.advance(seconds(3500));
    post(&host, "e").await;
    receiver.wait_for(5).await;
    assert_eq!(server.received().len(), 1, "it is good for an hour");
    host.drain().await;
    grant(&server, "token-of-the-second-hour", 3600);
    clock.advance(seconds(80));
    post(&host, "f").await;
    assert_eq!(receiver.wait_for(6).await[5].header("authorization"), "Bearer token-of-the-second-hour");
    assert_eq!(server.received().len(), 2);
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_receiver_refuses_is_replaced_once_and_no_token_is_kept_or_shown() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    let setup = Setup::new(&oauth(&receiver, &server));
    let host = setup.start().await;
    let (old, new) = ("token-old-/distinct+1=", "token-new-/distinct+2=");
    grant(&server, old, 3600);
    grant(&server, new, 3600);
    // A receiver that says what it got, in a body, a header and in base 64.
    let echo = |status, token: &str| {
        let words = format!("got {token}, that is {}", STANDARD.encode(token));
        Reply::new(status, &words).header("x-echo", token)
    };
    receiver.reply(echo(401, old));
    receiver.reply(echo(200, &format!("{new} after {old}")));
    post(&host, "a").await;
    let account = account(&host).await;
    let sent: Vec<String> =
        receiver.received().iter().map(|received| received.header("authorization").to_owned()).collect();
    assert_eq!(sent, [format!("Bearer {old}"), format!("Bearer {new}")]);
    assert_eq!(account["delivery"]["state"], "delivered", "{account}");
    let attempt = &account["attempts"][0];
    assert_eq!(account["attempts"].as_array().unwrap().len(), 1, "in one attempt");
    let exchanges: Vec<(&str, u64)> = attempt["exchanges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let url = one["request"]["url"].as_str().unwrap();
            (url.rsplit_once('/').unwrap().1, one["response"]["status"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(exchanges, [("token", 200), ("hook", 401), ("token", 200), ("hook", 200)]);

    // The old one is known in later attempts, too.
    receiver.reply(echo(200, old));
    post(&host, "echo").await;
    host.drain().await;

    // Refused again: that is an answer like any other.
    receiver.reply(Reply::new(401, "no"));
    receiver.reply(Reply::new(401, "no"));
    grant(&server, "token-third", 3600);
    post(&host, "b").await;
    host.drain().await;
    assert_eq!((receiver.received().len(), server.received().len()), (5, 3));

    let mut told = String::new();
    for listed in host.deliveries().await {
        told += &host.show(&listed).await.to_string();
    }
    host.stop().await;
    for file in ["herald.db", "herald.db-wal"] {
        let bytes = std::fs::read(setup.folder.path().join(file)).unwrap_or_default();
        told += &String::from_utf8_lossy(&bytes);
    }
    for token in [old, new, "token-third", CLIENT_SECRET] {
        let encoded = STANDARD.encode(token);
        for form in [token, encoded.trim_end_matches('=')] {
            let at = told.find(form);
            assert!(at.is_none(), "{form} in: {}", &told[at.unwrap().saturating_sub(200)..][..400]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_gives_none_is_named_and_blamed_by_what_it_says() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    let clock = Clock::manual(START);
    let setup = Setup::new(&oauth(&receiver, &server)).clock(clock.clone());
    let host = setup.start().await;
    server.reply(Reply::new(503, "later").header("retry-after", "30"));
    server.reply(Reply::new(401, r#"{"error":"invalid_client"}"#));
    post(&host, "a").await;
    let all = host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    // A busy endpoint is waited for as a busy receiver is, as long as the delivery isn't older than its schedule.
    assert_eq!(all[0].delivery.due_at, Some(START + 30_000));
    clock.advance(seconds(30));
    let account = account(&host).await;
    let [first, second] = [&account["attempts"][0], &account["attempts"][1]];
    assert_eq!((&first["outcome"], &first["blame"]), (&json!("retry"), &json!("receiver")), "{first}");
    let words = "no access token from the token endpoint 127.0.0.1: it answered 503";
    assert_eq!(first["reason"], words);
    assert_eq!((&second["outcome"], &second["blame"]), (&json!("rejected"), &json!("settings")), "{second}");
    assert!(second["reason"].as_str().unwrap().contains("it answered 401, invalid_client"), "{second}");
    assert_eq!(receiver.received().len(), 0, "nothing goes out without a token");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_a_token_endpoint_grants_nothing_is_kept_though_it_is_no_use() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    let setup = Setup::new(&oauth(&receiver, &server));
    let host = setup.start().await;
    let token = "token-distinct";
    let long = json!({"access_token": token, "pad": "x".repeat(200_000)}).to_string();
    let bodies = [long, format!("{{\"accessToken\":\"{token}\"}}"), format!("access_token={token}")];
    for (number, body) in bodies.iter().enumerate() {
        server.reply(Reply::new(200, body));
        post(&host, &number.to_string()).await;
        let is_tried = |all: &[_]| all.len() == number + 1 && all.iter().all(has_an_attempt);
        for listed in host.until("an attempt each", is_tried).await {
            let account = host.show(&listed).await;
            assert!(!account.to_string().contains(token), "{account}");
            let attempt = &account["attempts"][0];
            assert_eq!(attempt["exchanges"][0]["response"]["body"], "[redacted]");
            assert_eq!(attempt["outcome"], "retry", "{attempt}");
            assert!(attempt["reason"].as_str().unwrap().starts_with("no access token from"), "{attempt}");
        }
    }
    assert_eq!(receiver.received().len(), 0);
    host.stop().await;
}

fn has_an_attempt(listed: &Listed) -> bool {
    listed.delivery.attempts == 1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_hangs_takes_no_more_than_the_attempts_time() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    server.hold();
    let setup = Setup::new(&oauth(&receiver, &server).replace("timeout = \"30s\"", "timeout = \"2s\""));
    let host = setup.start().await;
    post(&host, "a").await;
    let all = host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    let account = host.show(&all[0]).await;
    let attempt = &account["attempts"][0];
    let reason = attempt["reason"].as_str().unwrap();
    assert!(reason.starts_with("no access token from the token endpoint 127.0.0.1: timeout"), "{reason}");
    server.release();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_is_reached_only_where_the_channel_may_send() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    // By another name, so that it is another host.
    let config = oauth(&receiver, &server)
        .replace(&server.url("/token"), &format!("http://localhost:{}/token", server.address.port()))
        .replace("timeout = \"30s\"\n", "timeout = \"30s\"\nhosts = [\"127.0.0.1\"]\n");
    let setup = Setup::new(&config);
    let host = setup.start().await;
    post(&host, "a").await;
    let listed = host.drain().await;
    let account = host.show(&listed[0]).await;
    assert_eq!(
        (listed[0].delivery.state, &account["delivery"]["reason"]),
        (State::Failed, &json!("blocked")),
        "{account}"
    );
    let reason = account["attempts"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("token endpoint") && reason.contains("localhost"), "{reason}");
    assert_eq!((server.received().len(), receiver.received().len()), (0, 0));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_signed_for_aws_afresh_for_every_attempt() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(START);
    let auth = "[channel.settings.auth.aws_sigv4]\naccess_key_id = \"AKIDEXAMPLE\"\n\
                secret_access_key = \"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"\nsession_token = \"session-distinct\"\n\
                region = \"eu-west-1\"\nservice = \"s3\"";
    let setup = Setup::new(&channel(&receiver, auth)).clock(clock.clone());
    receiver.reply(Reply::new(500, "broken"));
    let host = setup.start().await;
    post(&host, "a").await;
    host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    clock.advance(seconds(100));
    let received = receiver.wait_for(2).await;
    assert_eq!(received[0].header("x-amz-date"), "20231114T221320Z");
    assert_eq!(received[1].header("x-amz-date"), "20231114T221500Z");
    assert_ne!(received[0].header("authorization"), received[1].header("authorization"));
    for one in &received {
        let names = "SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token";
        let authorization = one.header("authorization");
        assert!(authorization.contains("Credential=AKIDEXAMPLE/20231114/eu-west-1/s3/aws4_request"), "{authorization}");
        assert!(authorization.contains(names), "{authorization}");
    }
    let account = account(&host).await;
    assert!(!account.to_string().contains("session-distinct") && !account.to_string().contains("wJalr"), "{account}");
    host.stop().await;
}

const BEARER: &str = "[channel.settings.auth]\nbearer = { file = \"token\" }";

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_file_is_read_again_when_the_receiver_answers_401_and_the_delivery_arrives_with_the_new_one() {
    for status in [401, 403] {
        let receiver = Receiver::start().await;
        let setup = Setup::new(&channel(&receiver, BEARER)).clock(Clock::manual(START));
        let token = setup.folder.path().join("token");
        std::fs::write(&token, "old-distinct\n").unwrap();
        let host = setup.start().await;
        std::fs::write(&token, "new-distinct\n").unwrap();
        receiver.reply(Reply::new(status, "no"));
        post(&host, "a").await;
        let account = account(&host).await;
        let received: Vec<String> =
            receiver.received().iter().map(|one| one.header("authorization").to_owned()).collect();
        assert_eq!(received, ["Bearer old-distinct", "Bearer new-distinct"], "{account}");
        assert_eq!(account["delivery"]["state"], "delivered");
        let first = &account["attempts"][0];
        assert_eq!((&first["outcome"], &first["blame"]), (&json!("retry"), &json!("settings")));
        let reason =
            format!("answered {status}, and the channel's secrets have changed: tried again with those of now");
        assert_eq!(first["reason"], reason);
        assert!(!account.to_string().contains("-distinct"), "{account}");
        // It stays in use.
        post(&host, "b").await;
        assert_eq!(receiver.wait_for(3).await[2].header("authorization"), "Bearer new-distinct");
        host.drain().await;
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_secret_that_the_token_endpoint_refuses_is_read_again() {
    let (receiver, server) = (Receiver::start().await, Receiver::start().await);
    let config = oauth(&receiver, &server)
        .replace(&format!("client_secret = \"{CLIENT_SECRET}\""), "client_secret = { file = \"secret\" }");
    let setup = Setup::new(&config).clock(Clock::manual(START));
    let secret = setup.folder.path().join("secret");
    std::fs::write(&secret, "old").unwrap();
    let host = setup.start().await;
    std::fs::write(&secret, "new").unwrap();
    server.reply(Reply::new(400, r#"{"error":"invalid_client"}"#));
    grant(&server, "token-distinct", 3600);
    post(&host, "a").await;
    let listed = host.drain().await;
    assert_eq!(listed[0].delivery.state, State::Delivered);
    let basic = |secret| format!("Basic {}", STANDARD.encode(format!("herald:{secret}")));
    let asked: Vec<String> = server.received().iter().map(|one| one.header("authorization").to_owned()).collect();
    assert_eq!(asked, [basic("old"), basic("new")]);
    assert_eq!(receiver.received().len(), 1);
    host.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_everything_has_a_secrets_command_run_twice_a_minute_at_most() {
    use std::os::unix::fs::PermissionsExt;

    let receiver = Receiver::start().await;
    let clock = Clock::manual(START);
    let config = channel(&receiver, "[channel.settings.auth]\nbearer = { exec = [\"./give\"] }");
    let setup = Setup::new(&config).clock(clock.clone());
    let give = setup.folder.path().join("give");
    let runs = setup.folder.path().join("runs");
    std::fs::write(&give, "#!/bin/sh\ncd \"$(dirname \"$0\")\"\necho run >> runs\necho the-same\n").unwrap();
    std::fs::set_permissions(&give, std::fs::Permissions::from_mode(0o700)).unwrap();
    let host = setup.start().await;
    let count = || std::fs::read_to_string(&runs).unwrap().lines().count();
    let at_start = count();
    for round in 1..=2 {
        for number in 0..5 {
            receiver.reply(Reply::new(401, "no"));
            post(&host, &format!("{round}-{number}")).await;
        }
        let all = host.drain().await;
        assert!(all.iter().all(|one| one.delivery.state == State::Failed && one.delivery.attempts == 1));
        assert_eq!(count(), at_start + round, "once in this half minute");
        clock.advance(seconds(30));
    }
    // A command that gives nothing any more leaves things as they are.
    std::fs::write(&give, "#!/bin/sh\nexit 1\n").unwrap();
    receiver.reply(Reply::new(401, "no"));
    post(&host, "last").await;
    host.drain().await;
    post(&host, "well").await;
    let received = receiver.wait_for(12).await;
    assert!(received.iter().all(|one| one.header("authorization") == "Bearer the-same"));
    host.drain().await;
    host.stop().await;
}

fn digest<M: hmac::KeyInit + hmac::Mac>(key: &[u8], body: &[u8]) -> String {
    let mut mac = <M as hmac::KeyInit>::new_from_slice(key).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_verifies_basic_and_hmac_by_the_bytes_that_arrive() {
    type Verify = fn(&[u8], &[u8]) -> String;
    let secret = r#"s3cret: "é+/=%"#;
    let event = json!({"type": "test", "title": "Grüße \u{1f600}", "data": {"n": 1.50, "text": "a\nb"}}).to_string();
    let hashes: [(&str, Verify); 3] = [
        ("sha1", digest::<hmac::Hmac<sha1::Sha1>>),
        ("sha256", digest::<hmac::Hmac<sha2::Sha256>>),
        ("sha512", digest::<hmac::Hmac<sha2::Sha512>>),
    ];
    for body in ["\"payload\"", "\"event\"", "{ template = \"{{ event.title }}: {{ attempt }}\" }"] {
        let settings =
            |auth: &str| format!("body = {body}\nheaders = {{ content-type = \"text/plain\" }}\nauth = {auth}");
        for (hash, verify) in hashes {
            let receiver = Receiver::start().await;
            let auth = format!(
                "{{ hmac = {{ secret = {{ file = \"secret\" }}, header = \"X-Signature\", hash = \"{hash}\", prefix = \"{hash}=\" }} }}"
            );
            let setup = Setup::new(&channel(&receiver, &settings(&auth)));
            std::fs::write(setup.folder.path().join("secret"), secret).unwrap();
            let host = setup.start().await;
            host.accepted(event.clone()).await;
            let received = receiver.wait_for(1).await;
            let expected = format!("{hash}={}", verify(secret.as_bytes(), &received[0].body));
            assert_eq!(received[0].header("x-signature"), expected, "{body}");
            assert!(!received[0].body.is_empty());
            host.drain().await;
            host.stop().await;
        }
        let receiver = Receiver::start().await;
        let auth = "{ basic = { username = \"hérald\", password = { file = \"secret\" } } }";
        let setup = Setup::new(&channel(&receiver, &settings(auth)));
        std::fs::write(setup.folder.path().join("secret"), secret).unwrap();
        let host = setup.start().await;
        host.accepted(event.clone()).await;
        let received = receiver.wait_for(1).await;
        let credentials = received[0].header("authorization").strip_prefix("Basic ").unwrap();
        let credentials = String::from_utf8(STANDARD.decode(credentials).unwrap()).unwrap();
        // A password may have a colon in it, a user name can't (RFC 7617).
        assert_eq!(credentials.split_once(':'), Some(("hérald", secret)));
        host.drain().await;
        host.stop().await;
    }
}
