//! A consortium's roster: its members and their signing keys, signed by its founder. Who has compared the
//! [fingerprint](SignedRoster::fingerprint) by another way knows all members' keys without having met each of them.
//!
//! ```text
//! tacitly-roster@v1
//! {"founder":"bank-a+…","members":["bank-a+…","shop-b+…"],"name":"east-banks","version":1}
//!
//! — bank-a …
//! ```

use std::fmt;

use data_encoding::BASE32;
use sha2::{Digest as _, Sha256};
use tacitly_core::PartyId;

use crate::entry::{
    Code, Count, EntryRefusal, MAX_PARTIES, MalformedEntry, Reason, Record, ensure, read_line, record, write_line,
};
use crate::note::{KeyRing, KeyUse, MalformedNote, Note, NoteSignature, Signer, VerifierKey};

/// The first line of every roster.
const SCHEMA: &str = "tacitly-roster@v1";

record! {
    /// The members of a consortium and their keys.
    pub struct Roster {
        /// What the consortium is called.
        name: Code,
        /// Later rosters have larger numbers.
        version: Count,
        /// The key that signs the roster. Its owner may be a member, and need not.
        founder: VerifierKey,
        /// The keys with which members sign, in the order of their names; each bears the name of its member.
        members: Vec<VerifierKey>,
    }
    check members_in_order
}

/// Bytes that are not a roster, or one that nobody signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRoster {
    /// The envelope is not a note.
    #[error("the roster cannot be read: {0}")]
    Note(#[from] MalformedNote),
    /// The first line names another schema.
    #[error("the first line of a roster is \"{SCHEMA}\"")]
    Schema,
    /// A field is missing or not of its form.
    #[error("the roster's second line: {0}")]
    Fields(#[from] MalformedEntry),
    /// The one signature under it is not the founder's, or does not verify.
    #[error("a roster bears one signature, which is its founder's and verifies")]
    Signature,
}

impl Roster {
    /// The most members.
    pub const MAX_MEMBERS: usize = MAX_PARTIES;

    /// What is signed.
    ///
    /// # Errors
    /// [`MalformedRoster::Fields`] if a field is not of its form, or if the members are fewer than two, more than 128 or
    /// not in the order of their names.
    pub fn text(&self) -> Result<String, MalformedRoster> {
        let mut map = std::collections::BTreeMap::new();
        self.write_fields(&mut map);
        let text = format!("{SCHEMA}\n{}", write_line(map));
        // Reading it back is the one check, so nothing can be written that is not read.
        Self::of_text(&text).map(|_| text)
    }

    fn of_text(text: &str) -> Result<Self, MalformedRoster> {
        let line = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n')).ok_or(MalformedRoster::Schema)?;
        let roster = read_line(line, Self::read_fields)?;
        roster.check().map_err(EntryRefusal::from).map_err(MalformedEntry::from)?;
        Ok(roster)
    }

    /// The members and their keys, in the order of their names.
    pub fn members(&self) -> impl Iterator<Item = (PartyId, &VerifierKey)> {
        self.members.iter().filter_map(|key| Some((key.name().parse().ok()?, key)))
    }

    /// The key of a member, if it is one.
    #[must_use]
    pub fn key_of(&self, party: PartyId) -> Option<&VerifierKey> {
        self.members.iter().find(|key| key.name() == party.as_str())
    }

    /// The members' keys, to verify what they sign.
    #[must_use]
    pub fn keys(&self) -> KeyRing {
        self.members.iter().cloned().collect()
    }

    /// Whether this one takes the place of `earlier`: of the same consortium and founder, with a larger version.
    #[must_use]
    pub fn replaces(&self, earlier: &Self) -> bool {
        (&self.name, &self.founder) == (&earlier.name, &earlier.founder) && self.version > earlier.version
    }
}

fn members_in_order(roster: &Roster) -> Result<(), Reason> {
    let named = |key: &VerifierKey| key.key_use() == KeyUse::Text && key.name().parse::<PartyId>().is_ok();
    ensure(roster.version.get() >= 1, "the first version of a roster is 1")?;
    ensure(named(&roster.founder), "the founder's key is one that signs texts (type 0x01) and bears a party's name")?;
    ensure(roster.members.len() >= 2, "a roster has at least two members")?;
    let right = roster.members.iter().all(named);
    ensure(right, "a member's key is one that signs texts (type 0x01) and bears the member's name")?;
    let ordered = roster.members.is_sorted_by(|a, b| a.name() < b.name());
    ensure(ordered, "members stand in the order of their names, each once")?;
    let mut publics: Vec<&[u8; 32]> = roster.members.iter().map(VerifierKey::public).collect();
    publics.sort_unstable();
    ensure(publics.is_sorted_by(|a, b| a < b), "two members have the same key")?;
    let own = roster.members.iter().find(|key| key.name() == roster.founder.name());
    ensure(own.is_none_or(|key| *key == roster.founder), "the founder is a member under another key")
}

/// A roster with its founder's signature, which was verified. Whether the founder is who it seems says the fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRoster {
    roster: Roster,
    fingerprint: RosterFingerprint,
    note: Note,
}

/// Why a roster cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterFault<E> {
    /// It is none, or the signer is not the founder.
    #[error(transparent)]
    Malformed(#[from] MalformedRoster),
    /// The signer failed.
    #[error("the roster cannot be signed")]
    Signer(#[source] E),
}

impl SignedRoster {
    /// The longest roster, in bytes: of 128 members with the longest names.
    pub const MAX_BYTES: usize = 16 << 10;

    /// Signs a roster as its founder.
    ///
    /// # Errors
    /// [`RosterFault`].
    pub fn sign<S: Signer + ?Sized>(roster: &Roster, signer: &S) -> Result<Self, RosterFault<S::Error>> {
        let mut note = Note::new(roster.text()?).map_err(MalformedRoster::Note)?;
        note.add(NoteSignature::sign(note.text(), &roster.founder, signer).map_err(RosterFault::Signer)?);
        // A key that is not the founder's is found out here.
        Ok(Self::parse(&note.encode())?)
    }

    /// Reads a roster, usually a stranger's, and verifies the founder's signature. What is read writes back as the same
    /// bytes.
    ///
    /// # Errors
    /// [`MalformedRoster`].
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedRoster> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MalformedEntry::TooLong(bytes.len()).into());
        }
        let note = Note::parse(bytes)?;
        let roster = Roster::of_text(note.text())?;
        let founder: KeyRing = [roster.founder.clone()].into_iter().collect();
        let signed = note.verify(&founder).map_err(|_| MalformedRoster::Signature)?;
        if signed.len() != 1 || note.signatures().len() != 1 {
            return Err(MalformedRoster::Signature);
        }
        let fingerprint = RosterFingerprint::of(note.text());
        Ok(Self { roster, fingerprint, note })
    }

    /// Who the members are.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// What members compare by another way before they trust it: on the telephone, in a meeting.
    #[must_use]
    pub fn fingerprint(&self) -> RosterFingerprint {
        self.fingerprint
    }

    /// The bytes to hand on.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.note.encode()
    }
}

/// A short text that stands for a whole roster, founder included, and can be read out: eight groups of four letters and
/// digits. Who wants another roster with the same one has to try 2^160 of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RosterFingerprint([u8; 20]);

/// The text is not a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a roster's fingerprint has eight groups of four: letters, and digits from 2 to 7")]
pub struct MalformedFingerprint;

impl RosterFingerprint {
    fn of(text: &str) -> Self {
        let digest = Sha256::new_with_prefix(b"tacitly-roster-fingerprint-1\n").chain_update(text).finalize();
        let mut short = [0; 20];
        short.copy_from_slice(&digest[..20]);
        Self(short)
    }

    /// Reads what a person types: hyphens and spaces are passed over, small letters are taken for capitals.
    ///
    /// # Errors
    /// [`MalformedFingerprint`].
    pub fn parse(text: &str) -> Result<Self, MalformedFingerprint> {
        let symbols: Vec<u8> =
            text.bytes().filter(|byte| !matches!(byte, b'-' | b' ')).map(|byte| byte.to_ascii_uppercase()).collect();
        let decoded = BASE32.decode(&symbols).ok().and_then(|bytes| bytes.try_into().ok());
        decoded.map(Self).ok_or(MalformedFingerprint)
    }
}

impl fmt::Display for RosterFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, symbol) in BASE32.encode(&self.0).chars().enumerate() {
            if at > 0 && at % 4 == 0 {
                f.write_str("-")?;
            }
            write!(f, "{symbol}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RosterFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RosterFingerprint({self})")
    }
}
