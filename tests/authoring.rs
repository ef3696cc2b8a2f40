//! What an author of adapters is given: projects, the request that would go out, golden cases, a loop of building and
//! looking, and errors that say what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use herald::adapter::{Options, Registry};
use herald_adapter_golden::check;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    SAMPLE,
    guests::{Act, Guest, of_another_world},
    process::{Ended, Program},
};

/// As `herald new` names them.
const LANGUAGES: [&str; 7] = ["rust", "js", "ts", "python", "go", "c", "script"];
const SLACK: &str = r#"{"webhook_url": "https://hooks.slack.com/services/T000/B000/s9f8a7"}"#;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A folder with the sample event in it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("event.json"), SAMPLE).unwrap();
    folder
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn says(ended: &Ended, parts: &[&str]) {
    for part in parts {
        assert!(ended.out.contains(part) || ended.err.contains(part), "{part:?} is not in {ended:#?}");
    }
}

/// A project whose build copies a file, with the cases that are given: names, and what `x-version` is expected to be.
fn project(folder: &Path, guest: &Guest, cases: &[(&str, &str)]) {
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::write(folder.join("src/guest.wasm"), guest.component()).unwrap();
    let manifest = "build = \"cp src/guest.wasm built.wasm\"\ncomponent = \"built.wasm\"\nwatch = [\"src\"]\n";
    fs::write(folder.join("adapter.toml"), manifest).unwrap();
    for (name, version) in cases {
        case(&folder.join("cases").join(name), guest, version);
    }
}

fn case(folder: &Path, guest: &Guest, version: &str) {
    fs::create_dir_all(folder).unwrap();
    let event = json!({
        "id": "e-7", "type": "test", "title": "Test", "body": "", "url": null, "project": null, "subject": null,
        "occurred_at": 1_700_000_000_000_u64, "data": {},
    });
    let request = json!({
        "method": "POST", "url": guest.url, "headers": [["x-version", version]], "body": {"text": "e-7"}, "auth": null,
    });
    for (name, value) in [("event.json", event), ("settings.json", json!({})), ("request.json", request)] {
        fs::write(folder.join(name), value.to_string()).unwrap();
    }
}

// New.

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_is_the_example_under_its_own_name() {
    let mut seen = 0;
    for language in LANGUAGES {
        let example = root().join("examples/adapters").join(language);
        let folder = folder();
        let program = Program::new(folder.path());
        let arguments = ["new", "pager_7", "--lang", language];
        if !example.is_dir() {
            let refused = program.run(&arguments).await;
            assert_eq!(refused.code, Some(2), "{refused:?}");
            continue;
        }
        seen += 1;
        let made = program.json(&arguments).await;
        let project = folder.path().join("pager_7");
        let written = files(&project);
        assert_eq!(written.len(), made["files"].as_array().unwrap().len());
        for file in &written {
            let name = file.strip_prefix(&project).unwrap();
            assert!(!name.to_str().unwrap().contains("oncall"), "{}", name.display());
            let bytes = fs::read(file).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            assert!(!text.contains("oncall"), "{language}: {} still says oncall", name.display());
        }
        let manifest: toml::Table = fs::read_to_string(project.join("adapter.toml")).unwrap().parse().unwrap();
        let file = manifest["component"].as_str().unwrap();
        assert!(file.contains("pager_7"), "{language}: {file}");
        assert!(fs::read_to_string(project.join("README.md")).unwrap().starts_with("# pager_7"), "{language}");
        assert!(fs::read_dir(project.join("cases")).unwrap().count() >= 2, "{language}");
        let contract = fs::read_to_string(project.join("wit/channel.wit")).ok();
        let ours = (language != "script").then(|| fs::read_to_string(root().join("wit/channel.wit")).unwrap());
        assert!(contract == ours, "{language}: another contract");
        // Somebody who does not read JSON is told what to do next.
        let told = program.run(&["new", "pager_8", "--lang", language, "--dir", "elsewhere"]).await;
        says(&told, &["cd elsewhere", "herald test .", "herald dev .", "ADAPTERS/pager_8."]);
        if let Some(build) = manifest.get("build").and_then(toml::Value::as_str) {
            says(&told, &[&build.replace("pager_7", "pager_8")]);
        }
    }
    assert!(seen > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_in_rust_brings_the_crate_that_it_is_built_on() {
    let folder = folder();
    Program::new(folder.path()).json(&["new", "pager", "--lang", "rust"]).await;
    let project = folder.path().join("pager");
    let manifest: toml::Table = fs::read_to_string(project.join("Cargo.toml")).unwrap().parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("pager"));
    assert_eq!(manifest["dependencies"]["herald-channel"]["path"].as_str(), Some("herald-channel"));
    let sdk = root().join("adapters/sdk");
    for file in files(&sdk.join("src")) {
        let copy = project.join("herald-channel").join(file.strip_prefix(&sdk).unwrap());
        let ours = fs::read_to_string(&file).unwrap().replace("\"../../wit\"", "\"../wit\"");
        assert!(fs::read_to_string(&copy).unwrap() == ours, "{} is another file", copy.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_name_and_a_folder_that_is_not_empty_are_refused() {
    let folder = folder();
    let program = Program::new(folder.path());
    for (name, hint) in [
        ("Ms-Teams", "`ms_teams` for example"),
        ("7up", "`up` for example"),
        ("../up", "is no name for a project"),
        ("", "is no name for a project"),
        ("ÄÖ", "is no name for a project"),
        (&"a".repeat(41), "up to 39 letters"),
    ] {
        let refused = program.run(&["new", name, "--lang", "rust"]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        says(&refused, &[hint]);
    }
    let full = program.run(&["new", "pager", "--lang", "rust", "--dir", "."]).await;
    assert_eq!(full.code, Some(2), "{full:?}");
    says(&full, &["not empty", "--dir"]);
    let file = program.run(&["new", "pager", "--lang", "rust", "--dir", "event.json"]).await;
    assert_eq!(file.code, Some(2), "{file:?}");
    says(&file, &["is no folder"]);
    let unknown = program.run(&["new", "pager", "--lang", "cobol"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
}

#[test]
fn the_examples_in_rust_render_and_read_answers_as_their_golden_cases_say() {
    let examples = root().join("examples/adapters");
    check::<oncall::Board>(examples.join("rust/cases"));
    check::<tickets::Tickets>(examples.join("rust-two-requests/cases"));
}

#[test]
fn the_channel_of_two_requests_in_the_docs_is_the_one_that_is_built() {
    let page = fs::read_to_string(root().join("docs/writing-a-channel.md")).unwrap();
    let source = fs::read_to_string(root().join("examples/adapters/rust-two-requests/src/lib.rs")).unwrap();
    assert!(page.contains(&format!("```rust\n{source}```\n")), "put src/lib.rs into docs/writing-a-channel.md");
}

/// `cargo xtask test` installs a compiler for guests and runs it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a compiler for guests"]
async fn a_new_project_in_rust_builds_as_it_is_and_passes_its_cases() {
    let folder = folder();
    let program = Program::new(folder.path());
    program.json(&["new", "pager", "--lang", "rust"]).await;
    let two = root().join("examples/adapters/rust-two-requests");
    for (project, component) in [(folder.path().join("pager"), "pager.wasm"), (two, "tickets.wasm")] {
        let built = xtask::compiler::build_project(&root(), &project).unwrap();
        let size = fs::metadata(built.join(component)).unwrap().len();
        assert!(size < 300_000, "{component} has {size} bytes");
        let cases = project.join("cases");
        let component = built.join(component);
        let tested = program.run(&["test", component.to_str().unwrap(), "--cases", cases.to_str().unwrap()]).await;
        assert_eq!(tested.code, Some(0), "{tested:?}");
        says(&tested, &[" 0 failed"]);
    }
}

// Render.

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_shown_as_it_would_go_out_with_its_secrets_by_name() {
    let folder = folder();
    let program = Program::new(folder.path()).variable("HERALD_SERVER__APP_URL", "https://app.example.com");
    let render = ["render", "slack", "--settings", SLACK, "--event", "event.json"];
    let shown = program.run(&render).await;
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""), "{shown:?}");
    assert!(shown.out.starts_with("POST [secret /webhook_url]\ncontent-type: application/json\n\n{\n"), "{shown:?}");
    assert!(!shown.out.contains("s9f8a7") && !shown.out.contains("heraldsecret"), "{shown:?}");
    let request = program.json(&render).await;
    assert_eq!(request["url"], "[secret /webhook_url]");
    assert!(request["body"]["json"]["text"].is_string(), "{request}");
    // A relative link is that of an event which is posted.
    let context = request["body"]["json"]["attachments"].to_string() + &request["body"]["json"]["blocks"].to_string();
    assert!(context.contains("https://app.example.com/p/"), "{request}");
    // Signed, with the settings in a file and the event on standard input.
    let settings =
        json!({"url": "https://example.com/in", "signing_secrets": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]});
    fs::write(folder.path().join("settings.json"), settings.to_string()).unwrap();
    let signed = program.run_with(&["render", "webhook", "--settings", "settings.json", "--event", "-"], SAMPLE).await;
    assert_eq!(signed.code, Some(0), "{signed:?}");
    says(&signed, &["POST https://example.com/in", r#"{"standard-webhooks":["[secret /signing_secrets/0]"]}"#]);
    says(&signed, &[SAMPLE.trim(), "(the payload: what was posted, byte for byte)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_events_that_are_wrong_are_told_before_anything_is_rendered() {
    let folder = folder();
    let program = Program::new(folder.path());
    fs::write(folder.path().join("two.json"), format!("[{SAMPLE},{SAMPLE}]")).unwrap();
    fs::write(folder.path().join("bad.json"), r#"{"title": "no type"}"#).unwrap();
    for (settings, event, parts) in [
        (r#"{"webhook_url": 7}"#, "event.json", &["settings/webhook_url: "][..]),
        ("{}", "event.json", &["settings: ", "herald adapters inspect"]),
        ("{,}", "event.json", &["--settings: "]),
        ("missing.json", "event.json", &["cannot read missing.json", "--settings is JSON or a file"]),
        (SLACK, "missing.json", &["cannot read missing.json"]),
        (SLACK, "two.json", &["two.json: more than one event"]),
        (SLACK, "bad.json", &["bad.json: missing field `type`"]),
    ] {
        let refused = program.run(&["render", "slack", "--settings", settings, "--event", event]).await;
        assert!(matches!(refused.code, Some(1 | 2)) && refused.out.is_empty(), "{refused:?}");
        says(&refused, parts);
    }
    let unknown = program.run(&["render", "pager", "--settings", "{}", "--event", "event.json"]).await;
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    says(&unknown, &["pager: no file, no folder", "slack, webhook"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_would_not_send_is_said_beside_the_request() {
    let folder = folder();
    let program = Program::new(folder.path());
    let settings = r#"{"url": "http://example.com/in"}"#;
    let shown = program.run(&["render", "webhook", "--settings", settings, "--event", "event.json"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(shown.err.contains("note: the host would not send this: "), "{shown:?}");
    let settings = r#"{"url": "https://example.com/in", "body": {"template": "{{"}}"#;
    let refused = program.run(&["render", "webhook", "--settings", settings, "--event", "event.json"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.out.starts_with("refused, the setting /"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_is_handed_to_the_adapter() {
    let folder = folder();
    let guest = Guest { conversational: true, ..Guest::new("1", "https://example.com/") };
    fs::write(folder.path().join("guest.wasm"), guest.component()).unwrap();
    let program = Program::new(folder.path());
    let arguments = ["render", "guest.wasm", "--settings", "{}", "--event", "event.json", "--reference", "thread-9"];
    assert_eq!(program.json(&arguments).await["body"]["text"], "thread-9");
}

// Test.

#[tokio::test(flavor = "multi_thread")]
async fn the_golden_cases_of_every_built_in_adapter_pass() {
    let registry = Registry::open(Options::default(), Vec::new()).unwrap();
    let folder = folder();
    let program = Program::new(folder.path());
    let built_in = registry.published();
    assert!(built_in.adapters.len() >= 2);
    for name in built_in.adapters.keys() {
        let cases = root().join("adapters").join(name).join("cases");
        let tested = program.json(&["test", name, "--cases", cases.to_str().unwrap()]).await;
        let count = fs::read_dir(&cases).unwrap().count();
        assert_eq!((&tested["passed"], &tested["failed"]), (&json!(count), &json!(0)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_case_that_comes_out_otherwise_is_shown_place_by_place_and_can_be_blessed() {
    let folder = folder();
    let guest = Guest::new("2", "https://example.com/");
    project(&folder.path().join("p"), &guest, &[("good", "2"), ("stale", "1")]);
    let program = Program::new(folder.path());
    let unbuilt = program.run(&["test", "p"]).await;
    assert_eq!(unbuilt.code, Some(2), "{unbuilt:?}");
    says(&unbuilt, &["not built yet? In p: cp src/guest.wasm built.wasm"]);
    fs::write(folder.path().join("p/built.wasm"), guest.component()).unwrap();
    let failed = program.run(&["test", "p"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    says(&failed, &["ok    good", "FAIL  stale", "request/headers/0/1", "expected \"1\"", "got      \"2\""]);
    says(&failed, &["1 passed, 1 failed"]);
    let failed = program.run(&["test", "p", "--json"]).await;
    let difference = json!([{"place": "request/headers/0/1", "expected": "1", "got": "2"}]);
    assert_eq!((failed.code, &failed.json()["cases"][1]["differences"]), (Some(1), &difference));
    // The files that say something else are written, and no other.
    let before = fs::read_to_string(folder.path().join("p/cases/good/request.json")).unwrap();
    let blessed = program.run(&["test", "p", "--bless"]).await;
    assert_eq!(blessed.code, Some(0), "{blessed:?}");
    says(&blessed, &["wrote p/cases/stale/request.json"]);
    assert_eq!(fs::read_to_string(folder.path().join("p/cases/good/request.json")).unwrap(), before);
    assert_eq!(program.run(&["test", "p"]).await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_many_lines_are_compared_line_by_line() {
    let folder = folder();
    let case = folder.path().join("cases/c");
    fs::create_dir_all(&case).unwrap();
    let sample = root().join("adapters/webhook/cases/template-text");
    for file in files(&sample) {
        fs::copy(&file, case.join(file.file_name().unwrap())).unwrap();
    }
    let settings = json!({
        "url": "https://example.com", "headers": {"content-type": "text/plain"},
        "body": {"template": "one\ntwo\nthree\nfour"},
    });
    fs::write(case.join("settings.json"), settings.to_string()).unwrap();
    let program = Program::new(folder.path());
    let test = ["test", "webhook", "--cases", "cases"];
    let blessed = program.run(&[&test[..], &["--bless"]].concat()).await;
    assert_eq!(blessed.code, Some(0), "{blessed:?}");
    let request = fs::read_to_string(case.join("request.json")).unwrap();
    fs::write(case.join("request.json"), request.replace("two", "zwei")).unwrap();
    let failed = program.run(&test).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    says(&failed, &["request/body/text", "--- expected", "+++ got", " one\n", "-zwei\n", "+two\n", " three\n"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_in_turn_are_interpreted_with_the_state_of_their_requests() {
    let folder = folder();
    let guest = Guest { conversational: true, ..Guest::new("1", "https://example.com/") };
    project(&folder.path().join("p"), &guest, &[("hops", "1")]);
    fs::write(folder.path().join("p/built.wasm"), guest.component()).unwrap();
    let case = folder.path().join("p/cases/hops");
    let answer = json!({"status": 200, "headers": [], "body": ""});
    fs::write(case.join("response.json"), json!([answer, answer]).to_string()).unwrap();
    let program = Program::new(folder.path());
    assert_eq!(program.run(&["test", "p"]).await.code, Some(1), "no verdict is written yet");
    let blessed = program.run(&["test", "p", "--bless"]).await;
    says(&blessed, &["verdict.json: read it"]);
    let verdict: Value = serde_json::from_slice(&fs::read(case.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(verdict[0]["next"]["state"], json!({"text": "hop"}), "{verdict}");
    assert_eq!(verdict[1], json!({"delivered": {"reference": "thread-7"}}));
    assert_eq!(program.run(&["test", "p"]).await.code, Some(0));
    // One answer alone gets as far as the second request.
    fs::write(case.join("response.json"), answer.to_string()).unwrap();
    program.run(&["test", "p", "--bless"]).await;
    let verdict: Value = serde_json::from_slice(&fs::read(case.join("verdict.json")).unwrap()).unwrap();
    assert!(verdict["next"].is_object(), "{verdict}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_cases_is_no_success() {
    let folder = folder();
    fs::create_dir(folder.path().join("empty")).unwrap();
    let program = Program::new(folder.path());
    for (arguments, part) in [
        (&["test", "slack"][..], "there are no cases"),
        (&["test", "slack", "--cases", "empty"], "empty: no cases"),
        (&["test", "slack", "--cases", "missing"], "missing: "),
        (&["test", "empty"], "empty/adapter.toml: "),
    ] {
        let refused = program.run(arguments).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        says(&refused, &[part]);
    }
    fs::write(folder.path().join("empty/adapter.toml"), "component = \"a.wasm\"\nbuidl = \"make\"\n").unwrap();
    let refused = program.run(&["test", "empty"]).await;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    says(&refused, &["empty/adapter.toml: ", "unknown field `buidl`"]);
}

// Dev.

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_built_shown_and_tested_once() {
    let folder = folder();
    let path = folder.path().join("p");
    project(&path, &Guest::new("1", "https://example.com/"), &[("one", "1"), ("two", "1")]);
    let program = Program::new(folder.path());
    let good = program.run(&["dev", "p", "--once"]).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    says(&good, &["$ cp src/guest.wasm built.wasm", "# one", "POST https://example.com/", "x-version: 1", "e-7"]);
    says(&good, &["2 passed, 0 failed"]);
    let good = program.run(&["dev", "p", "--once", "--json"]).await;
    assert_eq!(good.json()["request"]["body"]["text"], "e-7");
    // A build that fails is shown as it fails, and nothing old is run.
    fs::write(path.join("adapter.toml"), "build = \"echo no such thing >&2; false\"\ncomponent = \"built.wasm\"\n")
        .unwrap();
    let failed = program.run(&["dev", "p", "--once"]).await;
    assert_eq!(failed.code, Some(1), "{failed:?}");
    says(&failed, &["no such thing", "error: the build failed (exit status: 1)"]);
    assert!(!failed.out.contains("passed"), "{failed:?}");
    let missing = program.run(&["dev", "missing", "--once"]).await;
    assert_eq!(missing.code, Some(2), "{missing:?}");
    says(&missing, &["missing/adapter.toml", "herald new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_save_is_built_and_shown_and_an_error_does_not_end_the_watch() {
    let folder = folder();
    let path = folder.path().join("p");
    let guest = |version: &str| Guest::new(version, "https://example.com/").component();
    project(&path, &Guest::new("1", "https://example.com/"), &[("one", "2")]);
    // As editors save: another file in the place of the old one.
    let save = |bytes: &[u8]| {
        fs::write(path.join("next"), bytes).unwrap();
        fs::rename(path.join("next"), path.join("src/guest.wasm")).unwrap();
    };
    let mut dev = Program::new(folder.path()).follow(&["dev", "p"]);
    dev.logged("0 passed, 1 failed").await;
    dev.logged("waiting for a save").await;
    save(b"junk");
    dev.logged("error: p/built.wasm: refused (validate): not a WebAssembly component").await;
    save(&guest("2"));
    dev.logged("x-version: 2").await;
    dev.logged("1 passed, 0 failed").await;
    // A case is watched, too, and the manifest.
    fs::write(path.join("cases/one/settings.json"), r#"{"colour": "red"}"#).unwrap();
    fs::write(path.join("adapter.toml"), "component = 7\n").unwrap();
    dev.logged("error: p/adapter.toml: ").await;
    // Not INT: whatever started the tests in the background may have it ignored, and children inherit that.
    dev.signal(rustix::process::Signal::TERM);
    let (_, log) = dev.ended().await;
    assert!(log.iter().filter(|line| line.contains("passed, ")).count() >= 2, "{log:#?}");
}

// Errors.

#[tokio::test(flavor = "multi_thread")]
async fn a_trap_is_shown_with_the_functions_that_led_there_what_was_logged_and_the_limits() {
    let folder = folder();
    let program = Program::new(folder.path());
    // The title of the adapter lies at the beginning of its memory.
    let does = "(call $log (i32.const 3) (i32.const 1024) (i32.const 13)) (drop (call $deeper (i32.const 0)))";
    let guest = Guest { render: Act::Do(does), foreign: true, ..Guest::new("1", "https://example.com/") };
    project(&folder.path().join("p"), &guest, &[("one", "1")]);
    fs::write(folder.path().join("p/built.wasm"), guest.component()).unwrap();
    let render = ["render", "p", "--settings", "{}", "--event", "event.json"];
    for arguments in [&render[..], &["test", "p"], &["dev", "p", "--once"]] {
        let failed = program.run(arguments).await;
        assert_eq!(failed.code, Some(1), "{failed:?}");
        says(&failed, &["`render` ran out of stack", "wasm backtrace:", "!deeper", "67108864 bytes of memory"]);
        says(&failed, &["ERROR Made to order"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_adapter_is_refused_with_what_to_do() {
    let world = |package: &str, function: &str| {
        let wat = format!("(module (func (export \"{function}\")))");
        of_another_world(package, "w", &wat)
    };
    let import = |package: &str, function: &str| {
        let (interface, name) = function.split_once('#').unwrap();
        let wat = format!("(module (import \"{interface}\" \"{name}\" (func)) (func (export \"run\") (call 0)))");
        of_another_world(package, "w", &wat)
    };
    let newer = world(
        "package herald:channel@0.3.0; interface adapter { f: func(); } world w { export adapter; }",
        "herald:channel/adapter@0.3.0#f",
    );
    let other = world("package a:b; interface c { f: func(); } world w { export c; }", "a:b/c#f");
    let alone = world("package a:b; world w { export render: func(); }", "render");
    let sockets = import(
        "package wasi:sockets@0.2.0; interface network { f: func(); } world w { import network; }",
        "wasi:sockets/network@0.2.0#f",
    );
    let store = import(
        "package wasi:keyvalue@0.2.0; interface store { f: func(); } world w { import store; }",
        "wasi:keyvalue/store@0.2.0#f",
    );
    let later = import(
        "package wasi:clocks@0.3.0; interface later { f: func(); } world w { import later; }",
        "wasi:clocks/later@0.3.0#f",
    );
    let core = wat::parse_str("(module)").unwrap();
    let preview_1 = wat::parse_str(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#).unwrap();
    let folder = folder();
    let program = Program::new(folder.path());
    for (bytes, parts) in [
        (newer, &["exports herald:channel/adapter@0.3.0; this host speaks 0.1: rebuild", "herald new"][..]),
        (other, &["does not export herald:channel/adapter@0.1.0, but a:b/c; build it for the world `channel`"]),
        (alone, &["does not export herald:channel/adapter@0.1.0, but render;"]),
        (sockets, &["wasi:sockets is not available to adapters: return a request instead"]),
        (store, &["imports wasi:keyvalue/store@0.2.0; wasi:keyvalue is not available to adapters, which may import"]),
        (later, &["imports wasi:clocks/later@0.3.0; this host has WASI 0.2"]),
        (core, &["a core WebAssembly module, not a component", "`herald component IN.wasm --wit wit --world channel"]),
        (preview_1, &["built for WASI preview 1", "wrap it: `herald component IN.wasm --wit wit"]),
        (b" (module)".to_vec(), &["it is WebAssembly text: `wasm-tools parse"]),
        (b"<!DOCTYPE html>".to_vec(), &["it is a web page"]),
        (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), &["git lfs pull"]),
        (vec![0x1f, 0x8b, 8], &["it is compressed: unpack it first"]),
        (b"#!/bin/sh".to_vec(), &["such a file begins with the bytes 00 61 73 6d 0d 00 01 00"]),
    ] {
        fs::write(folder.path().join("it.wasm"), bytes).unwrap();
        let refused = program.run(&["render", "it.wasm", "--settings", "{}", "--event", "event.json"]).await;
        assert_eq!(refused.code, Some(2), "{refused:?}");
        says(&refused, &["it.wasm: refused ("]);
        says(&refused, parts);
    }
}
