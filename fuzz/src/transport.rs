//! Envelopes.

#[path = "../../src/transport/envelope.rs"]
mod envelope;
#[path = "../../src/transport/fuzzing.rs"]
pub mod fuzzing;
#[allow(clippy::all)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/messages.rs"));
}
#[path = "../../src/transport/settings.rs"]
mod settings;
#[path = "../../src/transport/wire.rs"]
mod wire;
