//! Proofs that a leaf stands at an index of a tree.

use super::shape::{MAX_TREE_SIZE, Node, split};
use super::source::{nodes, stretch};
use super::{HashSource, ProofFault, ProveError};
use crate::hash::{Hash, node_hash};

/// The stretches of leaves whose hashes make up the proof, from the leaf's sibling up to the root's child.
fn stretches(index: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, size);
    let mut downwards = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            downwards.push((middle, end));
            end = middle;
        } else {
            downwards.push((start, middle));
            start = middle;
        }
    }
    downwards.reverse();
    downwards
}

fn in_tree(index: u64, size: u64) -> bool {
    index < size && size <= MAX_TREE_SIZE
}

/// Every full subtree that a proof for `index` in a tree of `size` leaves reads from its source, so that a caller who
/// streams the leaves once can keep just these. Empty if the index lies outside the tree.
#[must_use]
pub fn inclusion_nodes(index: u64, size: u64) -> Vec<Node> {
    if !in_tree(index, size) {
        return Vec::new();
    }
    stretches(index, size).into_iter().flat_map(|(start, end)| nodes(start, end)).collect()
}

/// Proves that the leaf at `index` belongs to the tree of the first `size` leaves.
///
/// Shapes: at most ⌈log₂ size⌉ hashes, from the leaf's sibling up to the root's child.
///
/// # Errors
/// [`ProveError::OutsideTree`] unless `index < size` and `size` at most [`MAX_TREE_SIZE`]; what the source refuses.
///
/// Source: RFC 6962, section 2.1.1.
pub fn prove_inclusion<S>(source: &mut S, index: u64, size: u64) -> Result<Vec<Hash>, ProveError<S::Error>>
where
    S: HashSource + ?Sized,
{
    if !in_tree(index, size) {
        return Err(ProveError::OutsideTree);
    }
    let hashes = stretches(index, size).into_iter().map(|(start, end)| stretch(source, start, end));
    hashes.collect::<Result<_, _>>().map_err(ProveError::Source)
}

/// The root that `proof` leads to from `leaf` at `index` of a tree of `size` leaves.
///
/// # Errors
/// [`ProofFault::OutsideTree`] or [`ProofFault::WrongLength`].
///
/// Source: RFC 9162, section 2.1.3.2.
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Result<Hash, ProofFault> {
    if !in_tree(index, size) {
        return Err(ProofFault::OutsideTree);
    }
    let (mut place, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return Err(ProofFault::WrongLength);
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            // On the right edge the levels without a sibling are skipped.
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok(hash) } else { Err(ProofFault::WrongLength) }
}

/// Checks that `leaf` stands at `index` of the tree of `size` leaves with this `root`.
///
/// # Errors
/// A [`ProofFault`] if it does not, or if nothing shows it.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofFault> {
    let found = root_from_inclusion(leaf, index, size, proof)?;
    if found == *root { Ok(()) } else { Err(ProofFault::WrongRoot) }
}
