//! Every tree up to 300 leaves, every index, every older size.

use tacitly_attestation::hash::{Hash, empty_root, leaf_hash};
use tacitly_attestation::tree::{
    CompactRange, MemoryTree, ProofFault, ProveError, inclusion_nodes, prove_consistency, prove_inclusion, root_at,
    root_from_inclusion, verify_consistency, verify_inclusion,
};

use super::support::levels;

const LARGEST: u64 = 300;

fn roots(log: &MemoryTree) -> Vec<Hash> {
    (0..=log.size()).map(|size| root_at(&mut &*log, size).unwrap()).collect()
}

fn leaf(index: u64) -> Hash {
    leaf_hash(&index.to_be_bytes())
}

/// The root by the definition itself, to check the incremental one against.
fn root_by_definition(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => *leaf,
        _ => {
            let middle = leaves.len().next_power_of_two() / 2;
            let (left, right) = (root_by_definition(&leaves[..middle]), root_by_definition(&leaves[middle..]));
            tacitly_attestation::hash::node_hash(&left, &right)
        }
    }
}

#[test]
fn the_root_computed_leaf_by_leaf_is_the_one_of_the_definition() {
    let leaves: Vec<Hash> = (0..LARGEST).map(leaf).collect();
    let mut range = CompactRange::new();
    let log = levels(LARGEST);
    for size in 0..=leaves.len() {
        let root = root_by_definition(&leaves[..size]);
        assert_eq!(range.root(), root, "{size} leaves");
        assert_eq!(root_at(&mut &log, size as u64).unwrap(), root, "{size} leaves");
        assert_eq!(range.peaks().len() as u32, range.size().count_ones());
        let resumed = CompactRange::from_peaks(range.size(), range.peaks().to_vec()).unwrap();
        assert_eq!(resumed, range, "{size} leaves");
        if let Some(leaf) = leaves.get(size) {
            range.push(*leaf);
        }
    }
    assert!(CompactRange::from_peaks(3, vec![leaf(0)]).is_err());
    assert!(CompactRange::from_peaks(u64::MAX, vec![leaf(0); 64]).is_err());
}

#[test]
fn every_leaf_of_every_tree_is_proven_and_nowhere_else() {
    let log = levels(LARGEST);
    let roots = roots(&log);
    for size in 1..=LARGEST {
        let root = roots[size as usize];
        for index in 0..size {
            let proof = prove_inclusion(&mut &log, index, size).unwrap();
            assert!(proof.len() <= size.next_power_of_two().ilog2() as usize);
            assert_eq!(verify_inclusion(&leaf(index), index, size, &proof, &root), Ok(()), "{index} of {size}");
            assert!(!inclusion_nodes(index, size).is_empty() || size == 1);

            let other = (index + 1) % size;
            if size > 1 {
                assert!(verify_inclusion(&leaf(other), index, size, &proof, &root).is_err(), "{index} of {size}");
                assert!(verify_inclusion(&leaf(index), other, size, &proof, &root).is_err(), "{index} of {size}");
                let short = &proof[..proof.len() - 1];
                assert!(verify_inclusion(&leaf(index), index, size, short, &root).is_err(), "{index} of {size}");
            }
            let long = [&proof[..], &[root]].concat();
            assert_eq!(verify_inclusion(&leaf(index), index, size, &long, &root), Err(ProofFault::WrongLength));
            assert_eq!(
                verify_inclusion(&leaf(index), index, size, &proof, &roots[size as usize - 1]),
                Err(ProofFault::WrongRoot)
            );
        }
        assert_eq!(prove_inclusion(&mut &log, size, size), Err(ProveError::OutsideTree));
        assert_eq!(root_from_inclusion(&leaf(0), size, size, &[]), Err(ProofFault::OutsideTree));
    }
}

#[test]
fn every_tree_is_proven_to_extend_every_older_one_and_no_other() {
    let log = levels(LARGEST);
    let roots = roots(&log);
    for new in 0..=LARGEST {
        let new_root = roots[new as usize];
        for old in 0..=new {
            let old_root = roots[old as usize];
            let proof = prove_consistency(&mut &log, old, new).unwrap();
            assert_eq!(verify_consistency(old, &old_root, new, &new_root, &proof), Ok(()), "{old} to {new}");

            let long = [&proof[..], &[new_root]].concat();
            assert!(verify_consistency(old, &old_root, new, &new_root, &long).is_err(), "{old} to {new}");
            if old == 0 || old == new {
                assert!(proof.is_empty());
                continue;
            }
            assert!(!proof.is_empty());
            let short = &proof[..proof.len() - 1];
            assert!(verify_consistency(old, &old_root, new, &new_root, short).is_err(), "{old} to {new}");
            assert!(verify_consistency(old, &new_root, new, &old_root, &proof).is_err(), "{old} to {new}");
            assert!(verify_consistency(old, &leaf(999), new, &new_root, &proof).is_err(), "{old} to {new}");
            assert!(verify_consistency(old, &old_root, new, &leaf(999), &proof).is_err(), "{old} to {new}");
            for at in 0..proof.len() {
                let mut changed = proof.clone();
                changed[at].0[at % 32] ^= 1;
                let refused = verify_consistency(old, &old_root, new, &new_root, &changed);
                assert_eq!(refused, Err(ProofFault::WrongRoot), "{old} to {new}, hash {at}");
            }
        }
    }
}

#[test]
fn a_smaller_tree_never_extends_a_larger_one() {
    let log = levels(9);
    let roots = roots(&log);
    assert_eq!(prove_consistency(&mut &log, 9, 8), Err(ProveError::OutsideTree));
    assert_eq!(verify_consistency(9, &roots[9], 8, &roots[8], &[]), Err(ProofFault::OutsideTree));
    assert_eq!(verify_consistency(8, &roots[8], 8, &roots[7], &[]), Err(ProofFault::WrongRoot));
}

#[test]
fn sizes_at_the_end_of_the_number_range_are_refused_and_do_not_overflow() {
    let hash = leaf(0);
    for size in [u64::MAX, u64::MAX - 1, (1 << 63) + 1, (1 << 62) + 1] {
        for index in [0, 1, size / 2, size - 1] {
            assert_eq!(root_from_inclusion(&hash, index, size, &[hash; 63]), Err(ProofFault::OutsideTree));
            assert!(verify_consistency(index, &hash, size, &hash, &[hash; 63]).is_err());
            assert!(inclusion_nodes(index, size).is_empty());
        }
    }
    let largest = 1 << 62;
    assert!(root_from_inclusion(&hash, largest - 1, largest, &[hash; 62]).is_ok());
    assert_eq!(inclusion_nodes(largest - 1, largest).len(), 62);
    assert!(verify_consistency(largest - 1, &hash, largest, &hash, &[hash; 63]).is_err());
}
