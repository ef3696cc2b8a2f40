//! An attempt of several requests is a small state machine that survives what happens between two of them.

use herald::{clock::Clock, model::State};
use rustix::process::Signal;

use crate::harness::{Receiver, Setup, guests::Guest, process::Program, seconds};

const CHANNEL: &str = "[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n";

/// Asks for a second request after the first.
fn guest(version: &str, receiver: &Receiver) -> Vec<u8> {
    Guest { conversational: true, ..Guest::new(version, &receiver.url("/")) }.component()
}

fn bodies(receiver: &Receiver) -> Vec<String> {
    receiver.received().iter().map(|received| received.text().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_two_requests_resumes_with_the_second() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(CHANNEL);
    std::fs::write(setup.adapters().join("guest.wasm"), guest("1", &receiver)).unwrap();
    let program = Program::new(setup.folder.path());
    let mut host = program.serve(&[]).await;
    // The first is answered, the second is under way when the host dies.
    receiver.hold_after(1);
    let client = crate::harness::http();
    let post = client.post(format!("{}/v1/events", host.url())).body(r#"{"type":"test","id":"e"}"#);
    assert_eq!(post.send().await.unwrap().status(), 202);
    receiver.wait_for(2).await;
    host.signal(Signal::KILL);
    host.code().await;
    receiver.release();
    let host = program.serve(&[]).await;
    receiver.wait_for(3).await;
    assert_eq!(bodies(&receiver), ["e", "hop", "hop"]);
    let received = receiver.received();
    assert_eq!(received[0].header("herald-delivery-id"), received[2].header("herald-delivery-id"));
    // One attempt, with both of its requests in its account.
    let id = received[0].header("herald-delivery-id").to_owned();
    let url = format!("{}/v1/deliveries/{id}?wait=30", host.url());
    let detail: serde_json::Value =
        serde_json::from_str(&client.get(url).send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(detail["delivery"]["state"], "delivered", "{detail}");
    assert_eq!(detail["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(detail["attempts"][0]["exchanges"].as_array().unwrap().len(), 2);
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_of_the_adapter_between_two_requests_goes_on_with_the_second() {
    let receiver = Receiver::start().await;
    let clock = Clock::manual(1_700_000_000_000);
    let setup = Setup::new(CHANNEL).clock(clock.clone());
    std::fs::write(setup.adapters().join("guest.wasm"), guest("1", &receiver)).unwrap();
    let host = setup.start().await;
    // The connection of the second breaks.
    receiver.break_off(1);
    host.accepted(r#"{"type":"test","id":"e"}"#).await;
    let all = host.until("the attempt", |all| all[0].delivery.attempts == 1).await;
    assert_eq!(all[0].delivery.state, State::Pending);
    std::fs::write(setup.adapters().join("guest.wasm"), guest("2", &receiver)).unwrap();
    host.adapter_version("guest", "2").await;
    clock.advance(seconds(10));
    let all = host.drain().await;
    assert_eq!(all[0].delivery.state, State::Delivered);
    let received = receiver.received();
    assert_eq!(bodies(&receiver), ["e", "hop", "hop"]);
    let (_, last) = (&received[0], &received[2]);
    // The request is the first version's; what it means is the second's to say.
    assert_eq!(last.header("x-version"), "1");
    assert_eq!(host.show(&all[0]).await["attempts"][1]["adapter"]["version"], "2");
    host.stop().await;
}
