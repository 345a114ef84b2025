//! Every parser of strangers' bytes as a function over bytes: the whole body of a fuzz target.
//!
//! None may panic, and what one reads must write back as the same bytes: a text with two readings, or two texts with
//! one reading, would let two verifiers disagree.

use crate::certificate;
use crate::checkpoint::SignedCheckpoint;
use crate::dataset::Opening;
use crate::entry::SignedEntry;
use crate::note::{Note, VerifierKey};
use crate::policy::Policy;
use crate::proof::LogProof;
use crate::roster::{RosterFingerprint, SignedRoster};
use crate::tree::{Tile, decode_bundle, encode_bundle};
use crate::witness::{AddCheckpoint, ForkEvidence};

/// The body of a fuzz target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const ALL: &[(&str, Target)] = &[
    ("note", note),
    ("key", key),
    ("checkpoint", checkpoint),
    ("entry", entry),
    ("proof", proof),
    ("policy", policy),
    ("request", request),
    ("fork", fork),
    ("certificate", certificate),
    ("opening", opening),
    ("tile", tile),
    ("bundle", bundle),
    ("roster", roster),
];

/// A signed note.
pub fn note(bytes: &[u8]) {
    if let Ok(read) = Note::parse(bytes) {
        assert_eq!(read.encode(), bytes);
    }
}

/// A verifier key.
pub fn key(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = VerifierKey::parse(text) {
        assert_eq!(read.to_string(), text);
    }
}

/// A signed checkpoint.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(read) = SignedCheckpoint::parse(bytes) {
        assert_eq!(read.encode(), bytes);
        assert_eq!(bytes.strip_prefix(read.checkpoint().to_string().as_bytes()).map(|rest| rest[0]), Some(b'\n'));
    }
}

/// A signed entry.
pub fn entry(bytes: &[u8]) {
    if let Ok(read) = SignedEntry::parse(bytes) {
        assert_eq!(read.encode(), bytes);
        let again = crate::entry::Entry::new(read.entry().header().clone(), read.entry().body().clone());
        assert_eq!(again.as_ref(), Ok(read.entry()));
    }
}

/// A tlog-proof.
pub fn proof(bytes: &[u8]) {
    if let Ok(read) = LogProof::parse(bytes) {
        assert_eq!(read.encode(), bytes);
    }
}

/// A policy: its canonical form is read as the same policy.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = Policy::parse(text) {
        assert_eq!(Policy::parse(read.canonical()).as_ref(), Ok(&read));
    }
}

/// A request to a witness.
pub fn request(bytes: &[u8]) {
    if let Ok(read) = AddCheckpoint::parse(bytes) {
        assert_eq!(read.encode(), bytes);
    }
}

/// Evidence of a fork.
pub fn fork(bytes: &[u8]) {
    if let Ok(read) = ForkEvidence::parse(bytes) {
        assert_eq!(read.encode(), bytes);
    }
}

/// A certificate. It has no reader that does not verify, so there is nothing to write back.
pub fn certificate(bytes: &[u8]) {
    if let Err(refusal) = certificate::verify(bytes, None) {
        assert!(!refusal.detail.is_empty());
    }
}

/// An opening.
pub fn opening(bytes: &[u8]) {
    if let Ok(read) = Opening::parse(bytes) {
        assert_eq!(read.encode().as_deref(), Ok(bytes));
    }
}

/// The path of a tile.
pub fn tile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = Tile::parse(text) {
        assert_eq!(read.to_string(), text);
    }
}

/// An entry bundle.
pub fn bundle(bytes: &[u8]) {
    if let Ok(entries) = decode_bundle(bytes) {
        assert_eq!(encode_bundle(entries).as_deref(), Ok(bytes));
    }
}

/// A roster, and the same bytes as a fingerprint that a person types.
pub fn roster(bytes: &[u8]) {
    if let Ok(read) = SignedRoster::parse(bytes) {
        assert_eq!(read.encode(), bytes);
        assert_eq!(RosterFingerprint::parse(&read.fingerprint().to_string()), Ok(read.fingerprint()));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = RosterFingerprint::parse(text) {
        assert_eq!(RosterFingerprint::parse(&read.to_string()), Ok(read));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Well-formed inputs of every kind, to start the mutations from.
    fn seeds() -> Vec<Vec<u8>> {
        let golden: serde_json::Value = serde_json::from_str(include_str!("../vectors/golden.json")).unwrap();
        let mut texts = Vec::new();
        collect(&golden, &mut texts);
        assert!(texts.len() > 20);
        texts
    }

    fn collect(json: &serde_json::Value, texts: &mut Vec<Vec<u8>>) {
        match json {
            serde_json::Value::String(text) => texts.push(text.clone().into_bytes()),
            serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            serde_json::Value::Object(map) => map.values().for_each(|item| collect(item, texts)),
            _ => {}
        }
    }

    fn all(bytes: &[u8]) {
        ALL.iter().for_each(|(_, parser)| parser(bytes));
    }

    #[test]
    fn every_known_text_goes_through_every_parser() {
        seeds().iter().for_each(|seed| all(seed));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn arbitrary_bytes_and_texts_never_panic(bytes: Vec<u8>, text in "[\\x00-\\x7f—é]{0,200}") {
            all(&bytes);
            all(text.as_bytes());
        }

        #[test]
        fn changed_cut_doubled_and_spliced_texts_never_panic(
            seed: prop::sample::Index,
            other: prop::sample::Index,
            from: prop::sample::Index,
            to: prop::sample::Index,
            byte: u8,
            how in 0..5,
        ) {
            let seeds = seeds();
            let (seed, other) = (seed.get(&seeds), other.get(&seeds));
            if seed.is_empty() || other.is_empty() {
                return Ok(());
            }
            let (at, to) = (from.index(seed.len()), to.index(other.len()));
            let mut changed = seed.clone();
            match how {
                0 => changed[at] = byte,
                1 => changed.truncate(at),
                2 => changed.insert(at, byte),
                3 => changed = [&seed[..at], &other[to..]].concat(),
                _ => changed = [&seed[..], &seed[at..]].concat(),
            }
            all(&changed);
        }
    }
}
