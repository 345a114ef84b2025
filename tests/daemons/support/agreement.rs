//! What a party of a job says to all before anything runs, and the note about it that all sign: written by itself from
//! the terms and from all words, as every party does.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tacitly::jobs::wire as pb;
use tacitly::jobs::{JobTerms, PartyTerms};
use tacitly_attestation::entry::{
    AgreementEntry, Attendance, Code, Count, Digest, Entry, Header, Id, LeafHash, Nonce, Origin, Participant,
    SignedEntry, Time,
};
use tacitly_attestation::hash::Hash;
use tacitly_core::PartyId;

/// The kind of job between two; all others are toys.
pub(crate) const INTERSECT: &str = "intersect";

/// What a party of an intersection says of its set.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Offer {
    pub(crate) items: u64,
    pub(crate) wants_size: bool,
    pub(crate) capacity: Capacity,
}

/// What fits into its memory.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Capacity {
    pub(crate) whole: u64,
    pub(crate) bucket: u64,
}

impl Offer {
    /// Of a party that holds as many keys as anybody.
    pub(crate) fn of(items: u64) -> Self {
        Self { items, wants_size: false, capacity: Capacity { whole: 1 << 22, bucket: 1 << 20 } }
    }

    pub(crate) fn write(&self) -> Bytes {
        serde_json::to_vec(self).unwrap().into()
    }
}

/// All words under the label "offers".
pub(crate) struct Offers {
    words: BTreeMap<PartyId, pb::Word>,
    said: BTreeMap<PartyId, pb::OfferWord>,
}

impl Offers {
    pub(crate) fn read(words: Vec<pb::Word>) -> Self {
        let words: BTreeMap<PartyId, pb::Word> =
            words.into_iter().map(|word| (word.party.parse().unwrap(), word)).collect();
        let said = words.iter().map(|(party, word)| (*party, pb::OfferWord::decode(word.bytes.clone()).unwrap()));
        Self { said: said.collect(), words }
    }

    /// What a party says of its set, if it can be read.
    pub(crate) fn of(&self, party: PartyId) -> Option<Offer> {
        serde_json::from_slice(&self.said[&party].offer).ok()
    }

    /// The digest over all words.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (party, word) in &self.words {
            digest.update(Sha256::digest(party.as_str()));
            digest.update(Sha256::digest(&word.bytes));
        }
        digest.finalize().into()
    }

    /// What a party shows of what it was shown, over this signature line.
    pub(crate) fn shown(&self, terms: &JobTerms, signature: String) -> pb::AgreementWord {
        let leader = &self.words[&terms.leader];
        // A bit for each party, and all are there.
        let present = (1u8 << terms.parties.len()) - 1;
        pb::AgreementWord {
            present: vec![present].into(),
            leader: Sha256::digest(&leader.bytes).to_vec().into(),
            leader_signature: leader.signature.clone(),
            offers: self.digest().to_vec().into(),
            signature,
        }
    }

    /// The note without signatures.
    pub(crate) fn note(&self, terms: &JobTerms) -> SignedEntry {
        SignedEntry::new(Entry::new(self.header(terms), self.body(terms)).unwrap())
    }

    pub(crate) fn header(&self, terms: &JobTerms) -> Header {
        let opening = self.said[&terms.leader].opening.clone().unwrap();
        let drawn = |what: &str| -> [u8; 16] {
            let digest = Sha256::new_with_prefix(format!("tacitly-agreement-{what}-1\n"));
            let digest = digest.chain_update(terms.to_terms().hash().0).chain_update(self.digest()).finalize();
            digest[..16].try_into().unwrap()
        };
        let leaf = |leaf: &[u8]| LeafHash(Hash(leaf.try_into().unwrap()));
        Header {
            id: Id(drawn("id")),
            log: Origin::parse(&opening.log).unwrap(),
            by: terms.leader,
            t: Time::new(opening.time).unwrap(),
            nonce: Nonce(drawn("nonce")),
            rel: Some(&opening.party[..]).filter(|bytes| !bytes.is_empty()).map(leaf).into_iter().collect(),
        }
    }

    pub(crate) fn body(&self, terms: &JobTerms) -> AgreementEntry {
        let digest = |bytes: &[u8]| Digest(Hash(Sha256::digest(bytes).into()));
        let kind = terms.kind.as_str();
        let (protocol, version) = match kind {
            INTERSECT => ("psi-ecdh", 2),
            "add" => ("toy-add", 1),
            "gather" => ("toy-gather", 1),
            kind => panic!("nobody here knows {kind}"),
        };
        let participant = |(party, asked): (&PartyId, &PartyTerms)| {
            let said = &self.said[party];
            let contribution = said.consent.clone().unwrap().contribution;
            let dataset = Some(&said.dataset).filter(|note| !note.is_empty());
            let mut learns = Vec::new();
            if kind == INTERSECT {
                learns.push("set-sizes");
                if self.of(*party).is_some_and(|offer| offer.wants_size) {
                    learns.push("intersection-size");
                }
            }
            if asked.receives {
                learns.push(if kind == INTERSECT { "own-shared-rows" } else { "sum" });
            }
            Participant {
                party: *party,
                role: Code::parse(&asked.role).unwrap(),
                dataset: dataset.map(|note| SignedEntry::parse(note).unwrap().leaf()),
                contribution: Some(contribution).filter(|bytes| !bytes.is_empty()).map(|bytes| digest(&bytes)),
                offer: Some(digest(&[&said.salt[..], &said.offer].concat())),
                learns: learns.into_iter().map(|code| Code::parse(code).unwrap()).collect(),
                attendance: Attendance::Signs,
            }
        };
        let purpose = if terms.purpose.is_empty() { "unstated" } else { &terms.purpose };
        AgreementEntry {
            job: Id(terms.job.to_bytes()),
            protocol: Code::parse(protocol).unwrap(),
            version: Count::new(version).unwrap(),
            terms: Digest(Hash(terms.to_terms().hash().0)),
            purpose: Code::parse(purpose).unwrap(),
            parties: terms.parties.iter().map(participant).collect(),
            limits: Vec::new(),
            expires: None,
            price: None,
        }
    }
}
