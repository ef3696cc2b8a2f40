#![no_main]

#[path = "../properties/event.rs"]
mod event;

libfuzzer_sys::fuzz_target!(|body: &[u8]| event::check(body));
