//! Secrets go to whom they are for, and appear nowhere else: not in the store, the log, the API, or what commands print.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::harness::{
    Receiver, Reply,
    process::Program,
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
        "[server]\nlog = \"trace\"\n\n[outbound]\nallow_http = [\"127.0.0.1\"]\nallow_addresses = [\"127.0.0.0/8\"]\n\n\
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
        receiver.wait_for(sent).await;
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

    let mut told = Vec::new();
    let mut tell = |place: String, text: String| told.push((place, text));
    let list = host.deliveries("").await.unwrap();
    assert_eq!(list.len(), sent + 4);
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
    for entry in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(|one| one.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        tell(entry.file_name().to_string_lossy().into_owned(), String::from_utf8_lossy(&bytes).into_owned());
    }
    assert!(told.iter().any(|(place, _)| place == "herald.db"));
    // In an answer of the API a form that was echoed is escaped once more.
    let again = echoed.iter().map(|form| serde_json::to_string(form).unwrap().trim_matches('"').to_owned());
    let needles: Vec<String> = again.chain(echoed.iter().cloned()).collect();
    for (place, text) in &told {
        for needle in &needles {
            assert!(!text.contains(needle.as_str()), "{needle:?} is in {place}: …{}", around(text, needle));
        }
    }
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
