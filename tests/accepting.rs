//! `POST /v1/events`: what is taken, what is answered, what is refused, and that the answer holds.

use std::{collections::BTreeSet, time::Duration};

use herald::{clock, model::State};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::{
    harness::{
        Receiver, SAMPLE, Setup, TestHost,
        guests::{Act, Guest},
        within,
    },
    socket::ask,
};

const CLOUD_EVENT: &str = "application/cloudevents+json";
const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";
const LINES: &str = "application/x-ndjson";

struct Bench {
    setup: Setup,
    receiver: Receiver,
    host: TestHost,
}

/// A host with one webhook channel, `c`, that gets everything as it came.
async fn bench() -> Bench {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&format!("{}[[route]]\nchannel = \"c\"\n", channel("c", &receiver)));
    let host = setup.start().await;
    Bench { setup, receiver, host }
}

/// A webhook channel that posts to a path of its own name.
fn channel(name: &str, receiver: &Receiver) -> String {
    let url = receiver.url(&format!("/{name}"));
    format!("[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{url}\"\n")
}

impl Bench {
    /// The event as Herald understood it.
    async fn understood(&self, id: &str) -> Value {
        let found = self.host.deliveries().await.into_iter().find(|listed| listed.delivery.event == id);
        self.host.show(&found.unwrap()).await["event"].clone()
    }

    /// What the receiver has got when nothing is pending any more: the bodies, sorted.
    async fn bodies(&self) -> Vec<String> {
        self.host.drain().await;
        let mut bodies: Vec<_> = self.receiver.received().iter().map(|one| one.text().to_owned()).collect();
        bodies.sort();
        bodies
    }

    /// Posts what is refused; returns the account. Nothing may come of it.
    async fn refused(&self, content_type: &str, body: impl Into<Vec<u8>>, headers: &[(&str, &str)]) -> (u16, Value) {
        let body = body.into();
        let shown = String::from_utf8_lossy(&body).into_owned();
        let (status, answer) = self.host.post_as(content_type, body, headers).await;
        for member in ["code", "message", "hint"] {
            let said = answer[member].as_str().unwrap_or_default();
            assert!(!said.is_empty(), "{shown}: no {member} in {status} {answer}");
        }
        assert!(self.host.deliveries().await.is_empty(), "{shown}: something was stored");
        (status.as_u16(), answer)
    }
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_is_accepted_as_it_is_and_passed_on_byte_for_byte() {
    let bench = bench().await;
    let answer = bench.host.accepted(SAMPLE).await;
    let id = answer["id"].as_str().unwrap();
    assert!(id.starts_with("evt_"), "{id}");
    assert_eq!(answer, json!({ "id": id, "deliveries": 1, "duplicate": false }));
    assert_eq!(bench.bodies().await, [SAMPLE]);
    assert_eq!(bench.receiver.received()[0].header("content-type"), "application/json");
    let (event, sample) = (bench.understood(id).await, json_of(SAMPLE));
    for member in ["type", "project", "title", "body", "data"] {
        assert_eq!(event[member], sample[member], "{member}");
    }
    assert_eq!(event["subject"], sample["data"]["valohai.execution-id"], "the most specific id");
    let url = format!("https://app.valohai.com{}", sample["url"].as_str().unwrap());
    assert_eq!(event["url"], url, "resolved against app_url");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_taken_whatever_curl_calls_it() {
    let bench = bench().await;
    for content_type in
        ["application/x-www-form-urlencoded", "application/json; charset=utf-8", "Application/JSON", "text/plain", ""]
    {
        let (status, answer) = bench.host.post_as(content_type, SAMPLE, &[]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{content_type}: {answer}");
    }
    let bare = bench.host.http.post(format!("{}/v1/events", bench.host.base)).body(SAMPLE).send();
    assert_eq!(within("an answer", bare).await.unwrap().status(), StatusCode::ACCEPTED, "without a content type");
    assert_eq!(bench.bodies().await, [SAMPLE; 6]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn id_subject_and_time_are_the_senders_where_it_says_them() {
    let bench = bench().await;
    let answer = bench
        .host
        .accepted(r#"{"type":"a_b","id":"my id/1","subject":"s","time":"2021-04-21T14:58:18.119973+02:00","data":{"execution-id":"x"}}"#)
        .await;
    assert_eq!(answer["id"], "my id/1");
    let event = bench.understood("my id/1").await;
    assert_eq!((&event["subject"], &event["occurred_at"]), (&json!("s"), &json!(1_619_009_898_119_u64)));
    assert!(event["received_at"].as_u64() > event["occurred_at"].as_u64());
    assert_eq!(event["title"], "A b", "the title is made of the type where there is none");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subject_is_the_most_specific_id_in_the_data() {
    let bench = bench().await;
    let cases = [
        (r#"{"deployment-id":"d","pipeline-id":"p","task-id":"t","execution-id":"e"}"#, json!("e")),
        (r#"{"valohai.deployment-id":"d","valohai.pipeline-id":"p","valohai.task-id":"t"}"#, json!("t")),
        (r#"{"deployment_id":"d","pipeline_id":7}"#, json!("7")),
        (r#"{"deployment-id":"d","execution-id":null,"project-id":"x"}"#, json!("d")),
        (r#"{"project-id":"x","my-execution-idea":"y"}"#, Value::Null),
        ("null", Value::Null),
    ];
    for (number, (data, subject)) in cases.iter().enumerate() {
        bench.host.accepted(format!(r#"{{"type":"t","id":"{number}","data":{data}}}"#)).await;
        assert_eq!(&bench.understood(&number.to_string()).await["subject"], subject, "{data}");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_array_and_lines_are_several_events_each_with_its_own_bytes() {
    let bench = bench().await;
    let (a, b) = (r#"{ "type":"a", "id":"1" }"#, r#"{"type":"b","id":"2","n":1.0}"#);
    let answer = bench.host.accepted(format!("[\n  {a} ,{b}\n]\n")).await;
    let each = |id| json!({ "id": id, "deliveries": 1, "duplicate": false });
    assert_eq!(answer, json!({ "events": [each("1"), each("2")], "deliveries": 2 }));
    let (c, d) = (a.replace('1', "3"), b.replace('2', "4"));
    let (status, answer) = bench.host.post_as(LINES, format!("\n{c}\r\n\n{d}"), &[]).await;
    assert_eq!((status.as_u16(), answer), (202, json!({ "events": [each("3"), each("4")], "deliveries": 2 })));
    assert_eq!(bench.bodies().await, [a, &c, b, &d]);
    // A list of one is answered as a list.
    assert_eq!(bench.host.accepted(r#"[{"type":"a"}]"#).await["events"].as_array().unwrap().len(), 1);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_payload_passes_through_byte_for_byte_however_odd() {
    let bench = bench().await;
    let odd = [
        "\r\n\t{ \"type\" :\t\"odd\" , \"data\" : { \"b\" : 1 ,\n \"a\" : [ ] } }\r\n\r\n ".to_owned(),
        r#"{"type":"odd","title":"é\u00e9🚀\/\u0041","data":{"日本":"\ud83d\ude80","":"\u0000"}}"#.to_owned(),
        r#"{"type":"odd","data":{"n":[123456789012345678901234567890,1.000,1e400,-0,1E+2,0.1000000000000000055]}}"#
            .to_owned(),
        r#"{"type":"odd","data":{"same":1,"same":2,"execution-id":"x","execution-id":"y"},"unknown":{"k":[]}}"#
            .to_owned(),
        format!(r#"{{"type":"odd","data":{{"deep":{}1{}}}}}"#, "[".repeat(400), "]".repeat(400)),
        format!(r#"{{"type":"odd","data":{{"long":"{}"}}}}"#, "x".repeat(500_000)),
    ];
    for body in &odd {
        bench.host.accepted(body.clone()).await;
    }
    let mut expected = odd.to_vec();
    expected.sort();
    assert_eq!(bench.bodies().await, expected);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_taken_structured() {
    let bench = bench().await;
    let body = r#"{"specversion":"1.0","id":"1","source":"/s","type":"com.example.done","subject":"sub","time":"2021-04-21T12:58:18Z",
        "project":"p","retries":3,"datacontenttype":"application/json","data":{"title":"T","body":"B","url":"/x","n":1.0}}"#;
    let (status, answer) = bench.host.post_as(CLOUD_EVENT, body, &[]).await;
    assert_eq!((status.as_u16(), answer), (202, json!({ "id": "1", "deliveries": 1, "duplicate": false })));
    let event = bench.understood("1").await;
    for (member, expected) in [
        ("source", "/s"),
        ("type", "com.example.done"),
        ("subject", "sub"),
        ("title", "T"),
        ("body", "B"),
        ("url", "https://app.valohai.com/x"),
        ("project", "p"),
    ] {
        assert_eq!(event[member], expected, "{member}");
    }
    assert_eq!(event["occurred_at"], 1_619_009_898_000_u64);
    assert_eq!(bench.bodies().await, [body]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_taken_binary_with_encoded_headers() {
    let bench = bench().await;
    let headers = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "execution_completed"),
        ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
    ];
    let body = r#"{ "title":"T", "execution-id":"e" }"#;
    let (status, answer) = bench.host.post_as("application/json; charset=utf-8", body, &headers).await;
    assert_eq!((status.as_u16(), &answer["id"]), (202, &json!("1")), "{answer}");
    let event = bench.understood("1").await;
    assert_eq!((&event["subject"], &event["title"]), (&json!("Euro € 😀"), &json!("T")));
    assert_eq!(event["data"], json_of(body));
    assert_eq!(bench.bodies().await, [body]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_taken_in_batches() {
    let bench = bench().await;
    let each = |id: u8| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t"}}"#);
    let (status, answer) = bench.host.post_as(CLOUD_EVENTS, format!("[{}, {}]", each(1), each(2)), &[]).await;
    assert_eq!((status.as_u16(), &answer["deliveries"]), (202, &json!(2)), "{answer}");
    assert_eq!(bench.bodies().await, [each(1), each(2)]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_may_carry_what_is_not_json() {
    let bench = bench().await;
    let headers = |id| [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "/s"), ("ce-type", "t")];
    for (id, content_type, body, data) in [
        ("1", "text/plain", &b"hello {"[..], json!({ "data": "hello {" })),
        ("2", "application/xml", b"<a/>", json!({ "data": "<a/>" })),
        ("3", "application/octet-stream", &[0xff, 0x00, 0xfe], json!({ "data_base64": "/wD+" })),
        ("4", "application/json", b"[1.0]", json!({ "data": [1.0] })),
        ("5", "application/json", b"", json!({})),
    ] {
        let (status, answer) = bench.host.post_as(content_type, body, &headers(id)).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(bench.understood(id).await["data"], data, "{content_type}");
        let received = bench.receiver.wait_for(id.parse().unwrap()).await;
        assert!(received.iter().any(|one| one.body == body), "{content_type}: the bytes as they came");
    }
    let structured =
        |id: u8, data: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"t",{data}}}"#);
    for (id, member, data) in [
        (6, r#""datacontenttype":"text/xml","data":"<a/>""#, json!({ "data": "<a/>" })),
        (7, r#""data_base64":"/wD+""#, json!({ "data_base64": "/wD+" })),
        (8, r#""data":null"#, json!({})),
    ] {
        let (status, answer) = bench.host.post_as(CLOUD_EVENT, structured(id, member), &[]).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        assert_eq!(bench.understood(&id.to_string()).await["data"], data, "{member}");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_id_again_is_answered_as_the_first_and_delivers_nothing() {
    let bench = bench().await;
    let first = bench.host.accepted(r#"{"type":"a","id":"1"}"#).await;
    let again = bench.host.accepted(r#"{"type":"b","id":"1","title":"another"}"#).await;
    assert_eq!((&first["duplicate"], &again["duplicate"]), (&json!(false), &json!(true)));
    assert_eq!((&first["id"], &first["deliveries"]), (&again["id"], &again["deliveries"]));
    // In a batch, old and new, and one twice.
    let batch = r#"[{"type":"a","id":"1"},{"type":"a","id":"2"},{"type":"a","id":"2"}]"#;
    let answer = bench.host.accepted(batch).await;
    let duplicates: Vec<_> = answer["events"].as_array().unwrap().iter().map(|event| &event["duplicate"]).collect();
    assert_eq!(duplicates, [true, false, true]);
    // After a restart, and when nothing is routed any more.
    bench.bodies().await;
    bench.host.stop().await;
    bench.setup.write_config("");
    let host = bench.setup.start().await;
    let after = host.accepted(r#"{"type":"a","id":"1"}"#).await;
    assert_eq!(after, json!({ "id": "1", "deliveries": 1, "duplicate": true }));
    host.stop().await;
    let bench = Bench { host: bench.setup.start().await, ..bench };
    assert_eq!(bench.bodies().await, [r#"{"type":"a","id":"1"}"#, r#"{"type":"a","id":"2"}"#]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_again_is_answered_as_the_first_and_delivers_nothing() {
    let bench = bench().await;
    let key = |key| [("idempotency-key", key)];
    let lines = "{\"type\":\"l\"}\n{\"type\":\"m\"}";
    for (content_type, body, key) in [
        ("application/json", SAMPLE, key("single")),
        ("application/json", r#"[{"type":"a"},{"type":"b"}]"#, key("batch")),
        (LINES, lines, key("lines")),
    ] {
        let (_, first) = bench.host.post_as(content_type, body, &key).await;
        let (status, again) = bench.host.post_as(content_type, body, &key).await;
        assert_eq!(status, StatusCode::ACCEPTED);
        assert_eq!(first["deliveries"], again["deliveries"]);
        let events = |answer: &Value| answer["events"].as_array().cloned().unwrap_or_else(|| vec![answer.clone()]);
        for (first, again) in events(&first).iter().zip(&events(&again)) {
            assert_eq!((&first["id"], &first["duplicate"]), (&again["id"], &json!(false)));
            assert_eq!(again["duplicate"], true);
        }
    }
    // An event's own id counts before the key.
    let (_, own) = bench.host.post_as("application/json", r#"{"type":"a","id":"own"}"#, &key("single")).await;
    assert_eq!((&own["id"], &own["duplicate"]), (&json!("own"), &json!(false)));
    assert_eq!(bench.bodies().await.len(), 6);
    bench.host.stop().await;
    let host = bench.setup.start().await;
    let (_, after) = host.post_as("application/json", SAMPLE, &key("single")).await;
    assert_eq!((&after["deliveries"], &after["duplicate"]), (&json!(1), &json!(true)), "after a restart");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_posts_at_the_same_time_with_one_id_one_is_the_first() {
    let bench = bench().await;
    let posts: Vec<_> = (0..32)
        .map(|number| {
            let (http, base) = (bench.host.http.clone(), bench.host.base.clone());
            tokio::spawn(async move {
                let post = http.post(format!("{base}/v1/events")).body(r#"{"type":"a"}"#);
                let response = post.header("idempotency-key", format!("k{}", number % 2)).send().await.unwrap();
                json_of(&response.text().await.unwrap())
            })
        })
        .collect();
    let mut first = Vec::new();
    for post in posts {
        let answer = within("an answer", post).await.unwrap();
        assert_eq!(answer["deliveries"], 1);
        first.extend((answer["duplicate"] == false).then(|| answer["id"].as_str().unwrap().to_owned()));
    }
    first.sort();
    assert_eq!(first, ["k0", "k1"]);
    assert_eq!(bench.bodies().await.len(), 2);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_cloudevents_id_of_two_sources_is_two_events() {
    let bench = bench().await;
    for (source, duplicate) in [("/a", false), ("/b", false), ("/a", true)] {
        let body = format!(r#"{{"specversion":"1.0","id":"1","source":"{source}","type":"t"}}"#);
        let (_, answer) = bench.host.post_as(CLOUD_EVENT, body, &[]).await;
        assert_eq!(answer, json!({ "id": "1", "deliveries": 1, "duplicate": duplicate }), "{source}");
    }
    assert_eq!(bench.host.accepted(r#"{"type":"t","id":"1"}"#).await["duplicate"], false, "nor is it Herald's own");
    assert_eq!(bench.bodies().await.len(), 3);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_json_is_answered_400_and_what_is_not_understood_415() {
    let bench = bench().await;
    let truncated = &SAMPLE[..SAMPLE.len() / 2];
    let bodies: [&[u8]; 9] = [
        b"",
        b"{",
        b"type=a",
        b"{\"type\":\"a\"} x",
        b"{\"type\":\"a\",}",
        b"{\"type\":\"\xff\"}",
        b"[{\"type\":\"a\"},",
        b"[{\"type\":\"a\"}] []",
        truncated.as_bytes(),
    ];
    for body in bodies {
        let (status, answer) = bench.refused("application/json", body, &[]).await;
        assert_eq!((status, &answer["code"]), (400, &json!("malformed_json")), "{body:?}: {answer}");
    }
    let (status, answer) = bench.refused(LINES, "{\"type\":\"a\",\"id\":\"1\"}\n\n{\"type\"", &[]).await;
    assert_eq!((status, &answer["index"]), (400, &json!(1)), "{answer}");
    for content_type in ["application/xml", "multipart/form-data; boundary=x", "json"] {
        let (status, answer) = bench.refused(content_type, SAMPLE, &[]).await;
        assert_eq!((status, &answer["code"]), (415, &json!("unsupported_content_type")));
        assert!(answer["hint"].as_str().unwrap().contains("application/json"), "{answer}");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_event_is_answered_422_with_the_member_that_is_wrong() {
    let bench = bench().await;
    let long = format!(r#"{{"type":"{}"}}"#, "x".repeat(256));
    for (body, named) in [
        ("{}", "`type`"),
        (r#"{"type":null}"#, "`type`"),
        (r#"{"type":1}"#, "`type`"),
        (r#"{"type":""}"#, "`type` is empty"),
        (r#"{"type":"a b"}"#, "`type` has white space"),
        (long.as_str(), "`type` is longer"),
        (r#"{"type":"herald.started"}"#, "`herald.started`"),
        (r#"{"type":"a","title":5}"#, "`title`"),
        (r#"{"type":"a","body":{}}"#, "`body`"),
        (r#"{"type":"a","url":[]}"#, "`url`"),
        (r#"{"type":"a","project":7}"#, "`project`"),
        (r#"{"type":"a","id":""}"#, "id is empty"),
        (r#"{"type":"a","id":7}"#, "`id`"),
        (r#"{"type":"a","type":"b"}"#, "`type`"),
        (r#"{"type":"a","data":[1]}"#, "`data`"),
        (r#"{"type":"a","data":"x"}"#, "`data`"),
        (r#"{"type":"a","time":"yesterday"}"#, "`time`"),
        (r#"{"type":"a","time":"1969-12-31T23:59:59Z"}"#, "`time`"),
        (r#"{"type":"a","time":1619009898}"#, "`time`"),
        (r#"{"type":"a","url":"javascript:alert(1)"}"#, "`javascript`"),
        (r#"{"type":"a","url":"http://"}"#, "`url`"),
        ("[]", "no event"),
        (r#""text""#, "an object"),
        ("7", "an object"),
    ] {
        let (status, answer) = bench.refused("application/json", body, &[]).await;
        assert_eq!((status, &answer["code"]), (422, &json!("invalid_event")), "{body}: {answer}");
        let said = format!("{} {}", answer["message"], answer["hint"]);
        assert!(said.contains(named), "{body}: {answer}");
        assert_eq!(answer["index"], Value::Null, "{body}");
    }
    let (status, _) = bench.refused(LINES, "\n\n", &[]).await;
    assert_eq!(status, 422, "no lines");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cloudevent_is_answered_422() {
    let bench = bench().await;
    for (body, named) in [
        (r#"{"id":"1","source":"/s","type":"t"}"#, "specversion"),
        (r#"{"specversion":"0.3","id":"1","source":"/s","type":"t"}"#, "0.3"),
        (r#"{"specversion":"1.0","source":"/s","type":"t"}"#, "`id`"),
        (r#"{"specversion":"1.0","id":"1","type":"t"}"#, "`source`"),
        (r#"{"specversion":"1.0","id":"1","source":"","type":"t"}"#, "`source`"),
        (r#"{"specversion":"1.0","id":"1","source":"/s"}"#, "`type`"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"noon"}"#, "`time`"),
        (r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","url":"data:x"}"#, "`data`"),
        ("[]", "map"),
    ] {
        let (status, answer) = bench.refused(CLOUD_EVENT, body, &[]).await;
        assert_eq!(status, 422, "{body}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(named), "{body}: {answer}");
    }
    let headers = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s")];
    let (status, answer) = bench.refused("application/json", "{}", &headers).await;
    assert_eq!((status, answer["message"].as_str().unwrap().contains("`type`")), (422, true), "{answer}");
    let batch = r#"[{"specversion":"1.0","id":"1","source":"/s","type":"t"},{"specversion":"1.0"}]"#;
    let (status, answer) = bench.refused(CLOUD_EVENTS, batch, &[]).await;
    assert_eq!((status, &answer["index"]), (422, &json!(1)), "{answer}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_refused_batch_is_stored() {
    let bench = bench().await;
    let good = r#"{"type":"a","id":"good"}"#;
    for (content_type, body, index) in [
        ("application/json", format!(r#"[{good},{{"type":5}}]"#), 1),
        ("application/json", format!(r#"[{good},{good},"text"]"#), 2),
        ("application/json", format!(r#"[{{"type":"herald.x"}},{good}]"#), 0),
        (LINES, format!("{good}\n\n{{}}\n{good}"), 1),
    ] {
        let (status, answer) = bench.refused(content_type, body, &[]).await;
        assert_eq!((status, &answer["index"]), (422, &json!(index)), "{answer}");
    }
    // The event itself isn't there either: it is new.
    assert_eq!(bench.host.accepted(good).await["duplicate"], false);
    assert_eq!(bench.bodies().await, [good]);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_body_is_answered_413_before_it_is_read_to_its_end() {
    let bench = bench().await;
    let most = 1 << 20;
    let length = format!("Content-Length: {}\r\n\r\n", most + 1);
    let chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n", most + 1, " ".repeat(most + 1));
    for rest in [length, chunk] {
        let mut stream = TcpStream::connect(bench.host.address()).await.unwrap();
        let request =
            format!("POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{rest}");
        let mut answer = String::new();
        let talk = async {
            stream.write_all(request.as_bytes()).await.unwrap();
            while !answer.contains('}') {
                answer.push(char::from(stream.read_u8().await.unwrap()));
            }
        };
        within("a refusal", talk).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        let body = json_of(answer.split("\r\n\r\n").last().unwrap());
        assert_eq!(body["code"], "too_large");
        assert!(body["hint"].as_str().unwrap().contains("server.max_body"), "{body}");
    }
    let padded = format!("{SAMPLE}{}", " ".repeat(most - SAMPLE.len()));
    bench.host.accepted(padded).await;
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_decide_by_type_and_project_and_two_to_one_channel_make_one_delivery() {
    let receiver = Receiver::start().await;
    let route = |channel: &str, rest: &str| format!("[[route]]\nchannel = \"{channel}\"\n{rest}\n");
    let config = [
        channel("failures", &receiver),
        channel("project", &receiver),
        channel("twice", &receiver),
        channel("odd", &receiver),
        route("failures", r#"events = "*_failed""#),
        route("project", "events = [\"execution_*\", \"test\"]\nproject = \"p\""),
        route("twice", r#"events = ["execution_completed", "*_failed", "*"]"#),
        route("twice", "project = \"p\""),
        route("odd", r#"events = ["a*c", "?*", "*.*.done"]"#),
    ]
    .concat();
    let host = Setup::new(&config).start().await;
    for (event, expected) in [
        (r#""type":"task_failed""#, &["failures", "twice"][..]),
        (r#""type":"task_failed_not""#, &["twice"]),
        (r#""type":"execution_completed","project":"p""#, &["project", "twice"]),
        (r#""type":"execution_failed","project":"p""#, &["failures", "project", "twice"]),
        (r#""type":"execution_failed","project":"P""#, &["failures", "twice"]),
        (r#""type":"execution_failed""#, &["failures", "twice"]),
        (r#""type":"test","project":"p""#, &["project", "twice"]),
        (r#""type":"testing","project":"p""#, &["twice"]),
        (r#""type":"abc""#, &["odd", "twice"]),
        (r#""type":"ac""#, &["odd", "twice"]),
        (r#""type":"xabc""#, &["twice"]),
        (r#""type":"?x""#, &["odd", "twice"]),
        (r#""type":"com.example.done""#, &["odd", "twice"]),
    ] {
        let answer = host.accepted(format!("{{{event}}}")).await;
        assert_eq!(answer["deliveries"], expected.len(), "{event}");
        let mine = host.deliveries().await.into_iter().filter(|one| answer["id"] == *one.delivery.event);
        let channels: BTreeSet<_> = mine.map(|one| one.delivery.channel).collect();
        assert_eq!(channels, expected.iter().map(ToString::to_string).collect(), "{event}");
    }
    let deliveries = host.drain().await;
    assert_eq!(receiver.received().len(), deliveries.len());
    assert!(deliveries.iter().all(|one| one.delivery.state == State::Delivered));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_without_a_route_is_kept_and_delivered_nowhere() {
    let setup = Setup::new("");
    let host = setup.start().await;
    assert_eq!(
        host.accepted(r#"{"type":"a","id":"1"}"#).await,
        json!({ "id": "1", "deliveries": 0, "duplicate": false })
    );
    assert_eq!(
        host.accepted(r#"{"type":"a","id":"1"}"#).await,
        json!({ "id": "1", "deliveries": 0, "duplicate": true })
    );
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_is_resolved_against_the_application_and_nothing_else_is_a_link() {
    let bench = bench().await;
    for (number, (url, expected)) in [
        ("/p/x?q=1#f", json!("https://app.valohai.com/p/x?q=1#f")),
        ("x", json!("https://app.valohai.com/x")),
        ("//elsewhere.example/x", json!("https://elsewhere.example/x")),
        ("http://elsewhere.example", json!("http://elsewhere.example/")),
        ("", Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        bench.host.accepted(json!({ "type": "t", "id": number.to_string(), "url": url }).to_string()).await;
        assert_eq!(bench.understood(&number.to_string()).await["url"], expected, "{url}");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_answered_in_json_too() {
    let bench = bench().await;
    let get = async |path: &str| bench.host.get(path).await;
    for (path, status, code) in [
        ("/", 404, "not_found"),
        ("/v1/nothing", 404, "not_found"),
        ("/v1/events", 405, "method_not_allowed"),
        ("/v1/deliveries/dlv_01kb0c6zj3v5t8w2n4x7q9r1se", 404, "not_found"),
        ("/v1/deliveries/x", 400, "bad_query"),
        ("/v1/deliveries/%FF", 400, "bad_path"),
        ("/v1/deliveries/dlv_01kb0c6zj3v5t8w2n4x7q9r1se?wait=soon", 400, "bad_query"),
        ("/v1/deliveries?state=lost", 400, "bad_query"),
        ("/v1/deliveries?limit=many", 400, "bad_query"),
        ("/v1/deliveries?unknown=1", 400, "bad_query"),
        ("/v1/deliveries?before=x", 400, "bad_query"),
    ] {
        let (found, answer) = get(path).await;
        assert_eq!((found.as_u16(), &answer["code"]), (status, &json!(code)), "{path}: {answer}");
        assert!(answer["message"].is_string() && answer["hint"].is_string(), "{path}: {answer}");
    }
    for path in ["/v1/channels/nobody/test", "/v1/channels/nobody/enable"] {
        let post = bench.host.http.post(format!("{}{path}", bench.host.base)).send();
        let response = within("an answer", post).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(json_of(&response.text().await.unwrap())["code"], "not_found");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_tell_how_it_stands() {
    let bench = bench().await;
    let (status, health) = bench.host.get("/healthz").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(health["config"], json!({ "applied": true, "problems": [] }));
    assert_eq!(bench.host.get("/readyz").await, (StatusCode::OK, json!({ "status": "ready" })));
    for id in ["1", "2", "2"] {
        bench.host.accepted(format!(r#"{{"type":"a","id":"{id}"}}"#)).await;
    }
    bench.host.drain().await;
    let (status, metrics) = bench.host.get("/metrics").await;
    assert_eq!(status, StatusCode::OK);
    let metrics = metrics.as_str().unwrap();
    for line in [
        "herald_events_accepted_total 2",
        "herald_attempts_total{outcome=\"delivered\"} 2",
        "herald_attempts_total{outcome=\"retry\"} 0",
        "herald_deliveries{channel=\"c\",state=\"delivered\"} 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        assert!(value.parse::<u64>().is_ok() && metrics.contains(&format!("# TYPE {family} ")), "{line}");
    }
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_answered_before_the_host_is_ready() {
    let setup = Setup::new("");
    // An adapter that takes all of its time to be refused keeps the host from being ready.
    let slow = Guest { describe: Act::Spin, ..Guest::new("1", "http://127.0.0.1") };
    std::fs::write(setup.adapters().join("slow.wasm"), slow.component()).unwrap();
    // By a socket, whose path is known before anybody listens there.
    let path = setup.folder.path().join("herald.sock");
    let config = std::fs::read_to_string(setup.config()).unwrap();
    let config = config.replace("[server]", "[server]\nsocket = \"herald.sock\"");
    std::fs::write(setup.config(), config.replace("[adapters]", "[adapters]\ncall_timeout = \"3s\"")).unwrap();
    let starting = async {
        while UnixStream::connect(&path).await.is_err() {
            clock::pause(Duration::from_millis(5)).await;
        }
        let ready = ask(&path, "GET /readyz", "", "").await;
        assert!(ready.starts_with("HTTP/1.1 503 ") && ready.ends_with(r#"{"status":"starting"}"#), "{ready}");
        let health = ask(&path, "GET /healthz", "", "").await;
        assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
        let post = ask(&path, "POST /v1/events", "", SAMPLE).await;
        assert!(post.starts_with("HTTP/1.1 503 "), "{post}");
        assert_eq!(json_of(post.rsplit("\r\n\r\n").next().unwrap())["code"], "starting");
    };
    let ((), host) = within("a start", async { tokio::join!(starting, setup.start()) }).await;
    assert_eq!(host.get("/readyz").await.0, StatusCode::OK);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_honoured_are_refused() {
    let setup = Setup::new("");
    let host = setup.start().await;
    let event = r#"{"type":"test"}"#;
    for (header, value, status, code) in [
        ("content-encoding", "gzip", 415, "unsupported_content_encoding"),
        ("idempotency-key", "", 400, "bad_idempotency_key"),
        ("idempotency-key", "\u{e9}t\u{e9}", 400, "bad_idempotency_key"),
    ] {
        let (answered, answer) = host.post_as("application/json", event, &[(header, value)]).await;
        assert_eq!((answered.as_u16(), answer["code"].as_str()), (status, Some(code)), "{header}: {value}");
    }
    host.stop().await;
}
