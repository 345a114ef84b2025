//! Any bytes as a question to a service of ours, or a reply of a peer's.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::peers::fuzzing::message(data));
