//! Adapters that are a file of text: a script, a template. No build, the same sandbox.

use std::{fs, path::Path};

use herald::{
    adapter::{Options, Origin, Registry, golden},
    model::{Blame, FailReason, State},
};

use tokio::sync::OnceCell;

use crate::harness::{Received, Receiver, Reply, Setup, TestHost, process::Program};

/// As the issue and the documents show it.
const ONCALL: &str = r#"
export const describe = { title: "On-call board", version: "1", settings: { url: "url", key: "secret" } };
export function render(context, event) {
  return { url: context.settings.url, headers: { "x-key": context.settings.key }, body: { text: event.title, level: event.type.endsWith("_failed") ? "red" : "green" } };
}
"#;

const TEMPLATE: &str = r#"
title = "On-call board"
version = "1"
url = "{{ settings.url }}"

[settings]
url = "url"
key = "secret"

[headers]
x-key = "{{ settings.key }}"

[body]
text = "{{ event.title }}"
level = "{{ 'red' if event.type is endingwith('_failed') else 'green' }}"
"#;

/// A channel of the type `oncall`, with a route for everything.
fn config(receiver: &Receiver) -> String {
    format!(
        "[[channel]]\nname = \"c\"\nadapter = \"oncall\"\n[channel.settings]\nurl = \"{}\"\nkey = \"hunter2\"\n\
         [[route]]\nchannel = \"c\"\nevents = [\"*\"]\n",
        receiver.url("/board")
    )
}

struct Bench {
    setup: Setup,
    receiver: Receiver,
    host: TestHost,
}

/// The engines' machine code is made once for all tests, not by all at once: a start has no deadline.
async fn engines() {
    static READY: OnceCell<()> = OnceCell::const_new();
    let compile = async || {
        let setup = Setup::new("");
        put(&setup, "script.js", ONCALL);
        put(&setup, "template.toml", TEMPLATE);
        setup.start().await.stop().await;
    };
    READY.get_or_init(compile).await;
}

/// A host with this file in its folder.
async fn bench(file: &str, text: &str) -> Bench {
    engines().await;
    let receiver = Receiver::start().await;
    let setup = Setup::new(&config(&receiver));
    put(&setup, file, text);
    let host = setup.start().await;
    Bench { setup, receiver, host }
}

/// By rename: whole or not at all.
fn put(setup: &Setup, name: &str, bytes: impl AsRef<[u8]>) {
    let next = setup.folder.path().join("next");
    fs::write(&next, bytes).unwrap();
    fs::rename(next, setup.adapters().join(name)).unwrap();
}

/// A script whose `render` has this body, from its third line on.
fn script(version: &str, render: &str) -> String {
    format!(
        "export const describe = {{ title: \"t\", version: \"{version}\", settings: {{ url: \"url\", key: \"secret\" }} }};\n\
         export function render(context, event) {{\n{render}\n}}\n"
    )
}

const SENDS: &str = "  return { url: context.settings.url, body: event.id };";

impl Bench {
    async fn event(&self, kind: &str) {
        self.host.accepted(format!(r#"{{"type":"{kind}","title":"Run \"7\" ended","id":"e"}}"#)).await;
    }

    /// Why the only delivery has failed by the adapter's fault, or was tried in vain.
    async fn fault(&self) -> String {
        self.event("test").await;
        let all = self.host.until("an attempt", |all| all.iter().all(|listed| listed.delivery.attempts == 1)).await;
        let attempt = all[0].last_attempt.as_ref().unwrap();
        assert_eq!(attempt.blame, Some(Blame::Adapter), "{attempt:?}");
        attempt.reason.clone().unwrap()
    }

    async fn refused(&self, step: &str) -> String {
        let reason = self.host.refusal("oncall").await;
        assert_eq!(self.host.adapter("refused", "oncall").await.unwrap()["step"], step, "{reason}");
        reason
    }
}

/// The same of both kinds: the request, with the secret that the sandbox never had.
async fn delivers(file: &str, text: &str) {
    let bench = bench(file, text).await;
    bench.event("execution_failed").await;
    let received = &bench.receiver.wait_for(1).await[0];
    assert_eq!((received.method.as_str(), received.path.as_str()), ("POST", "/board"));
    assert_eq!(received.header("x-key"), "hunter2");
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.json(), serde_json::json!({ "text": "Run \"7\" ended", "level": "red" }));
    let shown = bench.host.adapter("adapters", "oncall").await.unwrap();
    assert_eq!(shown["title"], "On-call board");
    assert_eq!(shown["origin"]["file"], bench.setup.adapters().join(file).to_str().unwrap());
    assert_eq!(shown["grows_memory"], false, "it stays in the memory that it begins with");
    assert_eq!(shown["reads_replies"], false);
    assert_eq!(shown["settings_schema"]["properties"]["key"]["writeOnly"], true);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_dropped_into_the_folder_is_a_channel_type() {
    delivers("oncall.js", ONCALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_template_dropped_into_the_folder_is_a_channel_type() {
    delivers("oncall.toml", TEMPLATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_sees_handles_in_the_place_of_secrets() {
    let bench = bench(
        "oncall.js",
        &script("1", "  return { url: context.settings.url, body: [...context.settings.key].join(\"-\") };"),
    )
    .await;
    bench.event("test").await;
    let received = bench.receiver.wait_for(1).await[0].text().to_owned();
    assert!(received.starts_with("h-e-r-a-l-d-s-e-c-r-e-t-"), "{received}");
    assert!(!received.contains("h-u-n-t-e-r-2"));
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reads_answers_and_may_ask_for_one_more_request() {
    let interpret = r#"
export function interpret(context, event, response, state) {
  const { url } = context.settings;
  if (state === undefined) return { next: { url, body: { again: response.json().ok } }, state: { step: 2 } };
  if (response.headers["x-thread"]) return { delivered: true, reference: response.headers["x-thread"] + state.step };
}
"#;
    let bench = bench(
        "oncall.js",
        &(script("1", "  return { url: context.settings.url, body: context.reference };") + interpret),
    )
    .await;
    bench.receiver.reply(Reply::new(200, r#"{"ok": true}"#));
    bench.receiver.reply(Reply::new(500, "").header("x-thread", "t"));
    let post = |id: &str| format!(r#"{{"type":"test","subject":"s","id":"{id}"}}"#);
    bench.host.accepted(post("1")).await;
    bench.host.drain().await;
    // Whatever it does not judge is judged by the host's rule.
    bench.receiver.reply(Reply::new(200, r#"{"ok": false}"#));
    bench.receiver.reply(Reply::new(410, ""));
    bench.host.accepted(post("2")).await;
    let received = bench.receiver.wait_for(4).await;
    let bodies: Vec<_> = received.iter().map(Received::text).collect();
    assert_eq!(bodies, ["", r#"{"again":true}"#, "t2", r#"{"again":false}"#]);
    bench
        .host
        .until("the channel to be disabled", |all| all.iter().any(|listed| listed.delivery.state == State::Pending))
        .await;
    assert_eq!(bench.host.adapter("adapters", "oncall").await.unwrap()["reads_replies"], true);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_cannot_be_compiled_is_refused_with_the_place() {
    let bench = bench("oncall.js", "export const describe = {\n  title: \"t\",\n  version = 1 };\n").await;
    let reason = bench.refused("script").await;
    assert!(reason.starts_with("oncall.js:3:") && reason.contains("SyntaxError"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_throws_is_shown_with_the_place() {
    let bench = bench("oncall.js", &script("1", "  const board = undefined;\n  return board.url;")).await;
    let reason = bench.fault().await;
    assert!(reason.contains("failed: oncall.js:4:10: TypeError: cannot read property 'url' of undefined"), "{reason}");
    let all = bench.host.drain().await;
    assert_eq!(all[0].delivery.reason, Some(FailReason::Adapter));
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_returns_is_checked_and_named() {
    for (render, words) in [
        ("  return { uri: \"x\" };", "what render returned has `uri`, which is none of method, url"),
        ("  return {};", "what render returned's url is missing"),
        ("  return;", "what render returned is undefined, not an object"),
        ("  return { url: \"https://x\", auth: { bearer: 1 } };", "auth: invalid type"),
        ("  throw \"no\";", "threw \"no\""),
    ] {
        let bench = bench("oncall.js", &script("1", render)).await;
        let reason = bench.fault().await;
        assert!(reason.contains(words), "{reason}");
        bench.host.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_refuses_an_event_for_a_reason() {
    let bench = bench("oncall.js", &script("1", "  return { refuse: \"nothing to say\" };")).await;
    bench.event("test").await;
    let all = bench.host.drain().await;
    assert_eq!((all[0].delivery.state, all[0].delivery.reason), (State::Failed, Some(FailReason::Adapter)));
    let attempt = all[0].last_attempt.as_ref().unwrap();
    assert!(attempt.reason.as_ref().unwrap().contains("nothing to say"), "{attempt:?}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_never_ends_is_refused_or_stopped_like_any_adapter() {
    let bench = bench("oncall.js", &format!("while (true);\n{ONCALL}")).await;
    let reason = bench.refused("script").await;
    assert!(reason.contains("oncall.js: reading it ran longer than its limit of 1s"), "{reason}");
    put(&bench.setup, "oncall.js", script("2", "  while (true);"));
    bench.host.adapter_version("oncall", "2").await;
    let reason = bench.fault().await;
    assert!(reason.contains("ran longer than its limit of 1s"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_takes_too_much_memory_or_stack_is_refused_or_fails_alone() {
    let hoards = "const all = []; while (true) all.push(new Uint8Array(1 << 20).fill(1));";
    let bench = bench("oncall.js", &format!("{hoards}\n{ONCALL}")).await;
    let reason = bench.refused("script").await;
    assert!(reason.contains("memory"), "{reason}");
    put(&bench.setup, "oncall.js", script("2", "  const deep = () => [deep()]; return deep();"));
    bench.host.adapter_version("oncall", "2").await;
    let reason = bench.fault().await;
    assert!(reason.contains("oncall.js:3:") && reason.contains("RangeError"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_finds_nothing_of_an_earlier_call_and_cannot_change_its_engine() {
    let counts = "  globalThis.n = (globalThis.n ?? 0) + 1; const { n } = globalThis;\n  \
                  JSON.parse = JSON.stringify = () => { throw new Error(\"gone\"); };\n  \
                  return { url: context.settings.url, body: `${n} ${Math.random()} ${Date.now() === context.now}` };";
    let bench = bench("oncall.js", &script("1", counts)).await;
    for id in ["a", "b"] {
        bench.host.accepted(format!(r#"{{"type":"test","id":"{id}"}}"#)).await;
    }
    let received = bench.receiver.wait_for(2).await;
    assert_eq!(received[0].text(), received[1].text(), "the same arguments make the same request");
    assert!(received[0].text().starts_with("1 0.") && received[0].text().ends_with(" true"), "{}", received[0].text());
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_has_no_network_no_files_and_no_modules() {
    let names = "  return { url: context.settings.url, body: \
                 [typeof fetch, typeof require, typeof process, typeof std, typeof os, typeof setTimeout].join() };";
    let bench = bench("oncall.js", &script("1", names)).await;
    bench.event("test").await;
    assert_eq!(bench.receiver.wait_for(1).await[0].text(), ["undefined"; 6].join(","));
    put(&bench.setup, "oncall.js", format!("import {{ open }} from \"std\";\n{ONCALL}"));
    let reason = bench.refused("script").await;
    assert!(reason.contains("oncall.js"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_script_writes_to_the_console_is_in_the_log() {
    engines().await;
    let receiver = Receiver::start().await;
    let setup = Setup::new(&config(&receiver));
    // A script that was read before is not read again.
    let new = setup.folder.path().display();
    let says = format!(
        "console.warn(\"read\", 1); // {new}\n{}",
        script("1", &format!("  console.log(\"saw\", {{ id: event.id }});\n{SENDS}"))
    );
    put(&setup, "oncall.js", says);
    let program = Program::new(setup.folder.path());
    let mut host = program.serve(&[]).await;
    host.logged("read 1").await;
    assert_eq!(host.post(r#"{"type":"test","id":"e"}"#).await.0, 202);
    host.logged(r#"saw {"id":"e"}"#).await;
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_is_saved_serves_the_next_delivery_and_a_bad_one_replaces_nothing() {
    let bench = bench("oncall.js", &script("1", "  return { url: context.settings.url, body: \"1\" };")).await;
    bench.event("test").await;
    bench.receiver.wait_for(1).await;
    // In place, as some editors write.
    let second = script("2", "  return { url: context.settings.url, body: \"2\" };");
    fs::write(bench.setup.adapters().join("oncall.js"), second).unwrap();
    bench.host.adapter_version("oncall", "2").await;
    put(&bench.setup, "oncall.js", "export const");
    bench.refused("script").await;
    bench.host.accepted(r#"{"type":"test","id":"f"}"#).await;
    assert_eq!(bench.receiver.wait_for(2).await[1].text(), "2");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_of_one_name_are_refused_until_one_is_gone() {
    let bench = bench("oncall.js", ONCALL).await;
    put(&bench.setup, "oncall.toml", TEMPLATE);
    let reason = bench.refused("name").await;
    assert_eq!(reason, "oncall.js and oncall.toml would be the same adapter: remove or rename all but one");
    bench.event("test").await;
    bench.receiver.wait_for(1).await;
    fs::remove_file(bench.setup.adapters().join("oncall.js")).unwrap();
    let registry = bench.host.app.pipeline().registry();
    let mut changes = registry.changes();
    let is_other = |origin: &Origin| matches!(origin, Origin::File(file) if file.ends_with("oncall.toml"));
    let arrives = changes.wait_for(|_| registry.get("oncall").is_some_and(|adapter| is_other(&adapter.origin)));
    crate::harness::within("the template", arrives).await.unwrap();
    assert!(bench.host.adapter("refused", "oncall").await.is_none());
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_cannot_break_out_of_its_place_in_a_template() {
    let template = "title = \"t\"\nversion = \"1\"\nurl = \"{{ settings.url }}/{{ event.title }}?t={{ event.title }}\"\n\
                    body = '''\n{\"text\": \"{{ event.title }}\", \"all\": {{ event.data | tojson }}}'''\n\
                    [headers]\nx-title = \"{{ event.title }}\"\n[settings]\nurl = \"url\"\nkey = \"secret\"\n";
    let bench = bench("oncall.toml", template).await;
    let title = "a\", \"b\": \"/../?x=1&y\\n";
    let posted = serde_json::json!({ "type": "test", "title": title, "data": { "n": [1, "\""] } });
    bench.host.accepted(posted.to_string()).await;
    let received = &bench.receiver.wait_for(1).await[0];
    assert_eq!(received.json(), serde_json::json!({ "text": title, "all": { "n": [1, "\""] } }));
    let part = "a%22%2C%20%22b%22%3A%20%22%2F..%2F%3Fx%3D1%26y%5Cn";
    assert_eq!(received.path, format!("/board/{part}?t={part}"));
    assert_eq!(received.header("x-title"), title);
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_template_name_the_line_of_the_file() {
    let head = "title = \"t\"\nversion = \"1\"\nurl = \"{{ settings.url }}\"\n";
    for (rest, words) in [
        ("body = '''\n{\n  \"a\": \"{{ event. }}\"\n}'''\n", "oncall.toml:6: "),
        ("bdoy = \"x\"\n", "oncall.toml:4: `bdoy` is none of title"),
        ("body = \n", "oncall.toml:4: "),
    ] {
        let bench = bench("oncall.toml", &format!("{head}{rest}")).await;
        let reason = bench.refused("script").await;
        assert!(reason.starts_with(words), "{reason}");
        bench.host.stop().await;
    }
    let bench = bench("oncall.toml", &format!("{head}body = '''\n{{\n\"a\": {{{{ event.title }}}} }}'''\n")).await;
    let reason = bench.fault().await;
    assert!(reason.contains("oncall.toml:5: the body that comes of this is not JSON"), "{reason}");
    bench.host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pin_of_a_script_is_over_the_bytes_of_its_file() {
    engines().await;
    let receiver = Receiver::start().await;
    let setup = Setup::new(&config(&receiver));
    let digest = herald::adapter::digest(ONCALL.as_bytes());
    let text = fs::read_to_string(setup.config()).unwrap();
    let pinned = format!("folder = \"adapters\"\nrequire = {{ oncall = \"{digest}\" }}\n");
    fs::write(setup.config(), text.replacen("folder = \"adapters\"\n", &pinned, 1)).unwrap();
    put(&setup, "oncall.js", ONCALL);
    let host = setup.start().await;
    assert_eq!(host.adapter("adapters", "oncall").await.unwrap()["digest"], digest);
    put(&setup, "oncall.js", format!("{ONCALL} "));
    let reason = host.refusal("oncall").await;
    assert!(reason.contains(&digest), "{reason}");
    host.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_beside_a_script_hold_it_to_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/adapters/script");
    let script = fs::read(folder.join("oncall.js")).unwrap();
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    let adapter = registry.load("oncall", &script, Origin::File(folder.join("oncall.js"))).unwrap();
    let cases = golden::read(&folder.join("cases")).unwrap();
    assert!(cases.len() >= 2);
    for case in cases {
        case.run(&adapter).unwrap_or_else(|differences| panic!("{}:\n{differences}", case.name));
    }
    // The reference shows the same adapter as a template.
    let text = fs::read_to_string(folder.join("../../../docs/script-adapters.md")).unwrap();
    let template = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let adapter = registry.load("oncall", template.as_bytes(), Origin::File("oncall.toml".into())).unwrap();
    for case in golden::read(&folder.join("cases")).unwrap() {
        case.run(&adapter).unwrap_or_else(|differences| panic!("{}:\n{differences}", case.name));
    }
    let bench = bench("other.js", "").await;
    let beside = bench.setup.adapters().join("oncall.cases/failed");
    fs::create_dir_all(&beside).unwrap();
    for file in ["event.json", "settings.json", "request.json"] {
        fs::copy(folder.join("cases/failed").join(file), beside.join(file)).unwrap();
    }
    put(&bench.setup, "oncall.js", ONCALL.replace("\"red\"", "\"blue\""));
    let reason = bench.refused("examples").await;
    assert!(reason.contains("blue"), "{reason}");
    bench.host.stop().await;
}
