//! What daemons say to each other outside sessions.

#[path = "../../src/peers/fuzzing.rs"]
pub mod fuzzing;
#[path = "../../src/peers/message.rs"]
mod message;
