//! The fingerprint, computed while the records stream by.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entry::Fingerprint;
use crate::hash::Hash;
use crate::tree::{CompactRange, Node};

/// What the salts of one data set are derived from. Whoever has it can test guesses about every record; destroying it
/// makes the fingerprint say nothing for ever.
///
/// Not `Clone`, `Debug`, `PartialEq` nor serialisable; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DatasetSeed([u8; 32]);

impl DatasetSeed {
    /// A seed of fresh random bytes that the caller drew, for one version of one data set.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The bytes, to be sealed in a store.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Computes a fingerprint record by record, in logarithmic memory.
pub struct Fingerprinter {
    salts: Salts,
    range: CompactRange,
}

impl Fingerprinter {
    /// A data set without records yet.
    #[must_use]
    pub fn new(seed: &DatasetSeed) -> Self {
        Self { salts: Salts::new(seed), range: CompactRange::new() }
    }

    /// Takes the next record: its canonical bytes, the same at every run.
    pub fn push(&mut self, record: &[u8]) {
        self.range.push(leaf(&self.salts.salt(self.range.size()), record));
    }

    /// Hashes records of this data set on other threads, for [`Self::push_leaf`].
    #[must_use]
    pub fn leaves(&self) -> RecordLeaves {
        RecordLeaves(self.salts.clone())
    }

    /// Takes the next record as its leaf, which [`Self::leaves`] made for exactly this place. The same as
    /// [`Self::push`], whose hashing is nearly all of the work.
    pub fn push_leaf(&mut self, leaf: RecordLeaf) {
        self.range.push(leaf.0);
    }

    /// How many records were taken.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.range.size()
    }

    /// The fingerprint of all records taken.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.range.size(), &self.range.root())
    }

    /// Takes the next record and reports its salt and every full subtree that it completes.
    pub(super) fn push_with(&mut self, record: &[u8], completed: impl FnMut(Node, &Hash)) -> [u8; 32] {
        let salt = self.salts.salt(self.range.size());
        self.range.push_with(leaf(&salt, record), completed);
        salt
    }
}

/// Hashes the records of one data set, in any order.
pub struct RecordLeaves(Salts);

/// What a record is in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLeaf(Hash);

impl RecordLeaves {
    /// The leaf of the record at `index`, from 0.
    #[must_use]
    pub fn leaf(&self, index: u64, record: &[u8]) -> RecordLeaf {
        RecordLeaf(leaf(&self.0.salt(index), record))
    }
}

/// The salts of a data set by place, with the seed's share of the work done once.
#[derive(Clone)]
struct Salts(Hmac<Sha256>);

impl Salts {
    fn new(seed: &DatasetSeed) -> Self {
        // A 32-byte key is shorter than a block, so HMAC pads it; `new` takes exactly one block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&seed.0);
        let salts = Self(Hmac::new(&block.into()));
        block.zeroize();
        salts
    }

    fn salt(&self, index: u64) -> [u8; 32] {
        self.0.clone().chain_update(index.to_be_bytes()).finalize().into_bytes().into()
    }
}

pub(super) fn leaf(salt: &[u8; 32], record: &[u8]) -> Hash {
    Hash(Sha256::new_with_prefix([0x00]).chain_update(salt).chain_update(record).finalize().into())
}

pub(super) fn fingerprint(rows: u64, root: &Hash) -> Fingerprint {
    let hash = Sha256::new_with_prefix(b"tacitly-dataset-1\n").chain_update(rows.to_be_bytes());
    Fingerprint(Hash(hash.chain_update(root.0).finalize().into()))
}
