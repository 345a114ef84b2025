//! What the relays of two daemons say to each other.

#[path = "../../src/relay/fuzzing.rs"]
pub mod fuzzing;
#[path = "../../src/relay/message.rs"]
mod message;
