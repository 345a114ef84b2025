//! Any bytes as an envelope of a stream.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tacitly_fuzz::transport::fuzzing::envelope(data));
