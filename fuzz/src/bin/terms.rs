//! Any bytes as terms.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_core::fuzzing::terms(data));
