//! Witnesses: parties that remember how far a log has come and sign no second history (C2SP tlog-witness).
//!
//! A witness sees checkpoints and hashes, never entries, so a competitor, a notary or a regulator can be one.
//!
//! ```text
//! request ──▶ WitnessState::consider ──▶ Advance ──▶ (the caller stores it, atomically) ──▶ Stored ──▶ cosignature
//!                     │
//!                     └──▶ WitnessRefusal: unknown log, bad signature, conflict with the known size, fork
//! ```
//!
//! A cosignature can only be made from what has been stored, and storing is a compare-and-set on the head that the
//! request was considered against. Otherwise two requests that cross would roll the witness back.

mod fork;
mod request;
mod state;

pub use fork::{ForkEvidence, ForkFault, MalformedEvidence};
pub use request::{AddCheckpoint, MalformedRequest};
pub use state::{Advance, Head, Stored, WitnessRefusal, WitnessState};
