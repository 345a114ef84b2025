//! What is asked, under which agreement, and what comes of it.

use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::commitment::{SaltSeed, Subject, commit_all};
use tacitly_attestation::entry::{Code, Commitment, Id, LeafHash};
use tacitly_core::PartyId;

use zeroize::Zeroizing;

use super::super::message::Answers;
use super::super::recorder::unfit;
use crate::codes::Error;
use crate::store::{Charge, JobId};

/// How far the times of two parties' clocks may lie apart: a question that is older or younger than this is answered from
/// the record or not at all.
pub const SKEW: Duration = Duration::from_secs(600);

/// The reason in the entry about a question that would use more of a budget than is left.
pub const OVER_QUOTA: &str = "over-quota";

/// The reason in the entry about a question whose time is further from ours than [`SKEW`].
pub const STALE: &str = "stale";

/// Under what questions are asked and answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Under {
    /// The standing job.
    pub job: JobId,
    /// The entry of its agreement.
    pub agreement: LeafHash,
    /// What is counted when an answer is paid for.
    pub unit: Code,
}

impl Under {
    pub(super) fn id(&self) -> Id {
        Id(self.job.to_bytes())
    }
}

/// One question, or a batch of them that is on record as one.
pub struct Question {
    /// Who is asked.
    pub responder: PartyId,
    /// The key under which the caller asks: the same key gives the same answer, and is charged once.
    pub key: String,
    /// For which purpose.
    pub purpose: Code,
    /// The exact bytes of each question.
    pub questions: Vec<Bytes>,
    /// The exact bytes of the authorisation of the person concerned, if there is one. A commitment to it goes on record;
    /// the document stays with the caller.
    pub authorisation: Option<Bytes>,
    /// What the asker needs to read the answers: sealed beside the question, and never sent.
    pub kept: Zeroizing<Vec<u8>>,
    /// What it uses of our own budgets, all of it or nothing.
    pub charges: Vec<Charge>,
}

/// What came of a question, checked and on record on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number of the question, for its evidence.
    pub query: Id,
    /// The leaf of the question's entry.
    pub leaf: LeafHash,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a question.
#[derive(Clone, PartialEq, Eq)]
pub enum Outcome {
    /// One answer for each question, and what is counted for all.
    Answered {
        /// The answers, in the order of the questions.
        answers: Vec<Bytes>,
        /// How many units.
        units: u64,
    },
    /// The responder's rules forbade it, for this reason.
    Refused(Code),
    /// It could not be answered, for this reason.
    Failed(Code),
}

impl std::fmt::Debug for Outcome {
    /// Without the answers, which are nobody's to log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered { answers, units } => write!(f, "Answered({} answers, {units} units)", answers.len()),
            Self::Refused(reason) => write!(f, "Refused({reason})"),
            Self::Failed(reason) => write!(f, "Failed({reason})"),
        }
    }
}

/// What a responder decides about a question.
pub enum Decision {
    /// Answers it.
    Answer {
        /// One answer for each question, in their order.
        answers: Vec<Bytes>,
        /// How much is counted for all of them.
        units: u32,
        /// What they use of which budgets, all of it or nothing.
        charges: Vec<Charge>,
    },
    /// The rules forbid it, for this reason.
    Refuse(Code),
    /// It cannot be answered, for this reason.
    Fail(Code),
}

/// The commitment to all of these under this seed.
pub(super) fn committed(subject: Subject, seed: &[u8; 32], values: &[Bytes]) -> Result<Commitment, Error> {
    let commitment = commit_all(subject, &SaltSeed::new(*seed), values.iter().map(|value| &value[..]));
    commitment.ok_or_else(|| Error::internal("there is no commitment to nothing"))
}

/// Whether this is the commitment to the answers.
pub(super) fn commits(commitment: &Commitment, answers: &Answers) -> bool {
    committed(Subject::Answer, &answers.seed, &answers.answers).is_ok_and(|found| found == *commitment)
}

/// A code of ours.
pub(super) fn code(text: &str) -> Result<Code, Error> {
    Code::parse(text).map_err(unfit)
}

/// What entries about questions under a job stand under.
pub(super) fn subject(job: JobId) -> String {
    format!("job:{job}")
}
