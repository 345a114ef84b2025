//! Any bytes into a live party of an intersection, at every stage.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_psi::fuzzing::receive(data));
