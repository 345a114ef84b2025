//! The ledger's values: a job, what makes one, and what may change in it.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tacitly_core::{PartyId, Seed, Terms, TermsHash};
use zeroize::Zeroizing;

use super::job_id::JobId;
use super::public_key::Signature;
use crate::codes::{self, Error};

/// A line of the ledger. It holds no secret; those are read by their own methods of the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// What is computed, such as `intersect`.
    pub kind: String,
    /// Who asked for it, and leads it.
    pub leader: PartyId,
    /// Its parties, by name; we are among them.
    pub parties: Vec<JobParty>,
    /// Our dataset, if it takes one.
    pub dataset: Option<String>,
    /// Where it stands; what the states are is not the store's to say.
    pub state: String,
    /// What was agreed; never changes.
    pub terms: Terms,
    /// The hash of the terms.
    pub terms_hash: TermsHash,
    /// What makes submitting it again harmless.
    pub request_key: Option<String>,
    /// How many items the result has, if it ended with one.
    pub result_items: Option<u64>,
    /// How often it was started.
    pub attempt: u32,
    /// The columns of our dataset that our rules let out when it was agreed; none before that.
    pub columns: Option<Vec<String>>,
    /// What its kind shows of it.
    pub summary: Option<Value>,
    /// What went over the sessions with each party.
    pub traffic: Option<Value>,
    /// Why it stands where it stands, if that is not as it should be.
    pub failure: Option<Failure>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When it ended; none for a job that may go on.
    pub finished_at: Option<Timestamp>,
    /// When its result was erased on request.
    pub purged_at: Option<Timestamp>,
}

/// One party of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobParty {
    /// Its name.
    pub party: PartyId,
    /// Its own name for the dataset that it brings, if it brings one.
    pub dataset: Option<String>,
    /// Whether it receives a result.
    pub receives: bool,
    /// What it has decided about the terms.
    pub decision: Decision,
    /// The job goes on without it.
    pub left_out: bool,
    /// Its word that its result is stored.
    pub receipt: Option<Signature>,
    /// Its signed entry about its data.
    pub entry: Option<Vec<u8>>,
}

/// What a party has decided about the terms of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing yet, as far as we know.
    Open,
    /// It takes part.
    Signed(Box<Consent>),
    /// It does not.
    Refused,
}

/// What changes of one party of a job; what is `None` or false stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartyChange {
    /// Whose.
    pub party: PartyId,
    /// What it has decided.
    pub decision: Option<Decision>,
    /// The job goes on without it from now on.
    pub left_out: bool,
    /// Its word that its result is stored.
    pub receipt: Option<Signature>,
    /// Its signed entry about its data.
    pub entry: Option<Vec<u8>>,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable code.
    pub code: String,
    /// Who caused it, if anybody did.
    pub who: Option<PartyId>,
    /// Where in the job.
    pub stage: String,
    /// What happened and how to mend it, for a person.
    pub text: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { code: error.code.name.to_owned(), who: error.who, stage: error.stage.clone(), text: error.text.clone() }
    }
}

/// What was noted, as an error again. A code that a newer version wrote is shown as internal.
impl From<&Failure> for Error {
    fn from(failure: &Failure) -> Self {
        Self {
            code: codes::by_name(&failure.code).unwrap_or(codes::INTERNAL),
            text: failure.text.clone(),
            who: failure.who,
            stage: failure.stage.clone(),
        }
    }
}

/// A job to note. `state`, `kind` and the like are the caller's words.
#[derive(Clone, Debug, PartialEq)]
pub struct NewJob {
    /// Its name; the leader draws it.
    pub id: JobId,
    /// What is computed.
    pub kind: String,
    /// Who asked for it, and leads it.
    pub leader: PartyId,
    /// Its parties, we among them.
    pub parties: Vec<JobParty>,
    /// Our dataset, if it takes one that we have.
    pub dataset: Option<String>,
    /// Its first state.
    pub state: String,
    /// What is agreed.
    pub terms: Terms,
    /// Why its first state is not as it should be.
    pub failure: Option<Failure>,
    /// What makes submitting it again harmless: our own applications' choice, never a peer's.
    pub request_key: Option<String>,
    /// Whom the audit trail names.
    pub by: String,
}

/// What came of noting a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is noted.
    New(Job),
    /// It was noted before: the same request, come again.
    Existing(Job),
}

/// What changes in a job together with its state. What is `None` stays, except `failure`, which always tells of the
/// new state.
pub struct JobChange {
    /// Whom the audit trail names.
    pub by: String,
    /// What else the audit trail says.
    pub note: Value,
    /// What changes of its parties, in this order.
    pub parties: Vec<PartyChange>,
    /// How often the job was started.
    pub attempt: Option<u32>,
    /// The seed, sealed and kept until the job ends. A job gets one, once.
    pub seed: Option<Seed>,
    /// A label and bytes, sealed and kept until the job ends, in place of those with the same label.
    pub checkpoint: Option<(String, Zeroizing<Vec<u8>>)>,
    /// Whether the seed and the checkpoints of its attempts are wiped: there are no more attempts.
    pub wipes_secrets: bool,
    /// The columns of our dataset that our rules let out.
    pub columns: Option<Vec<String>>,
    /// What its kind shows of it.
    pub summary: Option<Value>,
    /// What went over the sessions with each party.
    pub traffic: Option<Value>,
    /// Why the new state is not as it should be; `None` if it is.
    pub failure: Option<Failure>,
}

/// A party's word that it takes part: its signature under the terms and under what it adds to them.
#[derive(Clone, PartialEq, Eq)]
pub struct Consent {
    /// What the party adds, such as a public key for this job; often nothing. Its kind reads it.
    pub contribution: Vec<u8>,
    /// The signature, under the hash of the terms and the digest of the contribution.
    pub signature: Signature,
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consent({} bytes, {})", self.contribution.len(), self.signature)
    }
}

/// With what a job ends.
#[derive(Clone, Copy, Debug)]
pub enum JobResult {
    /// Nothing that we learn.
    Nothing,
    /// The parts `0` up to (not including) `parts` that
    /// [`SecretTable::put_result_part`](super::SecretTable::put_result_part) stored while the job ran.
    Parts {
        /// How many parts.
        parts: u32,
        /// How many items they have together.
        items: u64,
    },
}

/// Which jobs to list; all of them by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those with this peer.
    pub peer: Option<PartyId>,
    /// Only those on this dataset of ours.
    pub dataset: Option<String>,
    /// Only those older than this one (for the next page).
    pub before: Option<JobId>,
    /// At most so many.
    pub limit: Option<u32>,
}

impl JobChange {
    /// No change but that of the state, by `by`.
    #[must_use]
    pub fn by(by: impl Into<String>) -> Self {
        Self {
            by: by.into(),
            note: Value::Null,
            parties: Vec::new(),
            attempt: None,
            seed: None,
            checkpoint: None,
            wipes_secrets: false,
            columns: None,
            summary: None,
            traffic: None,
            failure: None,
        }
    }
}

impl Job {
    /// One of its parties.
    #[must_use]
    pub fn party(&self, party: PartyId) -> Option<&JobParty> {
        self.parties.iter().find(|one| one.party == party)
    }
}

impl PartyChange {
    /// A change of this party that changes nothing yet.
    #[must_use]
    pub fn of(party: PartyId) -> Self {
        Self { party, decision: None, left_out: false, receipt: None, entry: None }
    }
}

impl Decision {
    /// Its name in the ledger.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Signed(_) => "signed",
            Self::Refused => "refused",
        }
    }
}

impl Created {
    /// The job, new or not.
    #[must_use]
    pub fn into_job(self) -> Job {
        match self {
            Self::New(job) | Self::Existing(job) => job,
        }
    }
}
