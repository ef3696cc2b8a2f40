#![no_main]

#[path = "../properties/address.rs"]
mod address;

libfuzzer_sys::fuzz_target!(|text: &str| address::check(text));
