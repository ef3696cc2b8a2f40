//! Adapters that do what no good adapter does: each harms its own delivery or is refused, the limit and whose fault it
//! is are named, and the host goes on.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use herald::{
    adapter::{Cache, Options, Registry, digest},
    clock::Clock,
    model::{Blame, FailReason, State},
    store::Listed,
};

use crate::harness::{
    Received, Receiver, Setup, TestHost,
    guests::{Act, Guest, of_another_world},
    hostile_guests::{self, Ends, VERSION, secret},
    within,
};

const SECRET: &str = "hunter2";

/// A channel for each, and a good one.
fn config(names: &[&'static str], good: &Receiver) -> String {
    let mut text = format!(
        "[[channel]]\nname = \"good\"\nadapter = \"webhook\"\n[channel.settings]\nurl = \"{}\"\n\
         [[route]]\nchannel = \"good\"\nevents = [\"test\"]\n",
        good.url("/good")
    );
    for name in names {
        write!(
            text,
            "[[channel]]\nname = \"{name}\"\nadapter = \"{name}\"\n[channel.settings]\nkey = \"{SECRET}\"\n\
             [[route]]\nchannel = \"{name}\"\nevents = [\"test\"]\n"
        )
        .unwrap();
    }
    text
}

/// What is wrong with how it has ended, if anything is.
fn wrong(listed: &Listed, ends: Ends) -> Option<String> {
    let attempt = listed.last_attempt.as_ref().unwrap();
    let adapter = attempt.adapter.as_ref().unwrap();
    let reason = attempt.reason.clone().unwrap_or_default();
    let named = adapter.name == listed.delivery.channel && adapter.version == VERSION;
    let state = (listed.delivery.state, listed.delivery.reason);
    let fits = match ends {
        Ends::In(words) => state == (State::Failed, Some(FailReason::Adapter)) && reason.contains(words),
        Ends::OutOfTime => state.0 == State::Pending && reason.contains("ran longer than its limit of 1s"),
        Ends::Well => state.0 == State::Delivered,
    };
    let blamed = matches!(ends, Ends::Well) || attempt.blame == Some(Blame::Adapter);
    (!named || !fits || !blamed || reason.contains(SECRET)).then(|| format!("{listed:?}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_hostile_guest_harms_its_own_delivery_alone_and_its_limit_is_named() {
    let good = Receiver::start().await;
    let (victim, clock) = (Receiver::start().await, Clock::manual(1_700_000_000_000));
    let guests = hostile_guests::all(&victim.url("/"));
    let names: Vec<_> = guests.iter().map(|(name, ..)| *name).collect();
    let setup = Setup::new(&config(&names, &good)).clock(clock);
    for (name, guest, _) in &guests {
        fs::write(setup.adapters().join(format!("{name}.wasm")), guest.component()).unwrap();
    }
    let host = setup.start().await;
    assert_eq!(host.get("/v1/adapters").await.1["refused"], serde_json::json!([]));
    host.accepted(r#"{"type":"test","id":"first"}"#).await;
    // While the hostile ones are under way.
    good.wait_for(1).await;
    let all = host.until("an attempt of each", |all| all.iter().all(|listed| listed.delivery.attempts == 1)).await;
    let mut problems = String::new();
    for (name, _, ends) in &guests {
        let listed = all.iter().find(|listed| listed.delivery.channel == *name).unwrap();
        problems.extend(wrong(listed, *ends));
    }
    assert!(problems.is_empty(), "\n{problems}");
    assert!(victim.received().iter().all(|request| !format!("{request:?}").contains(SECRET)));
    host.accepted(r#"{"type":"test","id":"second"}"#).await;
    good.wait_for(2).await;
    host.stop().await;
}

/// Puts its handle into a header, keeps it, and traps when it finds what it has kept.
const KEEPS_ITS_HANDLE: Act = Act::Do(
    "(if (global.get $n) (then unreachable)) (if (i32.load (i32.const 16)) (then unreachable))
     (global.set $n (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)))
     (memory.copy (i32.const 16) (global.get $n) (i32.const 38))
     (i32.store offset=8 (i32.load offset=20 (global.get $rendered)) (global.get $n))
     (i32.store offset=12 (i32.load offset=20 (global.get $rendered)) (i32.const 38))",
);

/// Leaves its handle in the state of the second request, sends what it finds there as the third one's body, and leaves
/// another handle as the reference, which `render` sends.
const LEAVES_ITS_HANDLES: Act = Act::Do(
    "(global.set $n (i32.add (i32.load offset=16 (local.get 0)) (i32.const 8)))
     (i32.store offset=100 (global.get $next) (global.get $n))
     (i32.store offset=104 (global.get $next) (i32.const 38))
     (i32.store offset=12 (global.get $taken) (global.get $n))
     (i32.store offset=16 (global.get $taken) (i32.const 38))
     (if (i32.eq (i32.load offset=148 (local.get 0)) (i32.const 38)) (then
       (i32.store offset=36 (global.get $next) (i32.load offset=144 (local.get 0)))
       (i32.store offset=40 (global.get $next) (i32.const 38))
       (i32.store offset=104 (global.get $next) (i32.const 1))
       (return (global.get $next))))",
);

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_a_guest_keeps_by_any_means_is_mere_text_in_later_calls() {
    let victim = Receiver::start().await;
    let guest = Guest {
        render: KEEPS_ITS_HANDLE,
        interpret: LEAVES_ITS_HANDLES,
        conversational: true,
        ..Guest::new(VERSION, &victim.url("/"))
    };
    let setup = Setup::new(&config(&["keeps"], &victim));
    fs::write(setup.adapters().join("keeps.wasm"), secret(guest).component()).unwrap();
    let host = setup.start().await;
    for id in ["first", "second"] {
        host.accepted(format!(r#"{{"type":"test","id":"{id}","subject":"s"}}"#)).await;
        let all = host.drain().await;
        assert!(all.iter().all(|listed| listed.delivery.state == State::Delivered), "{all:?}");
    }
    let received: Vec<_> = victim.received().into_iter().filter(|request| request.path == "/").collect();
    let bodies: Vec<&str> = received.iter().map(Received::text).collect();
    let [first, "hop", by_state, by_reference, "hop", by_state_again] = bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(first, "first");
    for handle in [by_state, by_reference, by_state_again] {
        assert!(handle.starts_with("heraldsecret") && handle.len() == 38, "{handle}");
    }
    assert!(by_state != by_reference && by_state != by_state_again && by_reference != by_state_again);
    // While it is fresh, it is worth the secret.
    let heads: Vec<&str> = received.iter().map(|request| request.header("x-version")).collect();
    assert_eq!(heads, [SECRET, VERSION, VERSION, SECRET, VERSION, VERSION]);
    host.stop().await;
}

/// The reason for which a file is refused that comes while version 1 serves; version 1 goes on.
async fn refusal(host: &TestHost, setup: &Setup, bytes: &[u8]) -> String {
    let mut changes = host.app.pipeline().registry().changes();
    changes.borrow_and_update();
    let next = setup.folder.path().join("next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, setup.adapters().join("guest.wasm")).unwrap();
    within("the refusal", changes.changed()).await.unwrap();
    let reason = host.refusal("guest").await;
    assert_eq!(host.adapter("adapters", "guest").await.unwrap()["version"], "1");
    reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_file_is_refused_with_its_limit_and_the_good_version_goes_on() {
    let receiver = Receiver::start().await;
    let setup = Setup::new("[[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n");
    let file = setup.adapters().join("guest.wasm");
    fs::write(&file, Guest::new("1", &receiver.url("/")).component()).unwrap();
    let host = setup.start().await;
    let describes = |code| Guest { describe: Act::Do(code), foreign: true, ..Guest::new(VERSION, "") }.component();
    let http = of_another_world(
        "package wasi:http@0.2.0; interface outgoing-handler { f: func(); } world w { import outgoing-handler; }",
        "w",
        r#"(module (import "wasi:http/outgoing-handler@0.2.0" "f" (func)) (func (export "run") (call 0)))"#,
    );
    for (bytes, expected) in [
        (http, "wasi:http is not available to adapters: return a request instead"),
        (describes("(drop (call $deeper (i32.const 0)))"), "`describe` ran out of stack: its limit is 524288 bytes"),
        (describes("(loop $again (drop (call $now)) (br $again))"), "`describe` ran longer than its limit of 1s"),
        (
            describes("(call $block (call $alarm (i64.const 3600000000000)))"),
            "`describe` ran longer than its limit of 1s",
        ),
        (Guest { describe: Act::Grow, ..Guest::new(VERSION, "") }.component(), "more than 67108864 bytes"),
        (Guest { schema: schema_bomb(), ..Guest::new(VERSION, "") }.component(), "asks for more than 100000 steps"),
        (
            Guest::new(&"6".repeat(300), "").component(),
            "`describe` handed over a version of 300 bytes: its limit is 256",
        ),
        (Guest { schema: patterns(201), ..Guest::new(VERSION, "") }.component(), "has 201 patterns: its limit is 200"),
        (
            Guest { schema: format!("{{\"title\":\"{}\"}}", "x".repeat(300_000)), ..Guest::new(VERSION, "") }
                .component(),
            "a settings schema of 300012 bytes: its limit is 262144",
        ),
        (bomb(100_001), "100001 functions to compile: more than its limit of 100000 (adapters.max_functions)"),
    ] {
        let reason = refusal(&host, &setup, &bytes).await;
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    // 200 MB that take no place on the disk.
    fs::File::options().write(true).open(&file).unwrap().set_len(200_000_000).unwrap();
    let registry = host.app.pipeline().registry();
    let refused = || registry.published().refused["guest"].error.to_string();
    let mut changes = registry.changes();
    within("the refusal", changes.wait_for(|_| refused().contains("it is larger than 67108864 bytes"))).await.unwrap();
    host.accepted(r#"{"type":"test","id":"still"}"#).await;
    assert_eq!(receiver.wait_for(1).await[0].header("x-version"), "1");
    host.drain().await;
    host.stop().await;
}

/// So many automata to be built.
fn patterns(number: usize) -> String {
    let all: Vec<_> = (0..number).map(|number| serde_json::json!({"pattern": format!("^a{number}$")})).collect();
    serde_json::json!({"anyOf": all}).to_string()
}

/// Sixty parts, each of which asks for the next one twice.
fn schema_bomb() -> String {
    let mut parts = String::new();
    for part in 0..60 {
        let next = format!(r##"{{"$ref":"#/$defs/{}"}}"##, part + 1);
        write!(parts, r#""{part}":{{"allOf":[{next},{next}]}},"#).unwrap();
    }
    format!(r##"{{"$ref":"#/$defs/0","$defs":{{{parts}"60":{{}}}}}}"##)
}

/// A component with so many functions.
fn bomb(functions: usize) -> Vec<u8> {
    of_another_world("package a:b; world w {}", "w", &format!("(module {})", "(func)".repeat(functions)))
}

/// The machine code in a cache: one file.
fn machine_code(cache: &Path) -> PathBuf {
    let of_guest = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "code");
    fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).find(of_guest).unwrap()
}

#[test]
fn cached_machine_code_that_was_changed_is_compiled_again_and_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("cache");
    let options = || Options { cache: Some(Cache::open(&cache).unwrap()), ..Options::default() };
    let load = || {
        let registry = Registry::open(options(), Vec::new()).unwrap();
        registry.get("webhook").unwrap().from_cache && registry.get("slack").unwrap().from_cache
    };
    assert!(!load() && load(), "the second time it comes from the cache");
    let file = machine_code(&cache);
    let whole = fs::read(&file).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let mut of_another = whole.clone();
    of_another[0] ^= 1;
    for damaged in [flipped, of_another, whole[..whole.len() - 1].to_vec(), whole[..10].to_vec(), Vec::new()] {
        fs::write(&file, &damaged).unwrap();
        assert!(!load(), "{} bytes were believed", damaged.len());
        assert_eq!(fs::read(&file).unwrap()[..32], whole[..32], "it is made anew");
        assert!(load());
    }
    // The right code, but somebody else decides what stands there tomorrow.
    let elsewhere = folder.path().join("elsewhere");
    fs::rename(&file, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    assert!(!load());
    assert!(fs::symlink_metadata(&file).unwrap().is_file(), "the link is replaced, not followed");
    assert_eq!(fs::read(&elsewhere).unwrap(), whole);
}

#[test]
fn cached_machine_code_of_another_user_is_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let options = || Options { cache: Some(Cache::open(folder.path()).unwrap()), ..Options::default() };
    Registry::open(options(), Vec::new()).unwrap();
    let file = machine_code(folder.path());
    // Only root can give a file away.
    if std::os::unix::fs::chown(&file, Some(12345), None).is_ok() {
        Registry::open(options(), Vec::new()).unwrap();
        let own = std::os::unix::fs::MetadataExt::uid(&fs::metadata(folder.path()).unwrap());
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&fs::metadata(&file).unwrap()), own, "it is made anew");
    }
}

#[test]
fn a_cache_that_others_may_look_into_is_closed_to_them_and_one_that_they_may_write_to_is_refused() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("cache");
    let folders = [cache.clone(), cache.join("good")];
    fs::create_dir_all(&folders[1]).unwrap();
    let give = |mode: u32| {
        for folder in &folders {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    for mode in [0o755, 0o710, 0o700] {
        give(mode);
        Cache::open(&cache).unwrap();
        for folder in &folders {
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o777, 0o700, "{mode:o}: {}", folder.display());
        }
    }
    for mode in [0o777, 0o770] {
        give(mode);
        assert!(Cache::open(&cache).unwrap_err().to_string().contains("others can write to the folder"), "{mode:o}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn precompiled_code_in_the_adapters_folder_is_never_loaded() {
    let folder = tempfile::tempdir().unwrap();
    Registry::open(Options { cache: Some(Cache::open(folder.path()).unwrap()), ..Options::default() }, Vec::new())
        .unwrap();
    let code = fs::read(machine_code(folder.path())).unwrap();
    let setup = Setup::new("");
    // With and without the digest in front of it, under its own name and under an adapter's.
    for (name, bytes) in
        [("a.cwasm", &code[32..]), ("b.wasm", &code[32..]), ("c.wasm", &code[..]), ("d.code", &code[..])]
    {
        fs::write(setup.adapters().join(name), bytes).unwrap();
    }
    let host = setup.start().await;
    let (_, answer) = host.get("/v1/adapters").await;
    let names = |list: &str| -> Vec<_> {
        answer[list].as_array().unwrap().iter().map(|adapter| adapter["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((names("adapters"), names("refused")), (owned(["slack", "webhook"]), owned(["b", "c"])));
    assert!(host.refusal("b").await.contains("not a WebAssembly component"));
    host.stop().await;
}

fn owned<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_other_than_the_required_one_is_not_loaded_and_both_digests_are_shown() {
    let receiver = Receiver::start().await;
    let url = receiver.url("/");
    let [good, other] = ["1", "2"].map(|version| Guest::new(version, &url).component());
    let required = digest(&good);
    let nothing = digest(b"");
    let setup = Setup::new(&format!(
        "[adapters.require]\nguest = \"{required}\"\nslack = \"{nothing}\"\n\
         [[channel]]\nname = \"c\"\nadapter = \"guest\"\n[[route]]\nchannel = \"c\"\n"
    ));
    fs::write(setup.adapters().join("guest.wasm"), &good).unwrap();
    let host = setup.start().await;
    let reason = refusal(&host, &setup, &other).await;
    assert!(reason.contains(&required) && reason.contains(&digest(&other)), "{reason}");
    host.accepted(r#"{"type":"test"}"#).await;
    assert_eq!(receiver.wait_for(1).await[0].header("x-version"), "1");
    // What is compiled in is held to it, too.
    assert!(host.adapter("adapters", "slack").await.is_none());
    let refused = host.adapter("refused", "slack").await.unwrap();
    assert_eq!((&refused["file"], &refused["step"]), (&"built in".into(), &"pin".into()));
    assert!(refused["message"].as_str().unwrap().contains(&nothing));
    host.drain().await;
    host.stop().await;
    // The last good version is no way around: after a restart, another is required.
    let now = fs::read_to_string(setup.config()).unwrap().replace(&required, &nothing);
    fs::write(setup.config(), now).unwrap();
    let host = setup.start().await;
    assert!(host.adapter("adapters", "guest").await.is_none());
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_adapter_has_limits_of_its_own() {
    let receiver = Receiver::start().await;
    let mut config = "[adapters.limits.small]\nmemory = \"4 MiB\"\ntable_elements = 1000\nmax_functions = 100\n\
                      [adapters.limits.large]\nmemory = \"128 MiB\"\n"
        .to_owned();
    for name in ["small", "large", "usual"] {
        write!(config, "[[channel]]\nname = \"{name}\"\nadapter = \"{name}\"\n[[route]]\nchannel = \"{name}\"\nevents = [\"test\"]\n").unwrap();
    }
    let setup = Setup::new(&config);
    let grows = Guest { render: Act::Grow, ..Guest::new(VERSION, &receiver.url("/")) }.component();
    for name in ["small", "large", "usual"] {
        fs::write(setup.adapters().join(format!("{name}.wasm")), &grows).unwrap();
    }
    let host = setup.start().await;
    host.accepted(r#"{"type":"test"}"#).await;
    let all = host.drain().await;
    for (name, limit) in [("small", 4 << 20), ("large", 128 << 20), ("usual", 64 << 20)] {
        let listed = all.iter().find(|listed| listed.delivery.channel == name).unwrap();
        let reason = listed.last_attempt.as_ref().unwrap().reason.clone().unwrap();
        assert!(reason.contains(&format!("its limit of memory: more than {limit} bytes")), "{name}: {reason}");
    }
    fs::write(setup.adapters().join("small.wasm"), bomb(101)).unwrap();
    assert!(host.refusal("small").await.contains("101 functions to compile: more than its limit of 100"));
    host.stop().await;
}
