#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

#[path = "../properties/secrets.rs"]
mod secrets;

fuzz_target!(|input: secrets::Input| -> Corpus { if secrets::check(input) { Corpus::Keep } else { Corpus::Reject } });
