//! A whole tree in memory, for logs and data sets small enough, and for tests.

use super::{CompactRange, HashSource, Node};
use crate::hash::Hash;

/// All full subtrees of a tree, level by level: 64 bytes a leaf.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    range: CompactRange,
    levels: Vec<Vec<Hash>>,
}

/// The tree has no such full subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has no full subtree at level {} and index {}", .0.level, .0.index)]
pub struct NoSuchNode(pub Node);

impl MemoryTree {
    /// A tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the leaf whose hash is `leaf`.
    pub fn push(&mut self, leaf: Hash) {
        let levels = &mut self.levels;
        self.range.push_with(leaf, |node, hash| {
            let level = usize::from(node.level);
            if levels.len() == level {
                levels.push(Vec::new());
            }
            levels[level].push(*hash);
        });
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// The root of the tree as it stands.
    #[must_use]
    pub fn root(&self) -> Hash {
        self.range.root()
    }
}

impl HashSource for &MemoryTree {
    type Error = NoSuchNode;

    fn hash(&mut self, node: Node) -> Result<Hash, NoSuchNode> {
        let level = self.levels.get(usize::from(node.level));
        let hash = level.and_then(|level| level.get(usize::try_from(node.index).ok()?));
        hash.copied().ok_or(NoSuchNode(node))
    }
}
