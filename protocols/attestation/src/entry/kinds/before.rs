//! What is fixed before a job runs.

use tacitly_core::{PartyId, Value};

use super::meaning::{Meaning, Signers, distinct};
use crate::entry::digest::{Commitment, Digest, Fingerprint, LeafHash};
use crate::entry::field::{Field, record};
use crate::entry::number::{Amount, Bucket, Count, Time};
use crate::entry::refusal::{EntryRefusal, Place, Reason, ensure};
use crate::entry::text::{Code, Currency, Id, Period};

record! {
    /// The fingerprint of a data set, signed by its owner: what it was before anybody asked.
    pub struct DatasetEntry {
        /// Which data set.
        dataset: Id,
        /// Its salted fingerprint, by which one record can be opened alone.
        fingerprint: Fingerprint,
        /// Its number of rows, rounded up to a power of two; the exact number is under the fingerprint.
        rows: Bucket,
        /// The SHA-256 of its columns' names and types.
        schema: Digest,
        /// The days that its data describe.
        period: Option<Period>,
        /// A commitment to the lawful basis on which it is held.
        basis: Option<Commitment>,
        /// The entry of the fingerprint that this one replaces.
        supersedes: Option<LeafHash>,
    }
}

record! {
    /// What the parties of a job agreed: one note, byte for byte the same in the log of everyone who signed it. Its header
    /// names the leader, who is one of them, and the leader's log.
    pub struct AgreementEntry {
        /// Which job.
        job: Id,
        /// By which protocol.
        protocol: Code,
        /// In which version.
        version: Count,
        /// The hash of the job's [terms](tacitly_core::Terms).
        terms: Digest,
        /// For which purpose.
        purpose: Code,
        /// Who takes part, with what, and learns what; in the order of their names.
        parties: Vec<Participant>,
        /// Up to which limits.
        limits: Vec<Limit>,
        /// Until when.
        expires: Option<Time>,
        /// At which price.
        price: Option<PriceRule>,
    }
    check parties_in_order
}

record! {
    /// One party of a job.
    pub struct Participant {
        /// Who.
        party: PartyId,
        /// As what.
        role: Code,
        /// With which data set: the entry of its fingerprint.
        dataset: Option<LeafHash>,
        /// The SHA-256 of what it contributed when it signed the terms.
        contribution: Option<Digest>,
        /// The SHA-256 of what it offered when the job began.
        offer: Option<Digest>,
        /// What it learns.
        learns: Vec<Code>,
        /// Whether it signs.
        attendance: Attendance,
    }
}

/// Whether a party of a job signs its agreement. A kind of job that can begin without some of its parties names them as
/// absent, so that nobody takes a missing signature for a lost one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attendance {
    /// It signs. In the JSON the field is left out.
    #[default]
    Signs,
    /// It was not there: the job began without it.
    Absent,
}

impl Field for Attendance {
    fn read(place: &Place<'_>, value: &Value) -> Result<Self, EntryRefusal> {
        match value.as_text() {
            Some("absent") => Ok(Self::Absent),
            _ => place.refuse(Reason::Form("absent, or no such field")),
        }
    }

    fn absent() -> Option<Self> {
        Some(Self::Signs)
    }

    fn write(&self) -> Option<Value> {
        (*self == Self::Absent).then(|| "absent".into())
    }
}

record! {
    /// One limit.
    pub struct Limit {
        /// Of what.
        of: Code,
        /// The most that is allowed.
        most: Count,
    }
}

record! {
    /// What a unit costs.
    pub struct PriceRule {
        /// The unit.
        unit: Code,
        /// Its price.
        amount: Amount,
        /// In which currency.
        currency: Currency,
    }
}

impl AgreementEntry {
    /// The part of a party, if it has one.
    #[must_use]
    pub fn participant(&self, party: PartyId) -> Option<&Participant> {
        self.parties.iter().find(|participant| participant.party == party)
    }

    /// Whether it needs the signature of this party, which so has it in its log.
    #[must_use]
    pub fn is_signed_by(&self, party: PartyId) -> bool {
        self.participant(party).is_some_and(|participant| participant.attendance == Attendance::Signs)
    }

    /// The parties without which the job began.
    pub fn absent(&self) -> impl Iterator<Item = PartyId> {
        self.parties.iter().filter(|party| party.attendance == Attendance::Absent).map(|party| party.party)
    }
}

fn parties_in_order(entry: &AgreementEntry) -> Result<(), Reason> {
    ensure(entry.parties.len() >= 2, "an agreement has at least two parties")?;
    ensure(distinct(entry.parties.iter().map(|party| party.party)), "a party stands twice")?;
    ensure(entry.parties.is_sorted_by_key(|party| party.party), "the parties stand in the order of their names")?;
    let learned_once = entry.parties.iter().all(|party| distinct(&party.learns));
    ensure(learned_once, "what a party learns stands once")?;
    let present = entry.parties.len() - entry.absent().count();
    ensure(present >= 2, "an agreement is signed by at least two parties")?;
    ensure(distinct(entry.limits.iter().map(|limit| &limit.of)), "a limit stands twice")
}

impl Meaning for DatasetEntry {
    fn references(&self) -> Vec<LeafHash> {
        self.supersedes.into_iter().collect()
    }
}

impl Meaning for AgreementEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(self.is_signed_by(by), "the leader, whom the header names, is one of the parties and signs")
    }

    fn signers(&self, by: PartyId) -> Signers {
        let present = self.parties.iter().filter(|party| party.attendance == Attendance::Signs);
        Signers::all(present.map(|party| party.party).chain([by]))
    }

    fn references(&self) -> Vec<LeafHash> {
        self.parties.iter().filter_map(|party| party.dataset).collect()
    }
}
