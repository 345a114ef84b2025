//! Words of parties about a job, each with its signature.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tacitly_core::PartyId;

use super::message::generated as pb;
use crate::store::Signature;

/// A party's word, with its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) bytes: Bytes,
    pub(super) signature: Signature,
}

/// Everybody's.
pub(super) type Words = BTreeMap<PartyId, Word>;

impl Word {
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    pub(super) fn read(word: &pb::Word) -> Option<(PartyId, Self)> {
        let party = word.party.parse().ok()?;
        Some((party, Self { bytes: word.bytes.clone(), signature: word.signature.parse().ok()? }))
    }

    pub(super) fn write(&self, party: PartyId) -> pb::Word {
        pb::Word { party: party.to_string(), bytes: self.bytes.clone(), signature: self.signature.to_string() }
    }
}

/// A digest over all words, in the order of the parties' names.
pub(super) fn digest_of(words: &Words) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (party, word) in words {
        digest.update(Sha256::digest(party.as_str()));
        digest.update(word.digest());
    }
    digest.finalize().into()
}
