//! Any bytes as a piece of a line between two members of a job, or as the answer to one.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::relay::fuzzing::message(data));
