//! A mirror: a cosigner that keeps the entries, too.
//!
//! It takes the log's entries in order, in pieces of any length. Each piece comes with the proof that the log so far
//! is the beginning of a tree that the log has signed; nothing is kept before that is verified. What a mirror cosigns
//! it holds whole. Its key is another than that of the same party as a witness: who sees its line knows that the
//! entries are there, not only that one history was shown.
//!
//! Learns: all entries; who works with whom, when and on which terms. So a mirror is entitled by the log's owner.
//!
//! Source: C2SP tlog-mirror (a mirror's key is not its witness key; what is cosigned is durable before).

use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::hash::{Hash, leaf_hash};
use crate::note::{NoteSignature, Signer, VerifierKey};
use crate::tree::{CompactRange, MAX_ENTRY_BYTES, verify_consistency};

/// What a mirror has of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MirrorState {
    range: CompactRange,
}

/// Entries that a mirror may add, once the caller has stored them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    after: CompactRange,
    leaves: Vec<Hash>,
}

/// A signed tree of which every entry is kept.
#[derive(Debug)]
pub struct Whole<'c>(&'c SignedCheckpoint);

/// Why a mirror does not take entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MirrorRefusal {
    /// An entry without bytes, or with more than a log can hold.
    #[error("an entry has {0} bytes")]
    Length(usize),
    /// More entries than the signed tree has.
    #[error("they reach beyond the signed tree")]
    Beyond,
    /// They are not the next entries of the log that signed the tree, or what was kept before is not its beginning.
    #[error("the proof does not show that they are the log's next entries")]
    NotTheLog,
}

impl MirrorState {
    /// Goes on from the entries that are kept.
    #[must_use]
    pub fn resume(kept: CompactRange) -> Self {
        Self { range: kept }
    }

    /// How many entries are kept.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.range.size()
    }

    /// Considers the entries behind those that are kept. `proof` shows that with them the log is the beginning of
    /// `signed`, a checkpoint whose signature the caller has verified.
    ///
    /// # Errors
    /// [`MirrorRefusal`]
    pub fn consider<'e>(
        &self,
        entries: impl IntoIterator<Item = &'e [u8]>,
        proof: &[Hash],
        signed: &Checkpoint,
    ) -> Result<Extension, MirrorRefusal> {
        let (mut after, mut leaves) = (self.range.clone(), Vec::new());
        for entry in entries {
            if entry.is_empty() || entry.len() > MAX_ENTRY_BYTES {
                return Err(MirrorRefusal::Length(entry.len()));
            }
            let leaf = leaf_hash(entry);
            after.push(leaf);
            leaves.push(leaf);
        }
        if after.size() > signed.size {
            return Err(MirrorRefusal::Beyond);
        }
        verify_consistency(after.size(), &after.root(), signed.size, &signed.root, proof)
            .map_err(|_| MirrorRefusal::NotTheLog)?;
        Ok(Extension { after, leaves })
    }

    /// The entries of an extension are durable.
    #[must_use]
    pub fn stored(extension: Extension) -> Self {
        Self { range: extension.after }
    }

    /// That every entry of the signed tree is kept, if that is so.
    #[must_use]
    pub fn whole<'c>(&self, signed: &'c SignedCheckpoint) -> Option<Whole<'c>> {
        let stated = signed.checkpoint();
        (stated.size == self.size() && stated.root == self.range.root()).then_some(Whole(signed))
    }
}

impl Extension {
    /// The leaf hashes of the entries, in order.
    #[must_use]
    pub fn leaves(&self) -> &[Hash] {
        &self.leaves
    }
}

impl Whole<'_> {
    /// The mirror's signature line, at `time` in seconds since 1970. `key` is of
    /// [`KeyUse::Cosignature`](crate::note::KeyUse) and used by this mirror alone: no witness has it.
    ///
    /// # Errors
    /// What the signer refuses.
    pub fn cosign<S: Signer + ?Sized>(
        &self,
        time: u64,
        key: &VerifierKey,
        signer: &S,
    ) -> Result<NoteSignature, S::Error> {
        self.0.cosign(time, key, signer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{MemoryTree, prove_consistency};

    fn entries(from: u64, to: u64) -> Vec<Vec<u8>> {
        (from..to).map(|number| format!("entry {number}\n").into_bytes()).collect()
    }

    fn tree(size: u64) -> MemoryTree {
        let mut tree = MemoryTree::new();
        entries(0, size).iter().for_each(|entry| tree.push(leaf_hash(entry)));
        tree
    }

    fn signed(size: u64) -> Checkpoint {
        Checkpoint { origin: "tacitly/bank".to_owned(), size, root: tree(size).root(), extensions: Vec::new() }
    }

    fn proof(old: u64, new: u64) -> Vec<Hash> {
        prove_consistency(&mut &tree(new), old, new).unwrap()
    }

    fn take(
        state: &MirrorState,
        entries: &[Vec<u8>],
        proof: &[Hash],
        signed: &Checkpoint,
    ) -> Result<Extension, MirrorRefusal> {
        state.consider(entries.iter().map(Vec::as_slice), proof, signed)
    }

    #[test]
    fn a_log_is_taken_in_pieces_of_any_length_and_is_whole_at_the_end_only() {
        for size in [1, 2, 3, 7, 8, 33] {
            for first in 0..=size {
                let whole = SignedCheckpoint::new(&signed(size)).unwrap();
                let state = MirrorState::default();
                let piece = take(&state, &entries(0, first), &proof(first, size), &signed(size)).unwrap();
                assert_eq!(piece.leaves().len() as u64, first);
                let state = MirrorState::stored(piece);
                assert_eq!(state.whole(&whole).is_some(), first == size, "{first} of {size}");
                let rest = take(&state, &entries(first, size), &[], &signed(size)).unwrap();
                assert!(MirrorState::stored(rest).whole(&whole).is_some(), "{first} of {size}");
            }
        }
    }

    #[test]
    fn entries_that_are_not_the_logs_next_ones_are_refused() {
        let state =
            MirrorState::stored(take(&MirrorState::default(), &entries(0, 4), &proof(4, 9), &signed(9)).unwrap());
        let refused = |entries: &[Vec<u8>], proof: &[Hash], signed: &Checkpoint| {
            let refused = take(&state, entries, proof, signed).unwrap_err();
            assert_eq!(state.size(), 4);
            refused
        };
        let mut altered = entries(4, 7);
        altered[1][0] ^= 1;
        assert_eq!(refused(&altered, &proof(7, 9), &signed(9)), MirrorRefusal::NotTheLog);
        assert_eq!(refused(&entries(5, 8), &proof(7, 9), &signed(9)), MirrorRefusal::NotTheLog, "one is left out");
        assert_eq!(refused(&entries(4, 7), &proof(6, 9), &signed(9)), MirrorRefusal::NotTheLog, "another's proof");
        assert_eq!(refused(&entries(4, 9), &[], &signed(8)), MirrorRefusal::Beyond);
        assert_eq!(refused(&[Vec::new()], &proof(5, 9), &signed(9)), MirrorRefusal::Length(0));
        let long = vec![0; MAX_ENTRY_BYTES + 1];
        assert_eq!(refused(&[long], &proof(5, 9), &signed(9)), MirrorRefusal::Length(MAX_ENTRY_BYTES + 1));
        // A log that tells us another history than the one that we have.
        let mut other = signed(4);
        other.root = Hash::of(b"another");
        assert_eq!(refused(&[], &[], &other), MirrorRefusal::NotTheLog);
    }
}
