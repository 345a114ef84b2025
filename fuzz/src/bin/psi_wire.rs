//! Any bytes as a frame of an intersection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_psi::fuzzing::wire(data));
