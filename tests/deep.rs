//! JSON that is nested a hundred thousand deep, wherever it may stand: nothing that reads it goes as deep.

use herald::model::State;
use serde_json::json;

use crate::harness::{Receiver, Setup};

const DEEP: usize = 100_000;
const CLOUD: &str = "application/cloudevents+json";

/// Arrays or objects, one in another, and whether they end.
fn nests() -> [(String, bool); 4] {
    [
        ("[".repeat(DEEP), false),
        (format!("{}{}", "[".repeat(DEEP), "]".repeat(DEEP)), true),
        ("{\"a\":".repeat(DEEP), false),
        (format!("{}1{}", "{\"a\":".repeat(DEEP), "}".repeat(DEEP)), true),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn json_of_any_depth_is_refused_or_accepted_and_harms_nobody() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/hook");
    let channel = |name: &str, adapter: &str, settings: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\nadapter = \"{adapter}\"\n[channel.settings]\n{settings}\n\
             [[route]]\nchannel = \"{name}\"\n"
        )
    };
    let template = "body = { template = \"{{ event.data | tojson }}\" }";
    let channels = [
        channel("payload", "webhook", &format!("url = \"{url}\"")),
        channel("event", "webhook", &format!("url = \"{url}\"\nbody = \"event\"")),
        channel("template", "webhook", &format!("url = \"{url}\"\n{template}")),
        channel("slack", "slack", &format!("webhook_url = \"{url}\"")),
    ];
    let host = Setup::new(&channels.concat()).start().await;
    let mut accepted = 0;
    for (number, (nest, ends)) in nests().into_iter().enumerate() {
        let binary_id = format!("binary-{number}");
        let binary = [("ce-specversion", "1.0"), ("ce-id", binary_id.as_str()), ("ce-source", "s"), ("ce-type", "a")];
        let native = |rest: String| format!("{{\"type\":\"a\",{rest}}}");
        let cloud = |id: u8, rest: String| {
            format!("{{\"specversion\":\"1.0\",\"id\":\"{number}-{id}\",\"source\":\"s\",\"type\":\"a\",{rest}}}")
        };
        let object = nest.starts_with('{');
        // What is passed over, or kept as text, may be as deep as it likes.
        for (content_type, body, headers, is_event) in [
            ("application/json", nest.clone(), &[][..], false),
            ("application/json", format!("[{nest}]"), &[], false),
            ("application/x-ndjson", nest.clone(), &[], false),
            ("application/json", native(format!("\"data\":{nest}")), &[], object),
            ("application/json", native(format!("\"data\":{{\"execution-id\":{nest}}}")), &[], true),
            ("application/json", native(format!("\"whatever\":{nest}")), &[], true),
            ("application/json", native(format!("\"title\":{nest}")), &[], false),
            (CLOUD, nest.clone(), &[], false),
            ("application/cloudevents-batch+json", format!("[{nest}]"), &[], false),
            (CLOUD, cloud(1, format!("\"data\":{nest}")), &[], true),
            (CLOUD, cloud(2, format!("\"data\":{{\"title\":{nest}}}")), &[], true),
            (CLOUD, cloud(3, format!("\"ext\":{nest}")), &[], false),
            (CLOUD, cloud(4, format!("\"data_base64\":{nest}")), &[], false),
            ("application/json", nest.clone(), &binary, true),
        ] {
            let shown = body.chars().take(80).collect::<String>();
            let (status, answer) = host.post_as(content_type, body, headers).await;
            let is_said = answer["hint"].as_str().is_some_and(|hint| !hint.is_empty());
            if ends && is_event {
                accepted += 1;
                assert_eq!(status, 202, "{content_type} {shown}: {answer}");
            } else {
                assert!([400, 422].contains(&status.as_u16()) && is_said, "{content_type} {shown}: {status} {answer}");
            }
        }
    }
    let ended = host.drain().await;
    assert_eq!((accepted, ended.len()), (11, accepted * channels.len()));
    for listed in ended {
        assert_eq!(listed.delivery.state, State::Delivered, "{:?}", listed.delivery);
        assert!(host.show(&listed).await.to_string().contains(&listed.delivery.id.to_string()));
    }
    assert_eq!(host.get("/readyz").await.1, json!({ "status": "ready" }));
    host.stop().await;
}
