//! A job as its operator sees it: the ledger's line and where it stands this moment.

use tacitly_core::PartyId;

use super::running::Live;
use super::state::State;
use super::terms::JobTerms;
use crate::codes::Trouble;
use crate::store::{Event, Job};

/// A job as its operator sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct JobView {
    /// Its number.
    pub id: String,
    /// What is computed.
    pub kind: String,
    /// `proposer` or `approver`: what we are.
    pub role: String,
    /// The other side.
    pub peer: String,
    /// Our dataset.
    pub dataset: String,
    /// The peer's dataset.
    pub peer_dataset: String,
    /// Who receives: `us`, `peer` or `both`.
    pub receiver: String,
    /// Why.
    pub purpose: String,
    /// Where it stands in the ledger.
    pub state: State,
    /// Where it stands this moment.
    pub live: Live,
    /// Our distinct keys, once read.
    pub our_items: u64,
    /// The peer's, once it has said so.
    pub peer_items: u64,
    /// What we received, rows or a size; nothing if no result came to us.
    pub result_items: Option<u64>,
    /// Why it ended otherwise than well.
    pub failure: Option<Trouble>,
    /// When it was proposed.
    pub created: String,
    /// When it ended, or nothing.
    pub finished: String,
    /// How often it was begun.
    pub attempt: u32,
    /// The canonical terms.
    pub terms: String,
    /// What our own column looks like, if two sets met in nothing.
    pub hint: String,
    /// Into how many buckets it was cut, once it is done; 0 if it was not.
    pub buckets: u32,
    /// When its result was wiped, or nothing.
    pub purged: String,
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
}

impl JobView {
    pub(super) fn of(job: &Job, me: PartyId, live: Option<Live>) -> Result<Self, Trouble> {
        let terms = JobTerms::from_terms(&job.terms).map_err(|error| Trouble::internal(error.to_string()))?;
        let state: State = job.state.parse().map_err(|_| Trouble::internal("the ledger holds an unknown state"))?;
        let peer = terms.peer_of(me);
        let receiver = match (terms.receives(me), terms.receives(peer)) {
            (true, true) => "both",
            (true, false) => "us",
            _ => "peer",
        };
        let buckets = job.transcripts.as_ref().and_then(|report| report["buckets"].as_u64()).unwrap_or_default();
        // What the job's report kept of its last attempt stands in for progress once the job is not at work.
        let bytes = |side: &str| job.transcripts.as_ref().and_then(|report| report[side]["bytes"].as_u64());
        let kept = || Live {
            bytes_out: bytes("sent").unwrap_or_default(),
            bytes_in: bytes("received").unwrap_or_default(),
            ..Live::default()
        };
        Ok(Self {
            id: job.id.to_string(),
            kind: job.kind.clone(),
            role: if job.leader == me { "proposer" } else { "approver" }.to_owned(),
            peer: peer.to_string(),
            dataset: terms.dataset_of(me).to_owned(),
            peer_dataset: terms.dataset_of(peer).to_owned(),
            receiver: receiver.to_owned(),
            purpose: terms.purpose.clone(),
            state,
            live: live.unwrap_or_else(kept),
            our_items: job.our_items.unwrap_or_default(),
            peer_items: job.their_items.unwrap_or_default(),
            result_items: job.result_items,
            failure: job.failure.as_ref().map(Trouble::from),
            created: job.created_at.to_string(),
            finished: job.finished_at.map(|at| at.to_string()).unwrap_or_default(),
            attempt: job.attempt,
            terms: String::from_utf8_lossy(&job.terms.canonical()).into_owned(),
            purged: job.purged_at.map(|at| at.to_string()).unwrap_or_default(),
            buckets: u32::try_from(buckets).unwrap_or(u32::MAX),
            hint: job.transcripts.as_ref().and_then(|report| report["hint"].as_str()).unwrap_or_default().to_owned(),
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
        }
    }
}
