//! Where proofs get their hashes from, and how a stretch of leaves falls into full subtrees.

use super::compact::fold;
use super::shape::Node;
use crate::hash::{Hash, empty_root};

/// Hands out the hashes of a tree's full subtrees.
///
/// A proof is only as good as its source, and needs not trust it: what a wrong source yields does not verify.
pub trait HashSource {
    /// Why a hash cannot be had.
    type Error;

    /// The hash of the full subtree `node`.
    ///
    /// # Errors
    /// If it cannot be read, or if the tree has no such subtree.
    fn hash(&mut self, node: Node) -> Result<Hash, Self::Error>;
}

/// A proof cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The index or the smaller size does not lie in the tree, or the tree is larger than any may be.
    #[error("the place lies outside the tree")]
    OutsideTree,
    /// The source failed.
    #[error("a hash of the tree cannot be read")]
    Source(#[source] E),
}

/// The full subtrees that make up the leaves from `start` up to `end`, largest first.
///
/// `start` is a multiple of the smallest power of two that is not below `end - start`, as it is for every stretch
/// that RFC 6962 gives a hash of its own.
pub(super) fn nodes(start: u64, end: u64) -> impl Iterator<Item = Node> {
    let mut at = start;
    std::iter::from_fn(move || {
        let left = end.checked_sub(at).filter(|left| *left > 0)?;
        let level = left.ilog2();
        let node = Node { level: level as u8, index: at >> level };
        at += 1 << level;
        Some(node)
    })
}

/// The hash of the leaves from `start` up to `end`: a subtree's root, the last one possibly not full.
pub(super) fn stretch<S: HashSource + ?Sized>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let peaks = nodes(start, end).map(|node| source.hash(node)).collect::<Result<Vec<_>, _>>()?;
    Ok(fold(&peaks).unwrap_or_else(empty_root))
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// What the source refuses.
pub fn root_at<S: HashSource + ?Sized>(source: &mut S, size: u64) -> Result<Hash, S::Error> {
    stretch(source, 0, size)
}
