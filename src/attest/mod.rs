//! What this party puts on record, how it gets into its attestation log, and who sees to that log and we to theirs. *Sign
//! before serve*: an entry is durable in the log before what it attests takes place.
//!
//! | file | holds |
//! |---|---|
//! | `attestation.rs`, `settings.rs` | [`Attestation`]: all of this for one party, and what it answers peers; what it rests on |
//! | `recorder.rs` | entries signed, put down, and found again |
//! | `queries/` | questions under standing jobs, asked and answered |
//! | `reader.rs` | to whom something under an entry is opened |
//! | `outbox.rs` | their way from the ledger into the log, each at the place that was committed before |
//! | `profile.rs` | who we are and whom we trust; certificates |
//! | `revocations.rs` | signing keys that count no more |
//! | `witnesses.rs`, `external.rs` | our log and its witnesses: peers, and others over HTTPS |
//! | `witnessing.rs`, `gossip.rs` | we as a witness; what witnesses tell each other |
//! | `mirrors.rs`, `copies.rs` | copies of our log at peers, and of theirs here |
//! | `reconciliation.rs` | our log held against a peer's |
//! | `message.rs`, `asking.rs`, `keys.rs` | bytes ↔ messages; asking a peer; the keys of a party |

mod asking;
mod attestation;
mod copies;
mod external;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gossip;
mod keys;
mod message;
mod mirrors;
mod outbox;
mod profile;
pub mod queries;
mod reader;
mod reconciliation;
mod recorder;
mod revocations;
mod settings;
#[cfg(test)]
mod tests;
mod witnesses;
mod witnessing;

pub use attestation::Attestation;
pub use keys::{mirror_name, witness_name};
pub use message::generated as wire;
pub use profile::Profile;
pub(crate) use reader::Reader;
pub use reconciliation::Reconciliation;
pub use recorder::Recorder;
pub(crate) use recorder::{Recorded, entry_key, now, random, unfit};
pub use revocations::{Revocations, Revoked};
pub use settings::{CopySettings, ExternalWitness, ProfileSettings, Record};
