//! What is fixed before a job runs.

use tacitly_core::PartyId;

use super::{Signers, Statement, distinct, ensure};
use crate::entry::digest::{Commitment, Digest, Fingerprint, LeafHash};
use crate::entry::field::record;
use crate::entry::number::{Amount, Bucket, Count, Time};
use crate::entry::refusal::Reason;
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
    /// What the parties of a job agreed, signed by all of them.
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
        /// Who takes part, with what, and learns what.
        parties: Vec<Participant>,
        /// Up to which limits.
        limits: Vec<Limit>,
        /// Until when.
        expires: Option<Time>,
        /// At which price.
        price: Option<PriceRule>,
    }
    check parties_distinct
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
        /// What it learns.
        learns: Vec<Code>,
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

fn parties_distinct(entry: &AgreementEntry) -> Result<(), Reason> {
    ensure(entry.parties.len() >= 2, "an agreement has at least two parties")?;
    ensure(distinct(entry.parties.iter().map(|party| party.party)), "a party stands twice")?;
    ensure(distinct(entry.limits.iter().map(|limit| &limit.of)), "a limit stands twice")
}

impl Statement for DatasetEntry {
    fn references(&self) -> Vec<LeafHash> {
        self.supersedes.into_iter().collect()
    }
}

impl Statement for AgreementEntry {
    fn signers(&self, by: PartyId) -> Signers {
        Signers::all(self.parties.iter().map(|party| party.party).chain([by]))
    }

    fn references(&self) -> Vec<LeafHash> {
        self.parties.iter().filter_map(|party| party.dataset).collect()
    }
}
