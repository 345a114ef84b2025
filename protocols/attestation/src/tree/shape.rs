//! The shape of a tree: how large it may be, its nodes, and where it is split.

/// The largest tree: 2^62 leaves, so that no arithmetic on sizes and nodes can overflow.
pub const MAX_TREE_SIZE: u64 = 1 << 62;

/// A full subtree: the leaves from `index · 2^level` up to `(index + 1) · 2^level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// Its height; a leaf has level 0.
    pub level: u8,
    /// Its place among the subtrees of that height.
    pub index: u64,
}

/// The largest power of two below `size`, which must be at least 2: where RFC 6962 splits a tree.
pub(super) fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}
