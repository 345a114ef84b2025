//! The files of `../src` that make values of strangers' bytes, and no other: neither a runtime, a network nor a database is
//! built with a fuzzer's flags. Each module here stands for the room of its name, so that the files find each other.
#![allow(dead_code, unreachable_pub)] // What the rest of a room uses.

pub mod attest;
#[path = "../../src/codes.rs"]
pub mod codes;
pub mod jobs;
pub mod peers;
#[path = "../../src/policy/mod.rs"]
pub mod policy;
pub mod relay;
pub mod store;
pub mod transport;
