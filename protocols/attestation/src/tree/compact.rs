//! A tree's root computed while leaves arrive, in logarithmic memory.

use super::shape::{MAX_TREE_SIZE, Node};
use crate::hash::{Hash, empty_root, node_hash};

/// The roots of the full subtrees that a tree of `size` leaves consists of, largest first.
///
/// It holds one hash per set bit of the size, takes a leaf in amortised one hash, and is all a log needs to go on
/// appending after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactRange {
    size: u64,
    peaks: Vec<Hash>,
}

/// The hashes cannot be the full subtrees of a tree of that size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a tree of {size} leaves has {needed} full subtrees, {found} were given")]
pub struct MalformedRange {
    /// The size claimed.
    pub size: u64,
    /// Hashes that such a tree has.
    pub needed: usize,
    /// Hashes given.
    pub found: usize,
}

impl CompactRange {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up a tree of which only the full subtrees' roots are known, largest first.
    ///
    /// # Errors
    /// [`MalformedRange`] unless there is one hash per set bit of `size`, and `size` at most [`MAX_TREE_SIZE`].
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Result<Self, MalformedRange> {
        let needed = size.count_ones() as usize;
        if peaks.len() != needed || size > MAX_TREE_SIZE {
            return Err(MalformedRange { size, needed, found: peaks.len() });
        }
        Ok(Self { size, peaks })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The full subtrees' roots, largest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    /// Appends the leaf whose hash is `leaf`.
    pub fn push(&mut self, leaf: Hash) {
        self.push_with(leaf, |_, _| {});
    }

    /// Appends a leaf and reports every full subtree that it completes, the leaf first, then upwards.
    pub fn push_with(&mut self, leaf: Hash, mut completed: impl FnMut(Node, &Hash)) {
        let mut node = Node { level: 0, index: self.size };
        let mut hash = leaf;
        completed(node, &hash);
        while node.index & 1 == 1 {
            // An odd index has its left neighbour on the stack: they were pushed in this order.
            let Some(left) = self.peaks.pop() else { break };
            hash = node_hash(&left, &hash);
            node = Node { level: node.level + 1, index: node.index >> 1 };
            completed(node, &hash);
        }
        self.peaks.push(hash);
        self.size += 1;
    }

    /// The root of the tree as it stands.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold(&self.peaks).unwrap_or_else(empty_root)
    }
}

/// Joins neighbouring full subtrees, largest first, to the root above them; `None` if there are none.
pub(super) fn fold(peaks: &[Hash]) -> Option<Hash> {
    let (last, rest) = peaks.split_last()?;
    Some(rest.iter().rev().fold(*last, |right, left| node_hash(left, &right)))
}
