//! What daemons say to each other about their logs.

#[path = "../../src/attest/fuzzing.rs"]
pub mod fuzzing;
#[path = "../../src/attest/message.rs"]
mod message;
