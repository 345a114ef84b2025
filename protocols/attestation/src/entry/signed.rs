//! An entry with the signatures that make it a record.

use std::collections::BTreeSet;
use std::fmt;

use tacitly_core::PartyId;

use super::{Body, Entry, LeafHash, MAX_PARTIES, MalformedEntry};
use crate::hash::leaf_hash;
use crate::note::{BadSignature, KeyRing, Note, NoteSignature, Signer, VerifierKey};
use crate::tree::MAX_ENTRY_BYTES;

/// An entry as a log holds it: a signed note, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedEntry {
    entry: Entry,
    note: Note,
}

/// The signatures under an entry are not those that it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryFault {
    /// A signature in the name of a trusted key does not verify.
    #[error(transparent)]
    BadSignature(#[from] BadSignature),
    /// Somebody who must sign has not, or signed with a key that is not trusted.
    #[error("a signature that this kind of entry needs is missing, or its key is not trusted: {missing}")]
    Unsigned {
        /// The parties whose signatures are missing; of a quorum, all that have not signed.
        missing: String,
    },
    /// An agreement bears a signature of somebody who is not to sign it, or two in one name.
    #[error("signature {line} under the agreement is in the name of nobody who signs it, or of one who signed above")]
    Stray {
        /// Its line, from 1.
        line: usize,
    },
}

impl SignedEntry {
    /// The entry before anybody signed.
    #[must_use]
    pub fn new(entry: Entry) -> Self {
        let note = Note::of_text(entry.text());
        Self { entry, note }
    }

    /// Reads an entry with its signatures, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedEntry`]. The signatures are not verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedEntry> {
        if bytes.len() > MAX_ENTRY_BYTES {
            return Err(MalformedEntry::TooLong(bytes.len()));
        }
        let note = Note::parse(bytes)?;
        if note.signatures().len() > MAX_PARTIES {
            return Err(MalformedEntry::TooManySignatures);
        }
        Ok(Self { entry: Entry::parse(note.text())?, note })
    }

    /// Signs as the owner of `key`. The counterparty signs the same text: send it the entry, then take the line that it
    /// returns [with](Self::with) the others. The leaf is fixed only when all have signed.
    ///
    /// # Errors
    /// What the signer refuses.
    pub fn sign<S: Signer + ?Sized>(&mut self, key: &VerifierKey, signer: &S) -> Result<(), S::Error> {
        self.note.add(NoteSignature::sign(self.note.text(), key, signer)?);
        Ok(())
    }

    /// Adds a signature that somebody else made.
    ///
    /// # Errors
    /// [`MalformedEntry::TooLong`] or [`MalformedEntry::TooManySignatures`] if the entry would outgrow what a log can hold.
    pub fn with(mut self, signature: NoteSignature) -> Result<Self, MalformedEntry> {
        self.note.add(signature);
        if self.note.signatures().len() > MAX_PARTIES {
            return Err(MalformedEntry::TooManySignatures);
        }
        let length = self.encode().len();
        if length > MAX_ENTRY_BYTES { Err(MalformedEntry::TooLong(length)) } else { Ok(self) }
    }

    /// What it says.
    #[must_use]
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The signature lines, none of them verified.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        self.note.signatures()
    }

    /// The bytes that go into the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.note.encode()
    }

    /// The hash of those bytes as a leaf.
    #[must_use]
    pub fn leaf(&self) -> LeafHash {
        LeafHash(leaf_hash(&self.encode()))
    }

    /// Verifies the signatures and returns who signed. A party signs with a key that bears its name. Under an agreement
    /// stand the signatures of those who sign it and no others, as it stands in the logs of all of them.
    ///
    /// # Errors
    /// [`EntryFault`] if a signature of a trusted key does not verify, one that this kind needs is missing, or an
    /// agreement bears one too many.
    pub fn verify(&self, trusted: &KeyRing) -> Result<BTreeSet<PartyId>, EntryFault> {
        let verified = self.note.verify(trusted)?;
        let text_keys = verified.iter().filter(|verified| verified.time.is_none());
        let signed: BTreeSet<PartyId> = text_keys.filter_map(|verified| verified.key.name().parse().ok()).collect();
        let needed = self.entry.signers();
        if let Body::Agreement(_) = self.entry.body() {
            self.none_astray(&needed.all)?;
        }
        if needed.satisfied_by(&signed) {
            return Ok(signed);
        }
        let missing: Vec<&PartyId> = needed.all.union(&needed.among).filter(|party| !signed.contains(party)).collect();
        let missing = missing.iter().map(|party| party.as_str()).collect::<Vec<_>>().join(", ");
        Err(EntryFault::Unsigned { missing })
    }

    /// Whether the owner of `key` has signed, whoever else has.
    #[must_use]
    pub fn is_signed_by(&self, key: &VerifierKey) -> bool {
        let mut only = KeyRing::default();
        only.add(key.clone());
        self.note.verify(&only).is_ok_and(|verified| !verified.is_empty())
    }

    /// Refuses signatures in the name of somebody who is not among `signers`, and a second one in the same name.
    fn none_astray(&self, signers: &BTreeSet<PartyId>) -> Result<(), EntryFault> {
        let mut awaited: BTreeSet<&str> = signers.iter().map(PartyId::as_str).collect();
        let stray = self.signatures().iter().position(|signature| !awaited.remove(signature.name()));
        stray.map_or(Ok(()), |at| Err(EntryFault::Stray { line: at + 1 }))
    }
}

impl fmt::Display for SignedEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}
