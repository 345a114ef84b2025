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
mod proof_fault;
mod shape;
mod source;
mod tile;
mod tile_hashes;

pub use bundle::{MAX_ENTRY_BYTES, MalformedBundle, decode_bundle, encode_bundle};
pub use compact::{CompactRange, MalformedRange};
pub use consistency::{prove_consistency, roots_from_consistency, verify_consistency};
pub use inclusion::{inclusion_nodes, prove_inclusion, root_from_inclusion, verify_inclusion};
pub use memory::{MemoryTree, NoSuchNode};
pub use proof_fault::ProofFault;
pub use shape::{MAX_TREE_SIZE, Node};
pub use source::{HashSource, ProveError, root_at};
pub use tile::{MalformedTilePath, Tile, TileKind};
pub use tile_hashes::{TileHashes, TileReadError, TileSource};
