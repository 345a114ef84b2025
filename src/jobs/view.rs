//! A job as its operator sees it: the ledger's line and where it stands this moment.

use serde_json::Value;

use super::core::{state_of, terms_of};
use super::kind::Shape;
use super::running::JobProgress;
use super::state::State;
use crate::codes::Error;
use crate::store::{Event, Job, JobParty};

/// A job as its operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its number.
    pub id: String,
    /// What is computed.
    pub kind: String,
    /// Who leads it.
    pub leader: String,
    /// Who takes part, by name.
    pub parties: Vec<PartyView>,
    /// Why.
    pub purpose: String,
    /// Where it stands in the ledger.
    pub state: State,
    /// Where it stands this moment.
    pub progress: JobProgress,
    /// What its kind shows of it, as one JSON object.
    pub summary: String,
    /// Items of our result, once the job is done and if one came to us.
    pub result_items: Option<u64>,
    /// Why it ended otherwise than well.
    pub failure: Option<Error>,
    /// When it was proposed.
    pub created: String,
    /// When it ended, or nothing.
    pub finished: String,
    /// How often it was begun.
    pub attempt: u32,
    /// The canonical terms.
    pub terms: String,
    /// When its result was wiped, or nothing.
    pub purged: String,
    /// What its result is, if we know the kind.
    pub shape: Option<Shape>,
}

/// One party of a job, as our operator sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartyView {
    /// Its name.
    pub party: String,
    /// As what it takes part.
    pub role: String,
    /// Its own name for its dataset, or nothing.
    pub dataset: String,
    /// Whether it receives a result.
    pub receives: bool,
    /// `open`, `signed` or `refused`, as far as we know.
    pub decision: String,
    /// The job goes on without it.
    pub left_out: bool,
    /// It has said that its result is stored.
    pub has_result: bool,
    /// What went to it and came from it, once the job is done.
    pub bytes_out: u64,
    /// The other way.
    pub bytes_in: u64,
}

/// A line of the audit trail as its reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventView {
    /// Its number.
    pub sequence: u64,
    /// When.
    pub at: String,
    /// The job it is about, or nothing.
    pub job: String,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub kind: String,
    /// The circumstances, as JSON.
    pub detail: String,
    /// Whether somebody has changed it, or taken a line before it away.
    pub is_altered: bool,
}

impl JobView {
    pub(super) fn of(job: &Job, shape: Option<Shape>, progress: Option<JobProgress>) -> Result<Self, Error> {
        let (terms, state) = (terms_of(job)?, state_of(job)?);
        let party = |party: &JobParty| {
            let bytes = |side: &str| {
                let traffic = job.traffic.as_ref().map(|traffic| &traffic[party.party.as_str()][side]["bytes"]);
                traffic.and_then(Value::as_u64).unwrap_or_default()
            };
            PartyView {
                party: party.party.to_string(),
                role: terms.parties.get(&party.party).map(|party| party.role.clone()).unwrap_or_default(),
                dataset: party.dataset.clone().unwrap_or_default(),
                receives: party.receives,
                decision: party.decision.name().to_owned(),
                left_out: party.left_out,
                has_result: party.receipt.is_some(),
                bytes_out: bytes("sent"),
                bytes_in: bytes("received"),
            }
        };
        let parties: Vec<PartyView> = job.parties.iter().map(party).collect();
        // What went over stands in for progress once the job is over, also while it still has a word to say to a party
        // that is away.
        let kept = || JobProgress {
            bytes_out: parties.iter().map(|party| party.bytes_out).sum(),
            bytes_in: parties.iter().map(|party| party.bytes_in).sum(),
            ..JobProgress::default()
        };
        Ok(Self {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            leader: job.leader.to_string(),
            purpose: terms.purpose.clone(),
            state,
            progress: progress.filter(|_| !state.is_over()).unwrap_or_else(kept),
            parties,
            summary: job.summary.as_ref().map_or_else(|| "{}".to_owned(), ToString::to_string),
            result_items: job.result_items,
            failure: job.failure.as_ref().map(Error::from),
            created: job.created_at.to_string(),
            finished: job.finished_at.map(|at| at.to_string()).unwrap_or_default(),
            attempt: job.attempt,
            terms: String::from_utf8_lossy(&job.terms.canonical()).into_owned(),
            purged: job.purged_at.map(|at| at.to_string()).unwrap_or_default(),
            shape,
        })
    }
}

impl From<Event> for EventView {
    fn from(event: Event) -> Self {
        Self {
            sequence: event.seq,
            at: event.at.to_string(),
            job: event.job.map(|job| job.to_string()).unwrap_or_default(),
            actor: event.actor,
            kind: event.kind,
            detail: event.detail.to_string(),
            is_altered: event.is_altered,
        }
    }
}
