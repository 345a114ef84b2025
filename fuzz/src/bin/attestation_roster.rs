//! Any bytes as a consortium's roster, and as a fingerprint that a person typed.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_attestation::fuzzing::roster(data));
