//! Any bytes as a question or an answer about a job.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::jobs::fuzzing::message(data));
