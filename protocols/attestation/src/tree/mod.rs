//! The append-only Merkle tree of RFC 6962: roots, inclusion proofs, consistency proofs, and their storage as tiles.
//!
//! A tree of `n` leaves is described by the hashes of its *full subtrees*: the node at `(level, index)` covers the
//! leaves from `index · 2^level` up to `(index + 1) · 2^level`. Roots are computed from a [`CompactRange`] of at most
//! 63 of them; proofs are computed from a [`HashSource`], whatever stores them.

mod bundle;
mod compact;
mod consistency;
mod inclusion;
mod memory;
mod source;
mod tile;
mod tile_hashes;

pub use bundle::{MAX_ENTRY_BYTES, MalformedBundle, decode_bundle, encode_bundle};
pub use compact::{CompactRange, MalformedRange};
pub use consistency::{prove_consistency, roots_from_consistency, verify_consistency};
pub use inclusion::{inclusion_nodes, prove_inclusion, root_from_inclusion, verify_inclusion};
pub use memory::{MemoryTree, NoSuchNode};
pub use source::{HashSource, Node, ProveError, root_at};
pub use tile::{MalformedTilePath, Tile, TileKind};
pub use tile_hashes::{TileHashes, TileReadError, TileSource};

/// The largest tree: 2^62 leaves, so that no arithmetic on sizes and nodes can overflow.
pub const MAX_TREE_SIZE: u64 = 1 << 62;

/// A proof that does not hold.
///
/// It says what was missed, never the bytes: a caller who wants to keep them as evidence has them already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The index or the smaller size does not lie in the tree.
    #[error("the place lies outside the tree")]
    OutsideTree,
    /// More or fewer hashes than a tree of that shape needs.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    WrongRoot,
}

/// The largest power of two below `size`, which must be at least 2: where RFC 6962 splits a tree.
fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
