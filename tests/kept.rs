//! `isolation = "channel"`: what calls of one channel share, and what nobody shares all the same.

use std::{fs, sync::Arc};

use herald::{
    adapter::{Adapter, Limits, Options, Origin, Registry},
    clock::Clock,
    model::{Context, Event, EventType, Isolation, State},
};

use crate::config_reload::until;
use crate::harness::{
    Receiver, Setup,
    guests::{Act, Guest},
    hostile_guests::secret,
};

/// Counts its calls in a global, and says in a header how many there were before.
const COUNTS: Act = Act::Do(
    "(i32.store8 (i32.const 16) (i32.add (i32.const 48) (global.get $n)))
     (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 16))
     (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 1))
     (global.set $n (i32.add (global.get $n) (i32.const 1)))",
);

fn keeping(limits: Limits) -> Registry {
    let limits = Limits { isolation: Isolation::Channel, ..limits };
    Registry::open(Options { limits, ..Options::default() }, Vec::new()).unwrap()
}

fn load(registry: &Registry, guest: &Guest) -> Adapter {
    registry.load("guest", &guest.component(), Origin::BuiltIn).unwrap()
}

fn guest(render: Act) -> Guest {
    Guest { render, ..Guest::new("1", "http://127.0.0.1/") }
}

/// What a call says in its header.
fn says(adapter: &Adapter, channel: &str) -> Result<String, String> {
    let context = Context {
        delivery_id: "dlv_1".to_owned(),
        channel: channel.to_owned(),
        settings: "{}".to_owned(),
        attempt: 1,
        now: 0,
        reference: None,
    };
    let event = Event {
        id: "e".to_owned(),
        source: String::new(),
        kind: EventType::new("test").unwrap(),
        title: "t".to_owned(),
        body: String::new(),
        url: None,
        project: None,
        subject: None,
        occurred_at: 0,
        received_at: 0,
        data: serde_json::value::RawValue::from_string("{}".to_owned()).unwrap(),
        payload: bytes::Bytes::new(),
    };
    let request = adapter.render(&context, &event).map_err(|error| error.to_string())?.unwrap();
    Ok(request.headers[0].1.clone())
}

#[test]
fn what_a_call_leaves_is_found_by_the_next_of_its_channel_and_by_no_other() {
    let registry = keeping(Limits::default());
    let adapter = load(&registry, &guest(COUNTS));
    let found: Vec<_> = ["a", "a", "b", "a", "b"].map(|channel| says(&adapter, channel).unwrap()).into();
    assert_eq!(found, ["0", "1", "0", "2", "1"]);
    // Another adapter of the same host, and the same channel.
    assert_eq!(says(&load(&registry, &guest(COUNTS)), "a").unwrap(), "0");
    // Without the setting, nothing is found at all.
    let adapter = load(&Registry::open(Options::default(), Vec::new()).unwrap(), &guest(COUNTS));
    assert_eq!([says(&adapter, "a").unwrap(), says(&adapter, "a").unwrap()], ["0", "0"]);
}

#[test]
fn a_sandbox_ends_with_a_trap_a_timeout_growth_or_its_last_call() {
    let limits = Limits { time: std::time::Duration::from_millis(200), ..Limits::default() };
    let registry = keeping(limits);
    let third = |what: &'static str| -> Act {
        let head = "(i32.store8 (i32.const 16) (i32.add (i32.const 48) (global.get $n)))
             (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 16))
             (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 1))
             (global.set $n (i32.add (global.get $n) (i32.const 1)))";
        Act::Do(format!("{head} (if (i32.eq (global.get $n) (i32.const 3)) (then {what}))").leak())
    };
    let adapter = load(&registry, &guest(third("(loop $again (br $again))")));
    assert_eq!([says(&adapter, "a").unwrap(), says(&adapter, "a").unwrap()], ["0", "1"]);
    let error = says(&adapter, "a").unwrap_err();
    assert!(error.contains("longer than its limit of 200ms"), "{error}");
    assert_eq!(says(&adapter, "a").unwrap(), "0");
    // What earlier calls have left may be why it fails: the call is repeated in a fresh sandbox, which is kept then.
    let adapter = load(&registry, &guest(third("unreachable")));
    let found: Vec<_> = (0..4).map(|_| says(&adapter, "a").unwrap()).collect();
    assert_eq!(found, ["0", "1", "0", "1"]);
    // A call that fails in a fresh sandbox, too, is not repeated again.
    let adapter = load(&registry, &guest(Act::Trap));
    assert!(says(&adapter, "a").unwrap_err().contains("trapped"));
    // 16 MiB and a page; the call itself is good.
    let adapter = load(&registry, &guest(third("(drop (memory.grow (i32.const 257)))")));
    let found: Vec<_> = (0..4).map(|_| says(&adapter, "a").unwrap()).collect();
    assert_eq!(found, ["0", "1", "2", "0"]);
    // Counted in one letter, from 0 on, so in a circle of 64: the last of 1000 is 39.
    let circle = Act::Do(
        "(i32.store8 (i32.const 16) (i32.add (i32.const 48) (i32.and (global.get $n) (i32.const 63))))
         (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 16))
         (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 1))
         (global.set $n (i32.add (global.get $n) (i32.const 1)))",
    );
    let adapter = load(&registry, &guest(circle));
    let found: Vec<_> = (0..1001).map(|_| says(&adapter, "a").unwrap()).collect();
    assert_eq!((found[998].as_str(), found[999].as_str(), found[1000].as_str()), ("V", "W", "0"));
}

#[test]
fn no_more_than_32_are_kept_and_calls_find_room_all_the_same() {
    let registry = keeping(Limits::default());
    let adapter = load(&registry, &guest(COUNTS));
    let channels: Vec<String> = (0..100).map(|number| format!("c{number}")).collect();
    for channel in &channels {
        assert_eq!(says(&adapter, channel).unwrap(), "0");
    }
    // The last 32, the latest first, as each that is called again is the latest then.
    for channel in channels.iter().rev().take(32) {
        assert_eq!(says(&adapter, channel).unwrap(), "1", "{channel}");
    }
    assert_eq!(says(&adapter, &channels[0]).unwrap(), "0");
}

#[test]
fn limits_hold_for_each_call_in_a_kept_sandbox_as_in_a_fresh_one() {
    // Half a second each, under a limit of three: the time is each call's own.
    let limits = Limits { time: std::time::Duration::from_secs(3), transfer: 100_000, ..Limits::default() };
    let registry = keeping(limits);
    let waits = Act::Do("(call $block (call $alarm (i64.const 500000000)))");
    let adapter = load(&registry, &Guest { foreign: true, ..guest(waits) });
    for _ in 0..7 {
        says(&adapter, "a").unwrap();
    }
    // 60 KB of header each, under a limit of 100 KB.
    let hands_over = Act::Do(
        "(i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 1048576))
         (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 60000))",
    );
    let adapter = load(&registry, &guest(hands_over));
    for _ in 0..5 {
        assert_eq!(says(&adapter, "a").unwrap().len(), 60_000);
    }
    let too_much = Act::Do(
        "(if (global.get $n) (then
           (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 1048576))
           (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 150000))))
         (global.set $n (i32.const 1))",
    );
    let adapter = load(&registry, &guest(too_much));
    // The second call hands over too much in the kept sandbox, and is repeated in a fresh one.
    let first = says(&adapter, "a").unwrap();
    assert_eq!(says(&adapter, "a").unwrap(), first);
    // Memory is the sandbox's: what earlier calls have taken counts.
    let grows = load(&registry, &guest(Act::Grow));
    assert!(says(&grows, "a").unwrap_err().contains("its limit of memory: more than 67108864 bytes"));
}

const CONFIG: &str = "[adapters.limits.guest]\nisolation = \"channel\"\n\
                      [[channel]]\nname = \"a\"\nadapter = \"guest\"\n[channel.settings]\nkey = \"hunter2\"\n\
                      [[channel]]\nname = \"b\"\nadapter = \"guest\"\n[channel.settings]\nkey = \"hunter3\"\n\
                      [[route]]\nchannel = \"a\"\nevents = [\"test\"]\n[[route]]\nchannel = \"b\"\nevents = [\"test\"]\n";

fn put(setup: &Setup, bytes: &[u8]) {
    let next = setup.folder.path().join("next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, setup.adapters().join("guest.wasm")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_of_an_adapter_or_of_the_config_begins_everything_anew() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(CONFIG);
    let version = |version: &str| Guest { render: COUNTS, ..Guest::new(version, &receiver.url("/")) }.component();
    put(&setup, &version("1"));
    let host = setup.start().await;
    let mut expected = Vec::new();
    let mut deliver = async |found: &'static str| {
        host.accepted(r#"{"type":"test"}"#).await;
        host.drain().await;
        expected.extend([found, found]);
        let heard: Vec<_> = receiver.received().iter().map(|got| got.header("x-version").to_owned()).collect();
        assert_eq!(heard, expected);
    };
    deliver("0").await;
    deliver("1").await;
    put(&setup, &version("2"));
    host.adapter_version("guest", "2").await;
    deliver("0").await;
    deliver("1").await;
    let before = host.app.pipeline().plan();
    setup.write_config(&CONFIG.replace("hunter3", "hunter4"));
    until("the new config", async || !Arc::ptr_eq(&before, &host.app.pipeline().plan())).await;
    deliver("0").await;
    host.stop().await;
}

/// Puts the handle that it got first into a header, in every call.
const KEEPS_ITS_FIRST_HANDLE: Act = Act::Do(
    "(if (i32.eqz (global.get $n)) (then
       (memory.copy (i32.const 16) (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)) (i32.const 38))
       (global.set $n (i32.const 1))))
     (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (i32.const 16))
     (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 38))",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_is_kept_in_a_global_is_mere_text_in_the_next_call() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(CONFIG);
    let guest = Guest { render: KEEPS_ITS_FIRST_HANDLE, ..Guest::new("1", &receiver.url("/")) };
    put(&setup, &secret(guest).component());
    let host = setup.start().await;
    for _ in 0..2 {
        host.accepted(r#"{"type":"test"}"#).await;
        host.drain().await;
    }
    let mut heard: Vec<_> = receiver.received().iter().map(|got| got.header("x-version").to_owned()).collect();
    heard[..2].sort();
    assert_eq!(heard[..2], ["hunter2", "hunter3"], "while they are fresh, they are worth the secrets");
    assert!(heard[2..].iter().all(|handle| handle.starts_with("heraldsecret")), "{heard:?}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_turns_hostile_in_a_kept_sandbox_harms_its_own_channel_alone() {
    let receiver = Receiver::start().await;
    let setup = Setup::new(CONFIG).clock(Clock::manual(1_700_000_000_000));
    // From the second call on it spins, but only where its settings are those of the longer key.
    let turns = Act::Do(
        "(if (i32.and (global.get $n) (i32.eq (i32.load offset=20 (local.get 0)) (i32.const 22)))
           (then (loop $again (br $again))))
         (global.set $n (i32.const 1))",
    );
    setup.write_config(&CONFIG.replace("hunter2", "hunter2-more"));
    put(&setup, &Guest { render: turns, ..Guest::new("1", &receiver.url("/")) }.component());
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    host.drain().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.until("an attempt of each", |all| all.iter().all(|listed| listed.delivery.attempts > 0)).await;
    for listed in &all {
        let good = listed.delivery.state == State::Delivered;
        let reason = listed.last_attempt.as_ref().unwrap().reason.clone().unwrap_or_default();
        assert!(good || (listed.delivery.channel == "a" && reason.contains("longer than its limit")), "{listed:?}");
    }
    assert_eq!(all.iter().filter(|listed| listed.delivery.state == State::Delivered).count(), 3);
    host.stop().await;
}
