//! What happens while a job runs. Both sides record each question, each holding the other's signature, so that neither
//! can leave one out unseen.

use tacitly_core::PartyId;

use super::meaning::{Meaning, Signers};
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
    /// That a question was answered, signed by both: a unit that is paid for exists only so.
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
        /// What became of it.
        status: ServeStatus,
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
    ensure(entry.hits.is_none() || entry.hits_commitment.is_none(), "hits are told or committed to, not both")?;
    ensure(entry.hits.is_none() || entry.batch.get() >= MIN_BATCH_FOR_HITS, "the batch is too small to tell its hits")?;
    ensure(entry.hits.is_none_or(|hits| hits.get() <= entry.batch.get()), "more hits than questions")
}

impl Meaning for QueryEntry {}

impl Meaning for ServeEntry {
    fn signers(&self, by: PartyId) -> Signers {
        Signers::all([by, self.asker])
    }

    fn references(&self) -> Vec<LeafHash> {
        vec![self.query]
    }
}
