//! What the sandbox costs: `cargo bench -p herald --bench adapter`.
//!
//! The same Rust code natively and through a fresh sandbox, on one thread and on two; an instantiation alone; compiling,
//! and loading from the cache. Times are those of one call.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, missing_docs)]

use std::{
    path::Path,
    sync::{Arc, LazyLock},
};

use divan::{Bencher, black_box};
use herald::adapter::{Adapter, BOARD, Cache, Options, Origin, Registry, golden};

#[path = "../../tests/harness/guests.rs"]
#[allow(dead_code)]
mod guests;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::open(Options::default(), Vec::new()).unwrap());

fn main() {
    divan::main();
}

/// The sample event with a channel's settings, as the golden cases have it.
fn sample() -> golden::Case {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/slack/cases");
    golden::read(&cases).unwrap().into_iter().find(|case| case.name == "sample").unwrap()
}

/// The same for the native code, whose types are the SDK's.
fn native_sample(settings: &str) -> (herald_channel::Context, herald_channel::Event) {
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/slack/cases/sample");
    let event = serde_json::from_slice(&std::fs::read(case.join("event.json")).unwrap()).unwrap();
    let event = herald_adapter_golden::event(&event);
    let settings = serde_json::from_str(settings).unwrap();
    (herald_adapter_golden::context(&event, &settings, None), event)
}

const SLACK: &str = r#"{"webhook_url":"heraldsecret0123456789abcdefghijklmnop"}"#;
const BOARD_SETTINGS: &str = r#"{"url":"https://board.example/","key":"heraldsecret0123456789abcdefghijklmnop"}"#;

fn slack() -> Arc<Adapter> {
    REGISTRY.get("slack").unwrap()
}

fn load(name: &str, bytes: &[u8]) -> Adapter {
    REGISTRY.load(name, bytes, Origin::BuiltIn).unwrap()
}

/// The first block of that language in the reference of script adapters.
fn shown(language: &str) -> String {
    let reference = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/script-adapters.md");
    let text = std::fs::read_to_string(reference).unwrap();
    let (_, rest) = text.split_once(&format!("```{language}\n")).unwrap();
    rest.split("```").next().unwrap().to_owned()
}

static SCRIPT: LazyLock<String> = LazyLock::new(|| shown("js"));
static TEMPLATE: LazyLock<String> = LazyLock::new(|| shown("toml"));

fn text(file: &str, text: &str) -> Adapter {
    REGISTRY.load("oncall", text.as_bytes(), Origin::File(file.into())).unwrap()
}

/// One call in a fresh sandbox: instantiate, render, throw away.
fn in_sandbox(bencher: Bencher<'_, '_>, adapter: &Adapter, settings: &str) {
    let mut case = sample();
    settings.clone_into(&mut case.context.settings);
    bencher.bench(|| adapter.render(black_box(&case.context), black_box(&case.event)).unwrap().unwrap());
}

#[divan::bench(threads = [1, 2])]
fn a_board_native(bencher: Bencher<'_, '_>) {
    let (context, event) = native_sample(BOARD_SETTINGS);
    bencher.bench(|| {
        herald_channel::render::<herald_adapter_board::Board>(black_box(&context), black_box(&event)).unwrap()
    });
}

#[divan::bench(threads = [1, 2])]
fn b_board_fresh_sandbox(bencher: Bencher<'_, '_>) {
    in_sandbox(bencher, &load("board", BOARD[0]), BOARD_SETTINGS);
}

#[divan::bench(threads = [1, 2])]
fn c_slack_native(bencher: Bencher<'_, '_>) {
    let (context, event) = native_sample(SLACK);
    bencher.bench(|| {
        herald_channel::render::<herald_adapter_slack::Slack>(black_box(&context), black_box(&event)).unwrap()
    });
}

#[divan::bench(threads = [1, 2])]
fn d_slack_fresh_sandbox(bencher: Bencher<'_, '_>) {
    in_sandbox(bencher, &slack(), SLACK);
}

/// Its first job is the payload unchanged: next to nothing but the sandbox.
#[divan::bench(threads = [1, 2])]
fn d_webhook_fresh_sandbox(bencher: Bencher<'_, '_>) {
    let settings = r#"{"url":"https://a.example/","signing_secrets":["heraldsecret0123456789abcdefghijklmnop"]}"#;
    in_sandbox(bencher, &REGISTRY.get("webhook").unwrap(), settings);
}

#[divan::bench(threads = [1, 2])]
fn e_instantiate_alone(bencher: Bencher<'_, '_>) {
    let adapter = load("board", BOARD[0]);
    bencher.bench(|| adapter.instantiate_only().unwrap());
}

#[divan::bench(threads = [1, 2])]
fn f_tiny_guest_that_stays_in_its_memory(bencher: Bencher<'_, '_>) {
    let guest = guests::Guest::new("1", "http://127.0.0.1/");
    in_sandbox(bencher, &load("guest", &guest.component()), "{}");
}

#[divan::bench(threads = [1, 2])]
fn g_tiny_guest_that_grows_its_memory(bencher: Bencher<'_, '_>) {
    let guest = guests::Guest { render: guests::Act::GrowOnce, ..guests::Guest::new("1", "http://127.0.0.1/") };
    in_sandbox(bencher, &load("guest", &guest.component()), "{}");
}

/// The example of docs/script-adapters.md: an event into a request, by a script and by a template.
#[divan::bench(threads = [1, 2])]
fn k_script_fresh_sandbox(bencher: Bencher<'_, '_>) {
    in_sandbox(bencher, &text("oncall.js", &SCRIPT), BOARD_SETTINGS);
}

#[divan::bench(threads = [1, 2])]
fn l_template_fresh_sandbox(bencher: Bencher<'_, '_>) {
    in_sandbox(bencher, &text("oncall.toml", &TEMPLATE), BOARD_SETTINGS);
}

/// A new script, its engine compiled before: read in the sandbox, its memory kept.
#[divan::bench(sample_count = 20)]
fn m_load_a_new_script(bencher: Bencher<'_, '_>) {
    text("oncall.js", &SCRIPT);
    bencher.bench(|| text("oncall.js", black_box(&SCRIPT)));
}

#[divan::bench(sample_count = 20)]
fn n_load_a_new_template(bencher: Bencher<'_, '_>) {
    text("oncall.toml", &TEMPLATE);
    bencher.bench(|| text("oncall.toml", black_box(&TEMPLATE)));
}

#[divan::bench(sample_count = 20)]
fn o_load_script_from_cache(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(Cache::open(folder.path()).unwrap());
    let registry = Registry::open(Options { cache, ..Options::default() }, Vec::new()).unwrap();
    let load = || registry.load("oncall", SCRIPT.as_bytes(), Origin::File("oncall.js".into())).unwrap();
    load();
    bencher.bench(|| {
        let adapter = load();
        assert!(adapter.from_cache);
        adapter
    });
}

/// The first script of a host without a cache: the engine, 0.9 MB, is compiled.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn p_first_script(bencher: Bencher<'_, '_>) {
    bencher
        .with_inputs(|| Registry::open(Options::default(), Vec::new()).unwrap())
        .bench_values(|registry| registry.load("oncall", SCRIPT.as_bytes(), Origin::File("oncall.js".into())).unwrap());
}

/// 89 KB.
#[divan::bench(sample_count = 20)]
fn h_compile_board(bencher: Bencher<'_, '_>) {
    bencher.bench(|| load("board", black_box(BOARD[0])));
}

/// 376 KB.
#[divan::bench(sample_count = 10)]
fn i_compile_slack(bencher: Bencher<'_, '_>) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../adapters/prebuilt/slack.wasm");
    let bytes = std::fs::read(file).unwrap();
    bencher.bench(|| load("slack", black_box(&bytes)));
}

/// Hash, deserialize, pre-instantiate, describe, schema.
#[divan::bench]
fn j_load_board_from_cache(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Some(Cache::open(folder.path()).unwrap());
    let registry = Registry::open(Options { cache, ..Options::default() }, Vec::new()).unwrap();
    let load = || registry.load("board", black_box(BOARD[0]), Origin::BuiltIn).unwrap();
    load();
    bencher.bench(|| {
        let adapter = load();
        assert!(adapter.from_cache);
        adapter
    });
}
