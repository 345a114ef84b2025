//! Who takes part, and under which rules.

use tacitly_core::PartyId;

use super::meaning::{Meaning, Signers, distinct};
use crate::entry::digest::{ChainValue, Digest};
use crate::entry::field::record;
use crate::entry::number::{ChainNumber, Count, Milliseconds, Time};
use crate::entry::refusal::{Reason, ensure};
use crate::entry::text::{LegalName, Region, Registration, Software};
use crate::note::VerifierKey;

record! {
    /// Who a party is, signed by itself.
    pub struct PartyEntry {
        /// Its registered name.
        name: LegalName,
        /// Its register number.
        registration: Option<Registration>,
        /// Its keys: for entries and certificates, its log, its witness.
        keys: Vec<PartyKey>,
        /// The SHA-256 of its TLS certificate.
        certificate: Option<Digest>,
        /// The program it runs.
        software: Software,
        /// The SHA-256 of that program's file.
        build: Digest,
        /// Where it runs.
        region: Option<Region>,
    }
    check keys_in_order
}

record! {
    /// A key and when it may be used.
    pub struct PartyKey {
        /// The key.
        key: VerifierKey,
        /// From when.
        from: Time,
        /// Until when, if its end is known.
        until: Option<Time>,
    }
}

record! {
    /// That a key of the recorder's is no longer its own alone: what it signs from that time on counts no more. Signed with
    /// that key: whoever has it, its owner or a thief, shows by this entry that it is not to be trusted.
    pub struct RevocationEntry {
        /// The key; it may bear the name of a log or a witness elsewhere.
        key: VerifierKey,
        /// From when its signatures count no more.
        since: Time,
    }
}

record! {
    /// The rules that a consortium sets itself, signed by as many members as they say.
    pub struct PolicyEntry {
        /// The [digest](crate::policy::Policy::digest) of the policy's text.
        policy: Digest,
        /// The parties that may decide.
        members: Vec<PartyId>,
        /// How many of them must sign.
        needed: Count,
        /// For how long entries are kept.
        retention_days: Count,
        /// The SHA-256 of the formula by which contributions are weighed.
        formula: Option<Digest>,
        /// Where checkpoints are anchored.
        anchor: Option<AnchorRule>,
    }
    check quorum_possible
}

record! {
    /// Where and how often checkpoints are anchored.
    pub struct AnchorRule {
        /// The chain's number.
        chain: ChainNumber,
        /// The contract's address.
        contract: ChainValue,
        /// The SHA-256 of the contract's code.
        code: Digest,
        /// The longest time between two anchors.
        cadence_ms: Milliseconds,
    }
}

fn keys_in_order(entry: &PartyEntry) -> Result<(), Reason> {
    ensure(!entry.keys.is_empty(), "a party has at least one key")?;
    ensure(distinct(entry.keys.iter().map(|key| key.key.to_string())), "a key stands twice")?;
    let ordered = entry.keys.iter().all(|key| key.until.is_none_or(|until| key.from < until));
    ensure(ordered, "a key ends before it begins")
}

fn quorum_possible(entry: &PolicyEntry) -> Result<(), Reason> {
    ensure(distinct(&entry.members), "a member stands twice")?;
    let members = entry.members.len() as u64;
    ensure((1..=members).contains(&entry.needed.get()), "from 1 to all members must sign")
}

impl Meaning for PartyEntry {}

impl Meaning for RevocationEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(self.key.name() == by.as_str(), "a party revokes a key of its own")
    }
}

impl Meaning for PolicyEntry {
    fn signers(&self, by: PartyId) -> Signers {
        let needed = usize::try_from(self.needed.get()).unwrap_or(usize::MAX);
        Signers { among: self.members.iter().copied().collect(), needed, ..Signers::all([by]) }
    }
}
