//! Proofs that a tree grew by appending only.

use super::shape::{MAX_TREE_SIZE, split};
use super::source::stretch;
use super::{HashSource, ProofFault, ProveError};
use crate::hash::{Hash, node_hash};

/// The stretches of leaves whose hashes make up the proof, in the order of RFC 6962.
fn stretches(old: u64, new: u64) -> Vec<(u64, u64)> {
    let (mut start, mut end) = (0, new);
    // Whether the stretch at hand is the old tree as a whole, whose root the verifier has already.
    let mut known = true;
    let mut downwards = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            downwards.push((middle, end));
            end = middle;
        } else {
            downwards.push((start, middle));
            start = middle;
            known = false;
        }
    }
    if !known {
        downwards.push((start, end));
    }
    downwards.reverse();
    downwards
}

/// Proves that the tree of the first `old` leaves is a prefix of the tree of the first `new` leaves.
///
/// Shapes: at most ⌈log₂ new⌉ + 1 hashes; none if the sizes are equal or `old` is 0.
///
/// # Errors
/// [`ProveError::OutsideTree`] unless `old <= new` and `new` at most [`MAX_TREE_SIZE`]; what the source refuses.
///
/// Source: RFC 6962, section 2.1.2.
pub fn prove_consistency<S>(source: &mut S, old: u64, new: u64) -> Result<Vec<Hash>, ProveError<S::Error>>
where
    S: HashSource + ?Sized,
{
    if old > new || new > MAX_TREE_SIZE {
        return Err(ProveError::OutsideTree);
    }
    if old == 0 {
        return Ok(Vec::new());
    }
    let hashes = stretches(old, new).into_iter().map(|(start, end)| stretch(source, start, end));
    hashes.collect::<Result<_, _>>().map_err(ProveError::Source)
}

/// Checks that the tree of `old` leaves with `old_root` is a prefix of the tree of `new` leaves with `new_root`.
///
/// Every tree is consistent with the empty one, and only the empty proof shows it.
///
/// # Errors
/// A [`ProofFault`] if it is not, or if nothing shows it.
///
/// Source: RFC 9162, section 2.1.4.2.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofFault> {
    if old > new || new > MAX_TREE_SIZE {
        return Err(ProofFault::OutsideTree);
    }
    if old == new || old == 0 {
        return match proof {
            [] if old == new && old_root != new_root => Err(ProofFault::WrongRoot),
            [] => Ok(()),
            _ => Err(ProofFault::WrongLength),
        };
    }
    // The old tree of a power of two is one full subtree: its root starts the climb and is not sent.
    let (first, rest) =
        if old.is_power_of_two() { (old_root, proof) } else { proof.split_first().ok_or(ProofFault::WrongLength)? };
    let found = climb(old, new, first, rest)?;
    if found == (*old_root, *new_root) { Ok(()) } else { Err(ProofFault::WrongRoot) }
}

/// The roots of the old and the new tree that a consistency proof leads to.
///
/// The new root binds the old one: all hashes of the proof are nodes of the new tree, so whoever finds two proofs from
/// one new root to different old roots has found a collision.
///
/// # Errors
/// [`ProofFault::OutsideTree`] unless `0 < old < new`, and if `old` is a power of two, whose proof begins with the old
/// root without showing it; [`ProofFault::WrongLength`].
///
/// Source: RFC 9162, section 2.1.4.2.
pub fn roots_from_consistency(old: u64, new: u64, proof: &[Hash]) -> Result<(Hash, Hash), ProofFault> {
    if old == 0 || old >= new || new > MAX_TREE_SIZE || old.is_power_of_two() {
        return Err(ProofFault::OutsideTree);
    }
    let (first, rest) = proof.split_first().ok_or(ProofFault::WrongLength)?;
    climb(old, new, first, rest)
}

/// Both roots, from the largest full subtree at the old tree's right edge upwards.
fn climb(old: u64, new: u64, first: &Hash, rest: &[Hash]) -> Result<(Hash, Hash), ProofFault> {
    let (mut place, mut last) = (old - 1, new - 1);
    while place & 1 == 1 {
        place >>= 1;
        last >>= 1;
    }
    let (mut found_old, mut found_new) = (*first, *first);
    for hash in rest {
        if last == 0 {
            return Err(ProofFault::WrongLength);
        }
        if place & 1 == 1 || place == last {
            found_old = node_hash(hash, &found_old);
            found_new = node_hash(hash, &found_new);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            found_new = node_hash(&found_new, hash);
        }
        place >>= 1;
        last >>= 1;
    }
    if last == 0 { Ok((found_old, found_new)) } else { Err(ProofFault::WrongLength) }
}
