//! Secrets go to whom they are for, and appear nowhere else: not in the store, the log, the API, or what commands print.

use std::{fmt::Write, path::Path};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::harness::{
    Receiver, Reply, Setup,
    guests::Guest,
    hostile_guests::secret,
    process::{Program, Running},
    proxy::{Manner, Proxy},
};

/// With all that is escaped somewhere in it.
const HEADER: &str = r#"hdr-K7"qu\o'te<&>+/=%é-distinct"#;
const BODY: &str = r#"bdy-Q9"qu\o'te<&>+/=%é-distinct"#;
const PATH: &str = "T0000/B0000/pth-X4mZ8distinct";
const SIGNING: &str = "whsec_c2lnLWRpc3RpbmN0LXNlY3JldC1mb3Itc2lnbmluZyE=";
/// Not what a signing secret is.
const BROKEN: &str = "whsec_!!brk-V3distinct!!";

/// Of the proxies, in their URLs; one of them echoes it, and its base 64.
const PROXY: &str = "prx-H5distinct";
const ECHO: &str = "HTTP/1.1 407 prx-H5distinct\r\nx-echo: prx-H5distinct dXNlcjpwcngtSDVkaXN0aW5jdA==\r\n\r\n";

/// Every form in which a receiver may echo a secret.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap();
    let ascii: String = json
        .chars()
        .flat_map(|c| if c.is_ascii() { vec![c] } else { format!("\\u{:04x}", c as u32).chars().collect() })
        .collect();
    vec![
        secret.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        STANDARD.encode(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        json.trim_matches('"').to_owned(),
        ascii.trim_matches('"').to_owned(),
        secret
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
            .replace('\'', "&#39;"),
    ]
}

fn config(hook: &str, broken: &str) -> String {
    let quiet = "schedule = []\n";
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nlog = \"trace\"\n\n[outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\n\
         [[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n{quiet}\
         [channel.settings]\nurl = \"{hook}\"\nheaders = {{ x-api-key = {{ env = \"HEADER\" }}, x-more = {{ env = \"BODY\" }} }}\n\
         signing_secrets = [{{ env = \"SIGNING\" }}]\n\
         [[channel]]\nname = \"slack\"\nadapter = \"slack\"\n{quiet}\
         [channel.settings]\nwebhook_url = {{ env = \"SLACK\" }}\n\
         [[channel]]\nname = \"broken\"\nadapter = \"webhook\"\n{quiet}\
         [channel.settings]\nurl = \"{broken}\"\nsigning_secrets = [{{ env = \"BROKEN\" }}]\n\
         [[route]]\nchannel = \"hook\"\nevents = [\"hook\"]\n[[route]]\nchannel = \"slack\"\nevents = [\"slack\"]\n\
         [[route]]\nchannel = \"broken\"\nevents = [\"broken\"]\n\
         [[channel]]\nname = \"http-proxy\"\nadapter = \"webhook\"\n{quiet}proxy = {{ env = \"HTTP\" }}\n\
         [channel.settings]\nurl = \"{hook}\"\n[[route]]\nchannel = \"http-proxy\"\nevents = [\"proxied\"]\n\
         [[channel]]\nname = \"socks-proxy\"\nadapter = \"webhook\"\n{quiet}proxy = {{ env = \"SOCKS\" }}\n\
         [channel.settings]\nurl = \"{hook}\"\n[[route]]\nchannel = \"socks-proxy\"\nevents = [\"proxied\"]\n\
         [[channel]]\nname = \"own-tls\"\nadapter = \"webhook\"\n{quiet}\
         tls = {{ certificate = {{ env = \"CERTIFICATE\" }}, key = {{ env = \"KEY\" }} }}\n[channel.settings]\n\
         url = \"https://127.0.0.1:1/\"\n[[route]]\nchannel = \"own-tls\"\nevents = [\"proxied\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_store_the_log_the_api_or_what_commands_print_whatever_a_receiver_echoes() {
    let receiver = Receiver::start().await;
    let folder = tempfile::tempdir().unwrap();
    let slack = receiver.url(&format!("/services/{PATH}"));
    std::fs::write(folder.path().join("herald.toml"), config(&receiver.url("/in"), &receiver.url("/broken"))).unwrap();
    let (http, socks) = (Proxy::start(Manner::Says(ECHO)).await, Proxy::start(Manner::Socks).await);
    let rcgen::CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(["h".to_owned()]).unwrap();
    let key = signing_key.serialize_pem();
    let program = |url: &str| {
        Program::new(folder.path())
            .variable("HEADER", HEADER)
            .variable("BODY", BODY)
            .variable("SIGNING", SIGNING)
            .variable("SLACK", &slack)
            .variable("BROKEN", BROKEN)
            .variable("HTTP", &format!("http://user:{PROXY}@{}", http.address))
            .variable("SOCKS", &format!("socks5://user:{PROXY}@{}", socks.address))
            .variable("CERTIFICATE", &cert.pem())
            .variable("KEY", &key)
            .variable("HERALD_URL", url)
    };
    let host = program("").serve(&[]).await;
    // Each receiver echoes what its own channel may have sent.
    let secrets = [("hook", HEADER), ("hook", BODY), ("hook", SIGNING), ("slack", PATH), ("slack", slack.as_str())];
    let mut echoed = forms(BROKEN);
    let statuses = [200, 400, 404, 500, 302];
    let own = secrets.iter().flat_map(|(kind, secret)| forms(secret).into_iter().map(move |form| (kind, form)));
    let mut sent = 0;
    for ((kind, form), status) in own.zip(statuses.iter().cycle()) {
        receiver.reply(echo(*status, &form));
        let (answer, _) = host.post(json!({ "type": kind }).to_string()).await;
        assert_eq!(answer, 202);
        sent += 1;
        // A delivery that ends without a request has said why.
        host.drained().await;
        let last = host.deliveries(&format!("channel={kind}")).await.unwrap().swap_remove(0);
        assert_eq!(receiver.received().len(), sent, "{last:#}");
        echoed.push(form);
    }
    assert_eq!(host.post(json!({ "type": "broken" }).to_string()).await.0, 202);
    assert_eq!(host.post(json!({ "type": "proxied" }).to_string()).await.0, 202);
    host.drained().await;
    assert!(http.asked()[0].contains("dXNlcjpwcngtSDVkaXN0aW5jdA=="), "{:?}", http.asked());

    // They were sent: else there is nothing to find.
    let received = receiver.received();
    let header = |name| {
        received
            .iter()
            .filter_map(move |one| one.headers.get(name))
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    assert!(header("x-api-key").any(|value| value == HEADER) && header("x-more").any(|value| value == BODY));
    assert!(received.iter().any(|one| one.path.contains(PATH)) && header("webhook-signature").count() > 0);

    let list = host.deliveries("").await.unwrap();
    assert_eq!(list.len(), sent + 4);
    let told = told(host, &program, folder.path()).await;
    is_nowhere(&echoed, &told);
    // What identifies them is gone, too, whatever is left of the rest.
    for (place, text) in told.iter().filter(|(place, _)| place != "check") {
        for part in [
            "hdr-K7",
            "bdy-Q9",
            "pth-X4mZ8",
            "brk-V3",
            "prx-H5",
            "cHJ4LUg1",
            "dXNlcjpwcngtSDVk",
            key.lines().nth(1).unwrap(),
        ] {
            assert!(!text.contains(part), "{part:?} is in {place}: …{}", around(text, part));
        }
    }
}

/// All that a host tells, and leaves behind: its answers, what commands print, its log and its files.
async fn told<'a>(host: Running, program: &impl Fn(&str) -> Program<'a>, folder: &Path) -> Vec<(String, String)> {
    let mut told = Vec::new();
    let mut tell = |place: String, text: String| told.push((place, text));
    let list = host.deliveries("").await.unwrap();
    for path in
        ["/v1/deliveries?limit=1000", "/v1/channels", "/v1/adapters", "/v1/jobs", "/metrics", "/healthz", "/readyz"]
    {
        tell(path.to_owned(), host.get(path).await.1.to_string());
    }
    for one in &list {
        let id = one["id"].as_str().unwrap();
        tell(format!("delivery of {}", one["event"]), host.get(&format!("/v1/deliveries/{id}")).await.1.to_string());
    }
    let url = host.url();
    let last = list.last().unwrap()["id"].as_str().unwrap();
    for command in [
        &["check"][..],
        &["deliveries", "list"],
        &["deliveries", "show", last],
        &["channels", "list"],
        &["adapters", "list"],
    ] {
        let ended = program(&url).run(command).await;
        tell(command.join(" "), ended.out + &ended.err);
    }
    tell("log".to_owned(), host.stop().await.join("\n"));
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("herald.") {
            tell(name, String::from_utf8_lossy(&std::fs::read(entry.path()).unwrap()).into_owned());
        }
    }
    assert!(told.iter().any(|(place, _)| place == "herald.db"));
    told
}

fn is_nowhere(echoed: &[String], told: &[(String, String)]) {
    // In an answer of the API a form that was echoed is escaped once more.
    let again = echoed.iter().map(|form| serde_json::to_string(form).unwrap().trim_matches('"').to_owned());
    let needles: Vec<String> = again.chain(echoed.iter().cloned()).collect();
    for (place, text) in told {
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle:?} is in {place}: …{}", around(text, needle));
        }
    }
}

fn echo(status: u16, form: &str) -> Reply {
    let reply = Reply::new(status, &format!("you sent {form}, and again: {form}"));
    if http::HeaderValue::from_str(form).is_err() {
        return reply;
    }
    reply.header("x-echo", form).header("location", &format!("http://127.0.0.1/{form}"))
}

fn around(text: &str, part: &str) -> String {
    let at = text.find(part).unwrap_or_default();
    text.chars().skip(text[..at].chars().count().saturating_sub(80)).take(200).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_may_send_secrets_elsewhere_is_told_of_by_check_and_the_log() {
    const TOLD: &str = "channel.c.hosts: the adapter `guest` may send the channel's secrets to hosts that its settings do \
                        not name: *.elsewhere.example, collect.example";
    let config = |more: &str| {
        format!(
            "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n{more}[channel.settings]\nurl = \"https://api.example.com/x\"\n\
             key = {{ file = \"key\" }}\n[[channel]]\nname = \"open\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n"
        )
    };
    let setup = Setup::new(&config(""));
    std::fs::write(setup.folder.path().join("key"), "hunter2").unwrap();
    let put = |version: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let guest = secret(Guest { hosts, ..Guest::new(version, "https://api.example.com/") });
        let next = setup.folder.path().join("next");
        std::fs::write(&next, guest.component()).unwrap();
        std::fs::rename(next, setup.adapters().join("guest.wasm")).unwrap();
    };
    put("1", &["api.example.com", "*.elsewhere.example", "collect.example"]);
    let program = Program::new(setup.folder.path());
    let told = |text: &str| text.lines().filter(|line| line.contains("may send the channel's secrets")).count();
    let checked = program.run(&["check"]).await;
    assert!(checked.code == Some(0) && checked.out.contains(TOLD) && told(&checked.out) == 1, "{checked:?}");
    // Where it need not be feared: the operator has said where it may send, or it says so itself.
    setup.write_config(&config("hosts = [\"api.example.com\"]\n"));
    assert_eq!(told(&program.run(&["check"]).await.out), 0);
    setup.write_config(&config(""));
    put("2", &["*.example.com"]);
    assert_eq!(told(&program.run(&["check"]).await.out), 0);
    put("1", &["api.example.com", "*.elsewhere.example", "collect.example"]);
    let mut host = program.serve(&[]).await;
    host.logged(TOLD).await;
    put("3", &["api.example.com", "collect.example", "new.example"]);
    let line = host.logged("declares more hosts than the one before").await;
    assert!(line.contains("hosts=\"new.example\"") && !line.contains("collect"), "{line}");
    host.stop().await;
}

/// A channel's name, its secret, and its settings, which have the secret by a reference of each kind.
const ELSEWHERE: [(&str, &str, &str); 10] = [
    (
        "basic",
        r#"bsc-P1"qu\o'te<&>+/=%é-distinct"#,
        "auth = { basic = { username = \"herald\", password = { file = \"basic\" } } }",
    ),
    ("bearer", r#"brr-P2"qu\o'te<&>+/=%é-distinct"#, "auth = { bearer = { exec = [\"cat\", \"bearer\"] } }"),
    (
        "hmac",
        r#"hmc-P3"qu\o'te<&>+/=%é-distinct"#,
        "auth = { hmac = { secret = { env = \"hmac\" }, header = \"x-signature\" } }",
    ),
    ("aws", "aws-P4+/=distinct", AWS),
    ("session", "ses-P5+/=distinct", AWS),
    (
        "oauth",
        r#"oau-P6"qu\o'te<&>+/=%é-distinct"#,
        "auth = { oauth2 = { token_url = \"TOKEN\", client_id = \"herald\", client_secret = { file = \"oauth\" } } }",
    ),
    ("query", "qry-P7+plus-distinct", ""),
    (
        "template",
        r#"tpl-P8"qu\o'te<&>+/=%é-distinct"#,
        "headers = { content-type = \"text/plain\" }\nbody = { template = { exec = [\"cat\", \"template\"] } }",
    ),
    ("signing", "whsec_c2dnLVA5LWRpc3RpbmN0LXNpZ25pbmcta2V5", "signing_secrets = [{ file = \"signing\" }]"),
    ("slack", "slk-P0mZ8-distinct", ""),
];
const AWS: &str = "auth = { aws_sigv4 = { access_key_id = \"A\", region = \"r\", service = \"s\", \
                   secret_access_key = { file = \"aws\" }, session_token = { exec = [\"cat\", \"session\"] } } }";

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_any_authentication_or_reference_is_told_by_tests_news_or_accounts_whatever_is_echoed() {
    let (receiver, server, told_of) = (Receiver::start().await, Receiver::start().await, Receiver::start().await);
    let folder = tempfile::tempdir().unwrap();
    let mut config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nlog = \"trace\"\n[outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\
         [[channel]]\nname = \"told\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\nbody = \"event\"\n\
         [[route]]\nevents = [\"herald.delivery_failed\"]\nchannel = \"told\"\n",
        told_of.url("/told")
    );
    for (name, secret, settings) in ELSEWHERE {
        std::fs::write(folder.path().join(name), secret).unwrap();
        let (adapter, url) = match name {
            "query" => ("webhook", "url = { env = \"QUERY\" }".to_owned()),
            // What it answers stands in reasons.
            "slack" => ("slack", "webhook_url = { env = \"SLACK\" }".to_owned()),
            _ => ("webhook", format!("url = \"{}\"", receiver.url("/in"))),
        };
        write!(
            config,
            "[[channel]]\nname = \"{name}\"\nadapter = \"{adapter}\"\nschedule = []\n[channel.settings]\n{url}\n{}\n\
             [[route]]\nevents = [\"{name}\"]\nchannel = \"{name}\"\n",
            settings.replace("TOKEN", &server.url("/token"))
        )
        .unwrap();
    }
    std::fs::write(folder.path().join("herald.toml"), config).unwrap();
    let of = |name| ELSEWHERE.iter().find(|(other, ..)| *other == name).unwrap().1;
    let query = receiver.url(&format!("/in?key={}", of("query")));
    let slack = receiver.url(&format!("/services/{}", of("slack")));
    let program = |url: &str| {
        let program = Program::new(folder.path()).variable("HERALD_URL", url).variable("hmac", of("hmac"));
        program.variable("QUERY", &query).variable("SLACK", &slack)
    };
    let host = program("").serve(&[]).await;
    let (mut echoed, mut printed) = (Vec::new(), Vec::new());
    let mut counts = [0, 0];
    for (name, secret, _) in ELSEWHERE {
        let mut own = forms(secret);
        own.push(STANDARD.encode(format!("herald:{secret}")));
        own.extend(secret.strip_prefix("whsec_").map(str::to_owned));
        let (asked, count) = if name == "oauth" { (&server, &mut counts[1]) } else { (&receiver, &mut counts[0]) };
        for (form, status) in own.iter().zip([400, 500, 404, 302].iter().cycle()) {
            asked.reply(echo(*status, form));
            let (accepted, answer) = host.post(json!({ "type": name }).to_string()).await;
            assert_eq!(accepted, 202, "{answer}");
            *count += 1;
            // A delivery that ends without a request has said why.
            host.drained().await;
            let last = host.deliveries(&format!("channel={name}")).await.unwrap().swap_remove(0);
            assert_eq!(asked.received().len(), *count, "{last:#}");
        }
        asked.reply(echo(400, secret));
        let test = program(&host.url()).run(&["channels", "test", name]).await;
        *count += 1;
        assert_eq!(asked.received().len(), *count, "{test:?}");
        assert!(test.out.contains("[redacted]"), "it was echoed: {test:?}");
        printed.push((format!("channels test {name}"), test.out + &test.err));
        echoed.extend(own);
    }
    host.drained().await;
    // They were sent: else there is nothing to find.
    let received = receiver.received();
    let sent = |name: &str, value: &str| {
        let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
        assert!(received.iter().any(|one| one.headers.get(name) == Some(&value)), "{value:?}");
    };
    sent("authorization", &format!("Basic {}", STANDARD.encode(format!("herald:{}", of("basic")))));
    sent("authorization", &format!("Bearer {}", of("bearer")));
    sent("x-amz-security-token", of("session"));
    assert!(received.iter().any(|one| one.path.ends_with(of("query"))));
    assert!(received.iter().any(|one| one.body == of("template").as_bytes()));
    let news = told_of.received();
    assert!(news.len() > ELSEWHERE.len());
    assert!(news.iter().any(|one| one.text().contains("[redacted]")), "reasons echo, too");
    printed.extend(news.iter().map(|one| ("news".to_owned(), one.text().to_owned())));

    let mut told = told(host, &program, folder.path()).await;
    told.extend(printed);
    is_nowhere(&echoed, &told);
    let parts = ["bsc-P1", "brr-P2", "hmc-P3", "aws-P4", "ses-P5", "oau-P6", "qry-P7", "tpl-P8", "c2dnLVA5", "slk-P0"];
    for (place, text) in &told {
        for part in parts {
            assert!(!text.contains(part), "{part:?} is in {place}: …{}", around(text, part));
        }
    }
}
