//! What comes of a job: results, contributions, payments, objections.

use tacitly_core::PartyId;

use super::meaning::{MAX_PARTIES, Meaning, Signers, distinct};
use crate::entry::digest::{Commitment, Digest, LeafHash, TranscriptDigest, TreeRoot};
use crate::entry::field::{choice, record};
use crate::entry::number::{Amount, ByteCount, Count, LogSize};
use crate::entry::refusal::{Reason, ensure};
use crate::entry::text::{Code, Currency, Id, Origin, Period};

record! {
    /// What came out of a job, as one party saw it and signed it in its own log.
    pub struct ResultEntry {
        /// Which job.
        job: Id,
        /// The entry of its agreement.
        agreement: LeafHash,
        /// How it ended.
        status: ResultStatus,
        /// A commitment to what this party got, if it got anything.
        output: Option<Commitment>,
        /// Whose salt that is.
        sharing: Option<Sharing>,
        /// What went over the link with each peer, of which a job has at most 127; what one side sent is what the other
        /// received.
        peers: Vec<PeerTranscript>,
        /// A commitment to an agreed measure of the result's worth.
        metric: Option<Commitment>,
    }
    check output_has_salt
}

record! {
    /// What went over the link with one peer.
    pub struct PeerTranscript {
        /// The peer.
        peer: PartyId,
        /// The digest of what was sent.
        sent: TranscriptDigest,
        /// Its bytes.
        sent_bytes: ByteCount,
        /// The digest of what was received.
        received: TranscriptDigest,
        /// Its bytes.
        received_bytes: ByteCount,
    }
}

choice! {
    /// How a job ended.
    pub enum ResultStatus: "done, failed or cancelled" {
        /// With its result.
        Done = "done",
        /// Without, through a fault.
        Failed = "failed",
        /// Without, because a party ended it.
        Cancelled = "cancelled",
    }
}

choice! {
    /// Whose salt a commitment to an output has.
    pub enum Sharing: "own or joint" {
        /// This party's: nobody else's commitment can be compared with it.
        Own = "own",
        /// One that all receivers chose together: equal commitments prove equal outputs.
        Joint = "joint",
    }
}

record! {
    /// How much each party contributed, such that anybody with the entries computes the same.
    pub struct ContributionEntry {
        /// Over which days.
        period: Period,
        /// From which stretches of which logs.
        ranges: Vec<LogRange>,
        /// The sums.
        units: Vec<UnitRow>,
        /// The SHA-256 of the formula.
        formula: Digest,
    }
    check ranges_in_order
}

record! {
    /// A stretch of a log.
    pub struct LogRange {
        /// Which log.
        log: Origin,
        /// The index of its first entry.
        from: LogSize,
        /// The index behind its last entry.
        until: LogSize,
        /// The root of the log's first `until` entries.
        root: TreeRoot,
    }
}

record! {
    /// The units that one party provided to another.
    pub struct UnitRow {
        /// Who answered.
        responder: PartyId,
        /// Who asked.
        asker: PartyId,
        /// From which data set: the entry of its fingerprint.
        dataset: Option<LeafHash>,
        /// What was counted.
        unit: Code,
        /// How much of it.
        count: Count,
    }
}

record! {
    /// Who pays whom, signed by all of them.
    pub struct SettlementEntry {
        /// For which contribution.
        contribution: LeafHash,
        /// In which currency.
        currency: Currency,
        /// The payments.
        payments: Vec<Payment>,
    }
    check payments_possible
}

record! {
    /// One payment.
    pub struct Payment {
        /// From whom.
        payer: PartyId,
        /// To whom.
        payee: PartyId,
        /// How much.
        amount: Amount,
    }
}

record! {
    /// An objection to an entry.
    pub struct DisputeEntry {
        /// Which entry.
        target: LeafHash,
        /// What is wrong with it.
        claim: Code,
        /// Commitments to what shows it.
        evidence: Vec<Commitment>,
    }
}

record! {
    /// That something an entry commits to was shown to somebody; not what.
    pub struct OpeningEntry {
        /// Which entry.
        target: LeafHash,
        /// To whom.
        to: PartyId,
        /// How many records or values.
        items: Count,
        /// For which purpose.
        purpose: Code,
    }
}

record! {
    /// That what stands behind earlier commitments was destroyed, so that they say nothing any more.
    pub struct ErasureEntry {
        /// Which entries.
        targets: Vec<LeafHash>,
        /// What was destroyed.
        erased: Erased,
    }
    check something_erased
}

choice! {
    /// What was destroyed.
    pub enum Erased: "salts, records or salts-and-records" {
        /// The salts.
        Salts = "salts",
        /// The records.
        Records = "records",
        /// Both.
        SaltsAndRecords = "salts-and-records",
    }
}

fn output_has_salt(entry: &ResultEntry) -> Result<(), Reason> {
    ensure(
        entry.output.is_some() == entry.sharing.is_some(),
        "an output says whose salt it has, and nothing else does",
    )?;
    ensure(distinct(entry.peers.iter().map(|peer| peer.peer)), "a peer stands twice")?;
    ensure(entry.peers.len() < MAX_PARTIES, "a job has at most 128 parties, so 127 peers")
}

fn ranges_in_order(entry: &ContributionEntry) -> Result<(), Reason> {
    ensure(!entry.ranges.is_empty(), "a contribution names the entries it is computed from")?;
    ensure(entry.ranges.iter().all(|range| range.from < range.until), "a range ends before it begins")?;
    ensure(distinct(entry.ranges.iter().map(|range| &range.log)), "a log stands twice")
}

fn payments_possible(entry: &SettlementEntry) -> Result<(), Reason> {
    ensure(!entry.payments.is_empty(), "a settlement has at least one payment")?;
    ensure(entry.payments.iter().all(|payment| payment.payer != payment.payee), "nobody pays himself")
}

fn something_erased(entry: &ErasureEntry) -> Result<(), Reason> {
    ensure(!entry.targets.is_empty(), "an erasure names at least one entry")
}

impl Meaning for ResultEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(self.peers.iter().all(|peer| peer.peer != by), "a party has no link with itself")
    }

    fn references(&self) -> Vec<LeafHash> {
        vec![self.agreement]
    }
}

impl Meaning for ContributionEntry {
    fn references(&self) -> Vec<LeafHash> {
        self.units.iter().filter_map(|row| row.dataset).collect()
    }
}

impl Meaning for SettlementEntry {
    fn signers(&self, by: PartyId) -> Signers {
        Signers::all(self.payments.iter().flat_map(|payment| [payment.payer, payment.payee]).chain([by]))
    }

    fn references(&self) -> Vec<LeafHash> {
        vec![self.contribution]
    }
}

impl Meaning for DisputeEntry {
    fn references(&self) -> Vec<LeafHash> {
        vec![self.target]
    }
}

impl Meaning for OpeningEntry {
    fn references(&self) -> Vec<LeafHash> {
        vec![self.target]
    }
}

impl Meaning for ErasureEntry {
    fn references(&self) -> Vec<LeafHash> {
        self.targets.clone()
    }
}
