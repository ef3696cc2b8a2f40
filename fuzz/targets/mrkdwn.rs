#![no_main]

#[path = "../properties/mrkdwn.rs"]
mod mrkdwn;

libfuzzer_sys::fuzz_target!(|input: (u8, &str)| mrkdwn::check(input));
