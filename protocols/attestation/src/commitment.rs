//! Salted commitments: they bind whoever made them, show nothing to whoever reads them, and open one at a time.
//!
//! `SHA-256(tag, 32-byte salt, bytes)`. The salt is not optional: all resident identity numbers together can be hashed
//! in a few hours on one core, so a hash without a salt, or with a key that every member knows, is the number itself.

use std::collections::BTreeMap;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tacitly_core::PartyId;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::entry::Commitment;
use crate::hash::{Hash, leaf_hash};
use crate::tree::{MemoryTree, ProofFault, prove_inclusion, root_from_inclusion};

/// The most bytes that a document with a lawful basis may have, so that whoever checks one knows how much to read.
pub const MAX_BASIS_BYTES: u64 = 64 << 20;

/// What is committed to; a commitment to one thing never opens as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The exact bytes of a question.
    Query,
    /// The exact bytes of the answer to a question.
    Answer,
    /// What a party got out of a job.
    Output,
    /// The authorisation of the person concerned.
    Authorisation,
    /// The lawful basis on which data are held.
    Basis,
    /// A number of hits.
    Hits,
    /// An agreed measure of a result's worth.
    Metric,
    /// What shows a claim in a dispute.
    Evidence,
}

impl Subject {
    fn tag(self) -> &'static str {
        match self {
            Self::Query => "tacitly-commitment-1 query\n",
            Self::Answer => "tacitly-commitment-1 answer\n",
            Self::Output => "tacitly-commitment-1 output\n",
            Self::Authorisation => "tacitly-commitment-1 authorisation\n",
            Self::Basis => "tacitly-commitment-1 basis\n",
            Self::Hits => "tacitly-commitment-1 hits\n",
            Self::Metric => "tacitly-commitment-1 metric\n",
            Self::Evidence => "tacitly-commitment-1 evidence\n",
        }
    }
}

/// 32 random bytes that hide one committed value. Whoever has them can test guesses, so they are kept as secretly as
/// the value itself; destroying them makes the commitment say nothing for ever.
///
/// Not `Clone`, `Debug`, `PartialEq` nor serialisable; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Salt([u8; 32]);

impl Salt {
    /// A salt of fresh random bytes that the caller drew.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The salt that several parties choose together, so that equal commitments prove equal values and no one of them
    /// can steer it: each draws 32 random bytes and commits to them before it sees the others'.
    #[must_use]
    pub fn joint(shares: &BTreeMap<PartyId, [u8; 32]>) -> Self {
        let mut hash = Sha256::new_with_prefix(b"tacitly-joint-salt-1\n");
        for (party, share) in shares {
            hash.update([party.as_str().len() as u8]);
            hash.update(party.as_str());
            hash.update(share);
        }
        Self(hash.finalize().into())
    }

    /// The bytes, to be sealed in a store or given to whom the value is opened.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// 32 random bytes from which the salts of a list of values are derived, one for each place: they travel and are kept in
/// place of the salts, and to open one value shows nothing of the others. As secret as the values.
///
/// Not `Clone`, `Debug`, `PartialEq` nor serialisable; wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SaltSeed([u8; 32]);

impl SaltSeed {
    /// A seed of fresh random bytes that the caller drew, for one list.
    #[must_use]
    pub fn new(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// The bytes, to be sealed in a store or given to whom all values are opened.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The salt of the value at this place, from 0.
    #[must_use]
    pub fn salt(&self, index: u64) -> Salt {
        // A 32-byte key is shorter than a block, so HMAC pads it; `new` takes exactly one block.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        block.zeroize();
        mac.update(b"tacitly-salt-1\n");
        mac.update(&index.to_be_bytes());
        Salt(mac.finalize().into_bytes().into())
    }
}

/// Commits to a list of values: to one as [`commit`] does, to several as a [`Batch`]. There is no commitment to none.
#[must_use]
pub fn commit_all<'v>(
    subject: Subject,
    seed: &SaltSeed,
    values: impl IntoIterator<Item = &'v [u8]>,
) -> Option<Commitment> {
    let values = (0..).zip(values).map(|(at, value)| commit(subject, &seed.salt(at), value));
    let commitments: Vec<Commitment> = values.collect();
    match commitments.as_slice() {
        [] => None,
        [one] => Some(*one),
        several => Some(Batch::of(several).commitment()),
    }
}

/// Commits to `bytes`.
///
/// Learns: a reader of the commitment learns nothing while the salt stays secret.
/// Model:  binding under collision resistance of SHA-256, hiding in the random-oracle model.
#[must_use]
pub fn commit(subject: Subject, salt: &Salt, bytes: &[u8]) -> Commitment {
    let hash = Sha256::new_with_prefix(subject.tag()).chain_update(salt.0).chain_update(bytes);
    Commitment(Hash(hash.finalize().into()))
}

/// Whether a commitment opens to `bytes` under `salt`.
#[must_use]
pub fn opens(commitment: &Commitment, subject: Subject, salt: &Salt, bytes: &[u8]) -> bool {
    commit(subject, salt, bytes).0.0.ct_eq(&commitment.0.0).into()
}

/// Many commitments under one, so that a batch of questions is one entry and each question still opens alone.
#[derive(Clone, Debug, Default)]
pub struct Batch(MemoryTree);

impl Batch {
    /// The batch of these commitments, in this order.
    pub fn of<'c>(commitments: impl IntoIterator<Item = &'c Commitment>) -> Self {
        let mut levels = MemoryTree::new();
        commitments.into_iter().for_each(|commitment| levels.push(leaf_hash(&commitment.0.0)));
        Self(levels)
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.size()
    }

    /// The one commitment to all of them and to their number.
    #[must_use]
    pub fn commitment(&self) -> Commitment {
        batch(self.0.size(), &self.0.root())
    }

    /// What shows that the commitment at `index` is one of them; `None` if there is none at that index.
    #[must_use]
    pub fn prove(&self, index: u64) -> Option<Vec<Hash>> {
        prove_inclusion(&mut &self.0, index, self.0.size()).ok()
    }
}

/// Checks that `commitment` stands at `index` of the `size` commitments under `whole`.
///
/// # Errors
/// A [`ProofFault`] if it does not, or if nothing shows it.
pub fn verify_in_batch(
    whole: &Commitment,
    commitment: &Commitment,
    index: u64,
    size: u64,
    proof: &[Hash],
) -> Result<(), ProofFault> {
    let leaf = leaf_hash(&commitment.0.0);
    let root = root_from_inclusion(&leaf, index, size, proof)?;
    if batch(size, &root) == *whole { Ok(()) } else { Err(ProofFault::WrongRoot) }
}

fn batch(size: u64, root: &Hash) -> Commitment {
    let hash = Sha256::new_with_prefix(b"tacitly-commitment-batch-1\n").chain_update(size.to_be_bytes());
    Commitment(Hash(hash.chain_update(root.0).finalize().into()))
}
