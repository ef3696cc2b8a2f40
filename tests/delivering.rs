//! From an accepted event to a settled delivery: what is sent, what is logged, what is tried again, what is refused.

use herald::{
    clock::Clock,
    model::{Blame, FailReason, Outcome, State},
};
use serde_json::{Value, json};

use crate::harness::{
    Closed, Receiver, Reply, SAMPLE, Setup,
    guests::{Act, Guest},
    seconds, within,
};

/// A `webhook` channel that gets every event.
fn webhook(receiver: &Receiver) -> String {
    format!(
        "[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\n\
         [[route]]\nchannel = \"hook\"\n",
        receiver.url("/hook")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_mebibyte_goes_into_an_adapter_and_a_body_of_a_mebibyte_comes_out() {
    let receiver = Receiver::start().await;
    let channel = |name: &str, body: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\nbody = {body}\n\
             [[route]]\nchannel = \"{name}\"\n",
            receiver.url(&format!("/{name}"))
        )
    };
    let template = "{ template = '{\"a\": \"{{ event.data.text }}\", \"b\": {{ event.data.list | tojson }}}' }";
    let setup = Setup::new(&[channel("event", "\"event\""), channel("template", template)].concat());
    let config = std::fs::read_to_string(setup.config()).unwrap();
    std::fs::write(setup.config(), config.replace("[server]\n", "[server]\nmax_body = \"2 MiB\"\n")).unwrap();
    let host = setup.start().await;
    // With what takes more room in JSON than it does as text.
    let text = "0123456789 \"é\" \\ \u{1f600}\n".repeat(20_000);
    let list: Vec<u64> = (0..100_000).collect();
    let data = json!({"text": text, "list": list});
    assert!(data.to_string().len() > 1 << 20);
    host.accepted(json!({"type": "large", "data": data}).to_string()).await;
    let mut received = receiver.wait_for(2).await;
    assert!(host.drain().await.iter().all(|listed| listed.delivery.state == State::Delivered));
    received.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(received.iter().all(|one| one.body.len() > 1 << 20));
    // The event as Herald has it, not what was posted.
    assert_eq!((&received[0].json()["data"], &received[0].json()["title"]), (&data, &json!("Large")));
    assert_eq!(received[1].json(), json!({"a": text, "b": list}));
    host.stop().await;
}

/// A `slack` channel that gets every event, its webhook a secret in the file itself.
fn slack(receiver: &Receiver) -> String {
    format!(
        "[[channel]]\nname = \"team-ml-alerts\"\nadapter = \"slack\"\n[channel.settings]\nwebhook_url = \"{}\"\n\
         [[route]]\nchannel = \"team-ml-alerts\"\n",
        receiver.url("/services/T000/B000/distinctive-secret")
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_goes_through_a_webhook_channel_unchanged_and_to_slack_nicely() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&format!("{}{}", webhook(&receiver), slack(&receiver)));
    let host = setup.start().await;
    let answer = host.accepted(SAMPLE).await;
    assert_eq!(answer["deliveries"], 2);
    let received = receiver.wait_for(2).await;
    let hook = received.iter().find(|received| received.path == "/hook").unwrap();
    assert_eq!(hook.text(), SAMPLE);
    assert_eq!((hook.method.as_str(), hook.header("content-type")), ("POST", "application/json"));
    let message = received.iter().find(|received| received.path.starts_with("/services/")).unwrap();
    let title = "*<https://app.valohai.com/p/demo/cool-tensorflow/execution/0178f482-8686-fb28-8af1-3d36af38079d/|\
                 Execution finished: demo/cool-tensorflow/#736 (completed)>*";
    assert!(message.text().contains(title), "{}", message.text());
    assert!(message.text().contains("*Duration*\\n11m 0s"), "{}", message.text());
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_attempt_is_logged_with_request_response_times_adapter_and_no_secret() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&slack(&receiver));
    let host = setup.start().await;
    receiver.reply(Reply::new(200, "ok").header("x-echo", &receiver.url("/services/T000/B000/distinctive-secret")));
    host.accepted(SAMPLE).await;
    let listed = host.drain().await;
    let detail = host.show(&listed[0]).await;
    let attempt = &detail["attempts"][0];
    assert_eq!(attempt["outcome"], "delivered");
    assert_eq!(attempt["number"], 1);
    assert_eq!(attempt["adapter"]["name"], "slack");
    assert!(attempt["adapter"]["digest"].as_str().unwrap().starts_with("sha256:"));
    assert!(attempt["duration_us"].as_u64().unwrap() > 0);
    let exchange = &attempt["exchanges"][0];
    assert_eq!(exchange["request"]["method"], "POST");
    assert!(exchange["request"]["body"].as_str().unwrap().contains("Train model (MNIST)"));
    let headers = exchange["request"]["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["herald-delivery-id", listed[0].delivery.id.to_string()])));
    assert_eq!(exchange["response"]["status"], 200);
    assert_eq!(exchange["response"]["body"], "ok");
    for part in ["connect_us", "first_byte_us", "total_us"] {
        assert!(exchange["timing"][part].as_u64().is_some(), "{part}: {exchange}");
    }
    assert!(!detail.to_string().contains("distinctive-secret"), "{detail}");
    host.stop().await;
    let store = std::fs::read(setup.folder.path().join("herald.db")).unwrap();
    let wal = std::fs::read(setup.folder.path().join("herald.db-wal")).unwrap_or_default();
    for bytes in [store, wal] {
        assert!(!String::from_utf8_lossy(&bytes).contains("distinctive-secret"), "the store holds the secret");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_pending_is_delivered_after_a_restart() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let setup = Setup::new(&webhook(&receiver).replace("[channel.settings]", "timeout = \"300s\"\n[channel.settings]"));
    let host = setup.start().await;
    for number in 0..20 {
        host.accepted(format!(r#"{{"type":"test","id":"e{number}"}}"#)).await;
    }
    receiver.wait_for(1).await;
    // The receiver hangs, so the grace period runs out, and what is under way is released.
    host.stop().await;
    receiver.release();
    let host = setup.start().await;
    let deliveries = host.drain().await;
    assert!(deliveries.iter().all(|listed| listed.delivery.state == State::Delivered));
    let mut bodies: Vec<String> = receiver.received().iter().map(|received| received.text().to_owned()).collect();
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 20, "nothing is lost");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_double_carries_the_same_delivery_id() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&webhook(&receiver)).clock(clock.clone());
    receiver.reply(Reply::new(500, "broken"));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    clock.advance(seconds(7));
    let received = receiver.wait_for(2).await;
    assert_eq!(received[0].header("herald-delivery-id"), received[1].header("herald-delivery-id"));
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_exactly_and_pauses_the_channel() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(&webhook(&receiver)).clock(clock.clone());
    receiver.reply(Reply::new(429, "slow down").header("retry-after", "90"));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    let all = host.until("the first attempt", |all| all[0].delivery.attempts == 1).await;
    assert_eq!(all[0].delivery.due_at, Some(1_700_000_000_000 + 90_000));
    host.accepted(r#"{"type":"test","id":"second"}"#).await;
    clock.advance(seconds(89));
    host.quiet().await;
    assert_eq!(receiver.received().len(), 1, "the channel is paused, for other deliveries too");
    clock.advance(seconds(1));
    receiver.wait_for(3).await;
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_service_that_says_how_long_to_wait_loses_no_message() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let config = format!("[delivery]\nschedule = [\"30s\", \"60s\"]\n{}", webhook(&receiver));
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..20 {
        receiver.reply(Reply::new(429, "busy").header("retry-after", "1"));
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    for attempts in 1..=20 {
        host.until("an attempt", |all| all[0].delivery.attempts == attempts).await;
        clock.advance(seconds(1));
    }
    assert_eq!(host.drain().await[0].delivery.state, State::Delivered);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_fails_as_exhausted_at_the_end_of_its_schedule() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let config = format!("[delivery]\nschedule = [\"1s\", \"2s\"]\njitter = 0.0\n{}", webhook(&receiver));
    let setup = Setup::new(&config).clock(clock.clone());
    for _ in 0..3 {
        receiver.reply(Reply::new(503, "no"));
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    for (attempts, wait) in [(1, 1), (2, 2)] {
        host.until("an attempt", |all| all[0].delivery.attempts == attempts).await;
        clock.advance(seconds(wait));
    }
    let all = host.drain().await;
    assert_eq!((all[0].delivery.state, all[0].delivery.reason), (State::Failed, Some(FailReason::Exhausted)));
    assert_eq!(host.show(&all[0]).await["attempts"].as_array().unwrap().len(), 3);
    host.stop().await;
}

/// What becomes of a delivery that is answered so.
async fn answered(reply: Option<Reply>, expected: (State, Option<FailReason>), outcome: Outcome, reason: &str) {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver)).clock(Clock::manual(1_700_000_000_000));
    if let Some(reply) = reply {
        receiver.reply(reply);
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    let attempt = all[0].last_attempt.as_ref().unwrap();
    assert_eq!(((all[0].delivery.state, all[0].delivery.reason), attempt.outcome), (expected, outcome), "{reason}");
    let told = attempt.reason.as_deref().unwrap_or_default();
    assert!(told.contains(reason), "{told}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_2xx_is_delivered_a_5xx_is_tried_again_and_anything_else_is_rejected() {
    let (again, rejected) = ((State::Pending, None), (State::Failed, Some(FailReason::Rejected)));
    answered(Some(Reply::new(204, "")), (State::Delivered, None), Outcome::Delivered, "").await;
    answered(Some(Reply::new(500, "")), again, Outcome::Retry, "answered 500").await;
    answered(Some(Reply::new(408, "")), again, Outcome::Retry, "answered 408").await;
    answered(Some(Reply::new(404, "")), rejected, Outcome::Rejected, "answered 404").await;
    let redirect = Reply::new(302, "").header("location", "http://127.0.0.1:1/");
    answered(Some(redirect), rejected, Outcome::Rejected, "redirects are not followed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_410_disables_the_channel_until_somebody_enables_it() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(&webhook(&receiver));
    receiver.reply(Reply::new(410, ""));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"a"}"#).await;
    host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    host.accepted(r#"{"type":"test","id":"b"}"#).await;
    let disabled = || async { host.get("/v1/channels").await.1["channels"][0]["disabled"].clone() };
    assert!(disabled().await["reason"].as_str().unwrap().contains("410"));
    // Whoever asks why is told, and a test is not kept waiting.
    let pending = host.deliveries().await;
    assert!(host.show(&pending[0]).await["waits"].as_str().unwrap().contains("disabled"));
    let test = host.http.post(format!("{}/v1/channels/hook/test", host.base)).send().await.unwrap();
    assert_eq!(test.status(), 409);
    host.stop().await;
    // It stays so over a restart.
    let host = setup.start().await;
    host.quiet().await;
    assert_eq!(receiver.received().len(), 1);
    let enable = host.http.post(format!("{}/v1/channels/hook/enable", host.base)).send().await.unwrap();
    assert_eq!(enable.status(), 204);
    host.drain().await;
    assert_eq!(receiver.received().len(), 3, "nothing is lost");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_is_tried_again_and_the_error_is_named() {
    let receiver = Receiver::start().await;
    let dead = Closed::new();
    let config = webhook(&receiver).replace(&receiver.address.to_string(), &dead.to_string());
    let setup = Setup::new(&config).clock(Clock::manual(1_700_000_000_000));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    let attempt = all[0].last_attempt.as_ref().unwrap();
    assert_eq!((attempt.outcome, attempt.blame), (Outcome::Retry, Some(Blame::Receiver)));
    assert!(attempt.reason.as_ref().unwrap().starts_with("connect: "), "{attempt:?}");
    assert_eq!(host.show(&all[0]).await["attempts"][0]["exchanges"][0]["error"][0], "connect");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_has_one_deadline() {
    let receiver = Receiver::start().await;
    receiver.hold();
    let config = webhook(&receiver).replace("[channel.settings]", "timeout = \"1s\"\n[channel.settings]");
    let setup = Setup::new(&config);
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    let attempt = all[0].last_attempt.as_ref().unwrap();
    assert!(attempt.reason.as_ref().unwrap().starts_with("timeout: "), "{attempt:?}");
    assert!(attempt.duration_us >= 1_000_000, "{attempt:?}");
    receiver.release();
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_delays_nobody_else() {
    let (hangs, good) = (Receiver::start().await, Receiver::start().await);
    hangs.hold();
    let other = webhook(&good).replace("\"hook\"", "\"other\"");
    let setup = Setup::new(&format!("{}{other}", webhook(&hangs)));
    let host = setup.start().await;
    for _ in 0..100 {
        host.accepted(r#"{"type":"test"}"#).await;
    }
    good.wait_for(100).await;
    hangs.wait_for(8).await;
    assert_eq!(hangs.received().len(), 8, "the channel's own concurrency");
    hangs.release();
    host.drain().await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_where_this_host_does_not_send_is_blocked_with_the_line_that_would_allow_it() {
    let setup = Setup::new(
        "[[channel]]\nname = \"hook\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"http://10.1.2.3/\"\n\
         [[route]]\nchannel = \"hook\"\n",
    );
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.drain().await;
    assert_eq!(all[0].delivery.reason, Some(FailReason::Blocked));
    let reason = all[0].last_attempt.as_ref().unwrap().reason.clone().unwrap();
    assert!(reason.contains("outbound.allow_http = "), "{reason}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_sends_only_to_the_hosts_that_its_operator_lists() {
    let receiver = Receiver::start().await;
    let channel = |name: &str, hosts: &str| {
        format!(
            "[[channel]]\nname = \"{name}\"\nadapter = \"webhook\"\nhosts = {hosts}\n[channel.settings]\nurl = \"{}\"\n\
             headers = {{ authorization = \"Bearer hunter2hunter2\" }}\n[[route]]\nevents = \"test\"\nchannel = \"{name}\"\n",
            receiver.url(&format!("/{name}"))
        )
    };
    let closed = channel("closed", "[\"*.example.com\"]");
    let setup = Setup::new(&(closed + &channel("open", "[\"*.example.com\", \"127.0.0.1\"]")));
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.drain().await;
    let of = |name: &str| all.iter().find(|listed| listed.delivery.channel == name).unwrap();
    assert_eq!(of("closed").delivery.reason, Some(FailReason::Blocked));
    let reason = of("closed").last_attempt.as_ref().unwrap().reason.clone().unwrap();
    assert!(reason.contains(r#"[[channel]]: hosts = ["*.example.com", "127.0.0.1"]"#), "{reason}");
    assert!(!host.show(of("closed")).await.to_string().contains("hunter2"));
    // The line does what it says.
    assert_eq!(of("open").delivery.state, State::Delivered);
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!((received[0].path.as_str(), received[0].header("authorization")), ("/open", "Bearer hunter2hunter2"));
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_that_misbehaves_fails_its_own_delivery_and_is_blamed() {
    let receiver = Receiver::start().await;
    for (act, expected) in [(Act::Trap, "`render` trapped"), (Act::Grow, "it ran into its limit of memory")] {
        let config = "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n";
        // What Herald tells of the failure is another event.
        let hook = webhook(&receiver).replace("[[route]]", "[[route]]\nevents = [\"test\"]");
        let setup = Setup::new(&format!("{config}{hook}"));
        let guest = Guest { render: act, ..Guest::new("7", &receiver.url("/")) };
        std::fs::write(setup.adapters().join("guest.wasm"), guest.component()).unwrap();
        let host = setup.start().await;
        let before = receiver.received().len();
        host.accepted(r#"{"type":"test"}"#).await;
        let all = host.drain().await;
        let listed = all.iter().find(|listed| listed.delivery.channel == "c").unwrap();
        assert_eq!(listed.delivery.reason, Some(FailReason::Adapter));
        let attempt = listed.last_attempt.as_ref().unwrap();
        assert_eq!((attempt.blame, attempt.adapter.as_ref().unwrap().version.as_str()), (Some(Blame::Adapter), "7"));
        assert!(attempt.reason.as_ref().unwrap().contains(expected), "{attempt:?}");
        assert_eq!(receiver.received().len(), before + 1, "the good channel has delivered");
        host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_runs_out_of_time_is_tried_again_as_the_machine_may_have_been_busy() {
    let receiver = Receiver::start().await;
    let config = "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n";
    let setup = Setup::new(config).clock(Clock::manual(1_700_000_000_000));
    let guest = Guest { render: Act::Spin, ..Guest::new("7", &receiver.url("/")) };
    std::fs::write(setup.adapters().join("guest.wasm"), guest.component()).unwrap();
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    let attempt = all[0].last_attempt.as_ref().unwrap();
    assert_eq!((all[0].delivery.state, attempt.blame), (State::Pending, Some(Blame::Adapter)));
    assert!(attempt.reason.as_ref().unwrap().contains("`render` ran longer than its limit of 1s"), "{attempt:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_event_goes_the_way_of_every_event() {
    let receiver = Receiver::start().await;
    // No route leads to the channel.
    let config = webhook(&receiver).split("[[route]]").next().unwrap().to_owned();
    let setup = Setup::new(&config);
    let host = setup.start().await;
    let accepted = host.http.post(format!("{}/v1/channels/hook/test", host.base)).send().await.unwrap();
    assert_eq!(accepted.status(), 202);
    let accepted: Value = serde_json::from_str(&accepted.text().await.unwrap()).unwrap();
    let path = format!("/v1/deliveries/{}?wait=30", accepted["delivery"].as_str().unwrap());
    let (_, detail) = within("the outcome", host.get(&path)).await;
    assert_eq!((&detail["delivery"]["state"], &detail["event"]["type"]), (&json!("delivered"), &json!("test")));
    assert_eq!(receiver.received()[0].json()["type"], "test");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_may_ask_for_another_request_and_its_reference_comes_back_with_the_next_of_the_subject() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n");
    let guest = Guest { conversational: true, ..Guest::new("1", &receiver.url("/")) };
    std::fs::write(setup.adapters().join("guest.wasm"), guest.component()).unwrap();
    let host = setup.start().await;
    for (id, bodies) in [("first", ["first", "hop"]), ("second", ["thread-7", "hop"])] {
        let before = receiver.received().len();
        host.accepted(format!(r#"{{"type":"test","id":"{id}","subject":"s"}}"#)).await;
        host.drain().await;
        let received = receiver.received();
        assert_eq!([received[before].text(), received[before + 1].text()], bodies);
        assert_eq!(received[before].header("herald-delivery-id"), received[before + 1].header("herald-delivery-id"));
    }
    let listed = host.deliveries().await;
    let detail = host.show(&listed[0]).await;
    assert_eq!(detail["attempts"][0]["exchanges"].as_array().unwrap().len(), 2, "both are in the log");
    // References outlive the host.
    host.stop().await;
    let host = setup.start().await;
    host.accepted(r#"{"type":"test","id":"third","subject":"s"}"#).await;
    assert_eq!(receiver.wait_for(5).await[4].text(), "thread-7");
    host.drain().await;
    host.stop().await;
}
