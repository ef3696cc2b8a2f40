//! What adapters in each language cost: `HERALD_EXAMPLES=target/examples cargo bench -p herald --bench languages`, after
//! `cargo xtask test` has built them there. Prints the rows of the table in docs/languages.md.
//!
//! Calls are those of one thread; a time is the median, the others are of one time each.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_methods, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use herald::{
    adapter::{Adapter, Cache, Limits, Options, Origin, Registry, golden},
    model::Isolation,
};

fn main() {
    let Some(folder) = std::env::var_os("HERALD_EXAMPLES").map(PathBuf::from) else {
        println!(
            "HERALD_EXAMPLES is not set: the folder in which the examples were built (`cargo xtask test` does that)"
        );
        return;
    };
    let folder =
        if folder.is_absolute() { folder } else { Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder) };
    println!(
        "| language | size, KB | compile, s | from the cache, ms | first call, ms | call, µs | call, shared, µs | memory, MiB |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut examples: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    for example in examples {
        row(&example);
    }
}

fn registry(isolation: Isolation, cache: Option<&Path>) -> Registry {
    let cache = cache.map(|cache| Cache::open(cache).unwrap());
    let limits = Limits { isolation, ..Limits::default() };
    Registry::open(Options { limits, cache, ..Options::default() }, Vec::new()).unwrap()
}

fn row(folder: &Path) {
    let language = folder.file_name().unwrap().to_string_lossy();
    let recipe: toml::Table = fs::read_to_string(folder.join("adapter.toml")).unwrap().parse().unwrap();
    let file = folder.join(recipe["component"].as_str().unwrap());
    let bytes = fs::read(&file).unwrap();
    let load = |registry: &Registry| registry.load(&language, &bytes, Origin::File(file.clone())).unwrap();
    let cases = golden::read(&folder.join("cases")).unwrap();
    let case = &cases[0];
    let render = |adapter: &Adapter| drop(adapter.render(&case.context, &case.event).unwrap().unwrap());

    let cache = tempfile::tempdir().unwrap();
    let compiles = registry(Isolation::Call, Some(cache.path()));
    let (compile, _) = timed(|| load(&compiles));
    // As after a start: nothing of it is in memory yet.
    let fresh = registry(Isolation::Call, Some(cache.path()));
    let (cached, adapter) = timed(|| load(&fresh));
    assert!(adapter.from_cache);
    let (first, ()) = timed(|| render(&adapter));
    let call = median(|| render(&adapter));
    let kept = load(&registry(Isolation::Channel, Some(cache.path())));
    let shared = median(|| render(&kept));
    println!(
        "| {language} | {} | {:.2} | {:.1} | {:.2} | {:.0} | {:.0} | {:.1} |",
        bytes.len() / 1000,
        compile.as_secs_f64(),
        cached.as_secs_f64() * 1e3,
        first.as_secs_f64() * 1e3,
        call.as_secs_f64() * 1e6,
        shared.as_secs_f64() * 1e6,
        f64::from(u32::try_from(adapter.memory() >> 10).unwrap()) / 1024.0,
    );
}

fn timed<T>(what: impl FnOnce() -> T) -> (Duration, T) {
    let begin = Instant::now();
    let result = what();
    (begin.elapsed(), result)
}

/// Of two seconds' calls.
fn median(what: impl Fn()) -> Duration {
    let (begin, mut times) = (Instant::now(), Vec::new());
    while begin.elapsed() < Duration::from_secs(2) {
        times.push(timed(&what).0);
    }
    times.sort();
    times[times.len() / 2]
}
