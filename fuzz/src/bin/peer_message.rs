//! Any bytes as a request to the service of peers, or a reply of one.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::peers::fuzzing::message(data));
