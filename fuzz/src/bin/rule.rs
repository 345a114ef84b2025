//! Any bytes as a rule of a dataset's owner.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::policy::fuzzing::rule(data));
