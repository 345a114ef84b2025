//! What happens while a job runs. Both sides record each question, each holding the other's signature, so that neither
//! can leave one out unseen.
//!
//! A question and its answer are one round trip: the asker's signed question travels in the request, and the responder's
//! entry names it by its leaf, so that under the answer the responder's signature suffices.

use tacitly_core::PartyId;

use super::meaning::Meaning;
use crate::entry::digest::{Commitment, LeafHash};
use crate::entry::field::{choice, record};
use crate::entry::number::{Bucket, Count};
use crate::entry::refusal::{Reason, ensure};
use crate::entry::text::{Code, Id};

/// The smallest batch whose number of hits an entry may tell: below it the number would be a mark on a person.
pub const MIN_BATCH_FOR_HITS: u64 = 16;

record! {
    /// A question, or a batch of them, signed by the one who asks before it is sent.
    pub struct QueryEntry {
        /// Under which job.
        job: Id,
        /// The entry of its agreement.
        agreement: LeafHash,
        /// Which question or batch.
        query: Id,
        /// The salted commitment to its exact bytes, or to a [batch](crate::commitment::Batch) of such commitments.
        commitment: Commitment,
        /// How many questions, rounded up to a power of two.
        batch: Bucket,
        /// Who is asked.
        responder: PartyId,
        /// A commitment to the authorisation of the person it concerns.
        authorisation: Option<Commitment>,
        /// For which purpose.
        purpose: Code,
    }
}

record! {
    /// What became of a question, signed by the one who answers before the answer is released. The asker has signed the
    /// question that it names, so a unit that is paid for exists only with the signatures of both.
    pub struct ServeEntry {
        /// Under which job.
        job: Id,
        /// The asker's entry of the question.
        query: LeafHash,
        /// Who asked.
        asker: PartyId,
        /// The same commitment as in the question.
        commitment: Commitment,
        /// The same batch as in the question.
        batch: Bucket,
        /// The same purpose as in the question.
        purpose: Code,
        /// What became of it.
        status: ServeStatus,
        /// Why it was not answered.
        reason: Option<Code>,
        /// The salted commitment to the exact bytes of the answer, or to a [batch](crate::commitment::Batch) of such
        /// commitments, one for each question: nothing else can have been answered.
        answer: Option<Commitment>,
        /// What is paid for.
        unit: Code,
        /// How much of it.
        units: Count,
        /// How many questions of the batch found something, if all may know that.
        hits: Option<Count>,
        /// A commitment to that number, if not.
        hits_commitment: Option<Commitment>,
    }
    check billable
}

choice! {
    /// What became of a question.
    pub enum ServeStatus: "served, refused or failed" {
        /// It was answered.
        Served = "served",
        /// The responder's rules forbade it.
        Refused = "refused",
        /// It could not be answered.
        Failed = "failed",
    }
}

fn billable(entry: &ServeEntry) -> Result<(), Reason> {
    let served = entry.status == ServeStatus::Served;
    ensure(served || entry.units.get() == 0, "only answered questions have units")?;
    ensure(served == entry.answer.is_some(), "an answered question has an answer, and no other")?;
    ensure(served != entry.reason.is_some(), "a question that was not answered has a reason, and no other")?;
    ensure(served || (entry.hits.is_none() && entry.hits_commitment.is_none()), "only answered questions have hits")?;
    ensure(entry.hits.is_none() || entry.hits_commitment.is_none(), "hits are told or committed to, not both")?;
    ensure(entry.hits.is_none() || entry.batch.get() >= MIN_BATCH_FOR_HITS, "the batch is too small to tell its hits")?;
    ensure(entry.hits.is_none_or(|hits| hits.get() <= entry.batch.get()), "more hits than questions")
}

impl Meaning for QueryEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(self.responder != by, "nobody asks himself")?;
        ensure(self.batch.get() > 0, "a batch has at least one question")
    }

    fn references(&self) -> Vec<LeafHash> {
        vec![self.agreement]
    }
}

impl Meaning for ServeEntry {
    fn check_recorder(&self, by: PartyId) -> Result<(), Reason> {
        ensure(self.asker != by, "nobody answers himself")
    }

    fn references(&self) -> Vec<LeafHash> {
        vec![self.query]
    }
}
