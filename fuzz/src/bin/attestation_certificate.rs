//! Any bytes as an evidence certificate.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_attestation::fuzzing::certificate(data));
