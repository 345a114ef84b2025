//! Any bytes as the terms of a job.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::jobs::fuzzing::terms(data));
