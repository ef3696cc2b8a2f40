#![no_main]

#[path = "../properties/cloudevents.rs"]
mod cloudevents;

libfuzzer_sys::fuzz_target!(|request: &[u8]| cloudevents::check(request));
