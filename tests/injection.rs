//! Whoever writes an event, or answers for a receiver, writes text and nothing else: no commands to a terminal, no lines of
//! a log, no mentions in a channel.

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Setup, process::Program};

/// Colours, a title of the window, a new line that looks like one of ours, the other controls of C0 and C1, and a text that
/// runs backwards.
const NASTY: &str =
    "\u{1b}[31mred\u{1b}]0;title\u{7}\r\n2026-11-23T00:00:00Z ERROR herald: forged\r\u{8}\u{9b}2J\u{202e}";

/// What the service says stands in the reason of an attempt.
fn slack(receiver: &Receiver) -> String {
    format!(
        "[[channel]]\nname = \"a\"\nadapter = \"slack\"\nschedule = []\n[channel.settings]\nwebhook_url = \"{}\"\n\
         [[route]]\nchannel = \"a\"\n",
        receiver.url("/services/T0/B0/X")
    )
}

fn is_harmless(text: &str) -> bool {
    !text.chars().any(|letter| letter.is_control() && letter != '\n' || letter == '\u{202e}')
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_or_a_receiver_says_moves_no_terminal_and_forges_no_line_of_the_log() {
    let receiver = Receiver::start().await;
    for format in ["text", "json"] {
        let setup = Setup::new(&slack(&receiver));
        let folder = setup.folder.path();
        let program =
            |url: &str| Program::new(folder).variable("HERALD_URL", url).variable("HERALD_SERVER__LOG_FORMAT", format);
        let host = program("").serve(&[]).await;
        receiver.reply(Reply::new(400, NASTY));
        receiver.reply(Reply::new(503, NASTY));
        for number in 0..2 {
            let event = json!({
                "type": "a", "id": format!("e{number}"), "title": NASTY, "body": NASTY, "project": NASTY, "subject": NASTY,
                "data": { NASTY: NASTY },
            });
            assert_eq!(host.post(event.to_string()).await.0, 202);
        }
        // In an id or a type it is refused, and told without doing what it says.
        for member in ["id", "type"] {
            let mut event = json!({ "type": "a" });
            event[member] = NASTY.into();
            let refused = program(&host.url()).run_with(&["send", "-"], &event.to_string()).await;
            assert_ne!(refused.code, Some(0));
            assert!(is_harmless(&(refused.out + &refused.err)), "{member}");
        }
        host.drained().await;
        let all = host.deliveries("").await.unwrap();
        assert_eq!(all.len(), 2);
        for one in &all {
            let id = one["id"].as_str().unwrap();
            for command in [&["deliveries", "list"][..], &["deliveries", "show", id], &["channels", "list"]] {
                let ended = program(&host.url()).run(command).await;
                assert_eq!(ended.code, Some(0), "{ended:?}");
                assert!(is_harmless(&ended.out) && is_harmless(&ended.err), "{command:?}: {ended:?}");
                let forged = ended.out.lines().any(|line| line.starts_with("2026-11-23T00"));
                assert!(!forged, "{command:?}: {}", ended.out);
            }
        }
        let log = host.stop().await;
        assert!(log.iter().any(|line| line.contains("forged")), "{log:#?}");
        for line in &log {
            // A reader of JSON shows it in its own way.
            let harmless =
                if format == "json" { serde_json::from_str::<Value>(line).is_ok() } else { is_harmless(line) };
            assert!(harmless && !line.starts_with("2026-11-23T00:00:00Z"), "{line:?}");
        }
    }
}

/// Runs in a page, ends an attribute or a string, or is a link that runs.
const SCRIPT: &str = r#"</p><script>alert("1")</script><img src=x onerror='alert(2)'>"#;
const LINK: &str = "javascript:alert(document.domain)";

#[tokio::test(flavor = "multi_thread")]
async fn a_script_and_a_javascript_link_reach_receivers_as_text_and_as_no_link() {
    let receiver = Receiver::start().await;
    let webhook = |name: &str, settings: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\n{settings}\n\
             [[route]]\nchannel = \"{name}\"\n",
            receiver.url(&format!("/{name}"))
        )
    };
    let json = r#"body = { template = '{"text": "{{ event.title }}", "link": "{{ event.url }}"}' }"#;
    let html = "headers = { content-type = \"text/html\" }\n\
                body = { template = '<p>{{ event.title }}</p><a href=\"{{ event.url }}\" title=\"{{ event.data.k }}\">x</a>' }";
    let config = [webhook("event", "body = \"event\""), webhook("json", json), webhook("html", html), slack(&receiver)];
    let setup = Setup::new(&config.concat());
    let host = setup.start().await;
    let mut event = json!({
        "type": "a", "title": SCRIPT, "body": format!("[click]({LINK}) {SCRIPT}"), "url": LINK, "data": { "k": SCRIPT },
    });
    let (status, refused) = host.post(event.to_string()).await;
    assert_eq!((status.as_u16(), &refused["hint"]), (422, &json!("links are http or https")), "{refused}");
    event["url"] = Value::Null;
    host.accepted(event.to_string()).await;
    let received = receiver.wait_for(4).await;
    host.drain().await;
    let of = |path: &str| received.iter().find(|one| one.path == path).unwrap();
    let event = of("/event").json();
    assert_eq!((&event["title"], &event["url"]), (&json!(SCRIPT), &Value::Null));
    assert_eq!(of("/json").json(), json!({"text": SCRIPT, "link": ""}));
    let html = of("/html").text();
    assert!(
        html.starts_with("<p>&lt;") && html.ends_with("\">x</a>") && html.contains("<a href=\"\" title=\"&lt;"),
        "{html}"
    );
    assert_eq!((html.matches('<').count(), html.matches('"').count()), (4, 4), "{html}");
    let slack = of("/services/T0/B0/X").text();
    assert!(slack.contains("&lt;script&gt;") && !slack.contains("<script"), "{slack}");
    assert!(!slack.contains("<javascript:") && !slack.contains(&format!("\"{LINK}")), "{slack}");
    host.stop().await;
}
