//! Properties over arbitrary trees, notes and quorums.

use proptest::prelude::*;
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyRing, Note, NoteSignature};
use tacitly_attestation::tree::{
    CompactRange, MemoryTree, Tile, TileKind, decode_bundle, encode_bundle, inclusion_nodes, prove_consistency,
    prove_inclusion, root_from_inclusion, verify_consistency, verify_inclusion,
};
use tacitly_attestation::witness::{AddCheckpoint, WitnessState};

use super::support::{NOW, checkpoint, log_key, origin, signer};

fn tree(leaves: &[u8]) -> MemoryTree {
    let mut tree = MemoryTree::new();
    leaves.iter().for_each(|leaf| tree.push(leaf_hash(&[*leaf])));
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_that_grew_by_appending_is_consistent_and_one_that_was_rewritten_is_not(
        leaves in prop::collection::vec(any::<u8>(), 1..600),
        old in 1usize..600,
        at in any::<prop::sample::Index>(),
    ) {
        let old = old.min(leaves.len());
        let (before, after) = (tree(&leaves[..old]), tree(&leaves));
        let proof = prove_consistency(&mut &after, old as u64, leaves.len() as u64).unwrap();
        let size = leaves.len() as u64;
        prop_assert_eq!(verify_consistency(old as u64, &before.root(), size, &after.root(), &proof), Ok(()));

        let mut rewritten = leaves[..old].to_vec();
        rewritten[at.index(old)] ^= 1;
        prop_assert!(verify_consistency(old as u64, &tree(&rewritten).root(), size, &after.root(), &proof).is_err());
    }

    #[test]
    fn a_proof_with_anything_changed_leads_elsewhere(
        leaves in prop::collection::vec(any::<u8>(), 2..600),
        at in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let tree = tree(&leaves);
        let index = at.index(leaves.len()) as u64;
        let size = tree.size();
        let mut proof = prove_inclusion(&mut &tree, index, size).unwrap();
        prop_assert_eq!(inclusion_nodes(index, size).is_empty(), proof.is_empty());
        let leaf = leaf_hash(&[leaves[index as usize]]);
        prop_assert_eq!(verify_inclusion(&leaf, index, size, &proof, &tree.root()), Ok(()));
        let place = byte.index(proof.len() * 32);
        proof[place / 32].0[place % 32] ^= 1 << bit;
        prop_assert!(verify_inclusion(&leaf, index, size, &proof, &tree.root()).is_err());
    }

    #[test]
    fn no_index_size_or_proof_overflows(index: u64, size: u64, other: u64, length in 0usize..70) {
        let proof = vec![Hash([7; 32]); length];
        let _ = root_from_inclusion(&Hash([1; 32]), index, size, &proof);
        let _ = verify_consistency(index, &Hash([1; 32]), size, &Hash([2; 32]), &proof);
        let _ = inclusion_nodes(index, size);
        let _ = CompactRange::from_peaks(size, proof);
        let _ = Tile::in_tree(TileKind::Hashes { level: (other % 256) as u8 }, index, size);
        let _ = Tile::changed(index, size).take(10).count();
    }

    #[test]
    fn a_tile_reads_back_from_its_path(level in 0u8..64, index: u64, width in 1u16..=256, entries: bool) {
        let kind = if entries { TileKind::Entries } else { TileKind::Hashes { level } };
        let tile = Tile { kind, index, width };
        prop_assert_eq!(Tile::parse(&tile.to_string()), Ok(tile));
    }

    #[test]
    fn a_bundle_reads_back(entries in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..256)) {
        let bundle = encode_bundle(entries.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(decode_bundle(&bundle).unwrap(), entries.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }

    #[test]
    fn any_text_can_be_signed_and_no_other_text_has_its_signature(text in "[^\u{0}-\u{1f}]{0,80}", other in "[^\u{0}-\u{1f}]{0,80}") {
        let (text, other) = (format!("{text}\n"), format!("{other}\n\nmore\n"));
        let key = signer("bank-a");
        let ring: KeyRing = [key.public.clone()].into_iter().collect();
        let signature = NoteSignature::sign(&text, &key.public, &key.private).unwrap();
        let mut note = Note::new(text).unwrap();
        note.add(signature.clone());
        let read = Note::parse(&note.encode()).unwrap();
        prop_assert_eq!(&read, &note);
        prop_assert_eq!(read.verify(&ring).unwrap().len(), 1);
        let mut forged = Note::new(other).unwrap();
        forged.add(signature);
        prop_assert!(forged.verify(&ring).is_err());
    }

    /// Whatever a log asks, in whatever order: the trees that one witness cosigns are prefixes of one another.
    #[test]
    fn a_witness_never_cosigns_two_histories(
        asked in prop::collection::vec((any::<bool>(), 0usize..12, 0usize..12), 1..40),
    ) {
        // Two histories that part after five leaves.
        let ours: Vec<u8> = (0..12).collect();
        let theirs: Vec<u8> = (0..12).map(|at| if at < 5 { at } else { at + 100 }).collect();
        let keys: KeyRing = [log_key("bank-a").public].into_iter().collect();
        let mut state = WitnessState::new(origin("bank-a").as_str(), keys);
        let mut cosigned: Vec<(bool, usize)> = Vec::new();
        for (fork, old, new) in asked {
            let leaves = if fork { &theirs } else { &ours };
            let tree = tree(&leaves[..new]);
            let proof = prove_consistency(&mut &tree, old as u64, new as u64).unwrap_or_default();
            let checkpoint = checkpoint("bank-a", new as u64, tree.root());
            let request = AddCheckpoint { old: old as u64, proof, checkpoint };
            if let Ok(advance) = state.consider(&request, NOW) {
                state.apply(&advance).unwrap();
                cosigned.push((fork, new));
            }
        }
        for pair in cosigned.windows(2) {
            prop_assert!(pair[0].1 <= pair[1].1, "went back");
        }
        let sides: std::collections::BTreeSet<bool> =
            cosigned.iter().filter(|(_, size)| *size > 5).map(|(fork, _)| *fork).collect();
        prop_assert!(sides.len() <= 1, "both histories were cosigned");
    }
}
