//! Any bytes as a question or an answer about a log.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::attest::fuzzing::message(data));
