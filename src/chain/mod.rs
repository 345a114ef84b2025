//! The attestation log on disk: entries that nobody can take back, in a tree whose root is signed.
//!
//! ```text
//! append ──▶ writer: one write and one synchronisation for all who wait ──▶ durable, acknowledged
//!                │
//!                └──▶ scribe, at most a second later: read back · hash again · tiles · signed checkpoint
//! ```
//!
//! | file in the log's folder | holds |
//! |---|---|
//! | `segment` | the entries, byte for byte: the source of everything else |
//! | `checkpoint` | the newest signed root (C2SP tlog-checkpoint) |
//! | `tile/…` | the tree and the entries as C2SP tlog-tiles |
//! | `index` | where entries stand, and from where a start may go on |
//! | `cut-…` | what was left of a write that a crash cut off; nobody was told it is stored |
//! | `cosigned/…` | the newest checkpoints with the lines of others' witnesses, and the witnesses' keys |
//! | `kept/…` | what each mirror holds: a checkpoint with its line |
//! | `lock` | who writes |
//!
//! The segment grows and is never rewritten. Tiles and index are made anew when they are missing. [`fsck`] derives
//! everything from the entries' bytes and names what does not agree.
//!
//! | module | what |
//! |---|---|
//! | `log.rs` | [`Log`]: append, find, prove |
//! | `writer.rs`, `checkpoint_signer.rs`, `state.rs` | the two threads, and what they share |
//! | `tile_store.rs` | the tree on the disk behind the segment |
//! | `segment.rs`, `tiles.rs`, `index.rs`, `checkpoint.rs`, `files.rs`, `lock.rs` | a kind of file each |
//! | `recover.rs` | what a start finds and mends |
//! | `view.rs`, `fsck.rs` | reading a log that others write |
//! | `reconcile.rs` | two logs held against each other |
//! | `cosigned.rs`, `mirror_cosignatures.rs` | what others cosigned of our log, and hold of it |
//! | `witness.rs` | [`Witness`]: what we cosign of others' logs; forks are kept as evidence |
//! | `mirror.rs` | [`Mirror`]: a copy of another's log |
//! | `key.rs`, `error.rs` | the signing key; what may go wrong |

mod checkpoint;
mod checkpoint_signer;
mod cosigned;
mod error;
mod fault_point;
mod files;
mod fsck;
mod index;
mod key;
mod lock;
mod log;
mod mirror;
mod mirror_cosignatures;
mod reconcile;
mod recover;
mod segment;
mod state;
#[cfg(test)]
mod tests;
mod tile_store;
mod tiles;
mod view;
pub mod witness;
mod writer;

pub use cosigned::{Cosignature, Cosigned};
pub use error::ChainError;
pub(crate) use fault_point::reach;
pub use fsck::{Finding, Fsck, SignatureCheck, fsck};
pub use key::{NoteKey, SigningRefused};
pub use log::Log;
pub use mirror::Mirror;
pub use mirror_cosignatures::MirrorCosignatures;
pub use reconcile::{Mismatch, Placed, Reconciled, concerns, reconcile};
pub use segment::{NAME as SEGMENT, bytes_of_entries};
pub use state::{Head, Leaf};
pub use tacitly_attestation::note::KeyUse;
pub use view::View;
pub use witness::{LogName, Verdict, Witness, Witnessed};
