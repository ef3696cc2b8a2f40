#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../properties/config.rs"]
mod config;

fuzz_target!(|text: &str| -> Corpus { if config::check(text) { Corpus::Keep } else { Corpus::Reject } });
