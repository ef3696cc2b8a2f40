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
