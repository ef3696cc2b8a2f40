#![no_main]

#[path = "../properties/component.rs"]
mod component;

libfuzzer_sys::fuzz_target!(init: component::prepare(), |bytes: &[u8]| component::check(bytes));
