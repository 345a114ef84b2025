//! Any bytes as an entry of a log.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_attestation::fuzzing::entry(data));
