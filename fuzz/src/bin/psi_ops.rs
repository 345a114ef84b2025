//! Any list of deliveries in an intersection.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_psi::fuzzing::ops(data));
