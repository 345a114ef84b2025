//! Any bytes as points and scalar, all backends against each other.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_curve25519_batch::fuzzing::mul_encode(data));
