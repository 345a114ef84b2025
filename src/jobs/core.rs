//! What every part of the engine works with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::machine::{Event, Standing, Task};
use super::places::Places;
use super::reserve::Reserve;
use super::running::RunningJobs;
use super::state::State;
use super::terms::JobTerms;
use crate::attest::Recorder;
use crate::attest::queries::Queries;
use crate::codes::{self, Error};
use crate::datasets::Datasets;
use crate::peers::Peers;
use crate::relay::Relay;
use crate::store::{Job, JobId, Signer, Store};

/// What the newest job is called.
const LAST: &str = "last";
/// How much of a number is needed at the least.
const SHORTEST: usize = 4;

/// How this party runs its jobs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This party.
    pub me: PartyId,
    /// Jobs with one peer that are not over.
    pub jobs_per_peer: usize,
    /// Proposals of one peer within an hour.
    pub proposals_per_hour: u64,
    /// Jobs that compute at the same time.
    pub running_jobs: usize,
    /// How long a job may run without a pause.
    pub deadline: Duration,
    /// How long nothing may move in an attempt while it waits for others.
    pub idle: Duration,
}

/// The rooms below, and what the engine's parts share. It decides nothing.
pub(super) struct Core {
    pub(super) settings: Settings,
    pub(super) store: Arc<Store>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) peers: Arc<Peers>,
    pub(super) relay: Arc<Relay>,
    pub(super) datasets: Arc<Datasets>,
    pub(super) running: RunningJobs,
    /// Questions under standing jobs, on record.
    pub(super) queries: Arc<Queries>,
    /// Material that is ready to be used.
    pub(super) reserve: Reserve,
    /// Places of attempts that compute.
    pub(super) places: Places,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    /// Steps that must not get lost, on their way to the machines.
    pub(super) events: UnboundedSender<(JobId, Event)>,
    /// Held while the end of a job goes on record.
    pub(super) closing_entries: tokio::sync::Mutex<()>,
}

impl Core {
    pub(super) fn me(&self) -> PartyId {
        self.settings.me
    }

    /// Has a step made that must not get lost: it is tried again while the store or the log takes nothing.
    pub(super) fn happen_at_last(&self, job: JobId, event: Event) {
        // While the engine is there somebody listens.
        let _listened = self.events.send((job, event));
    }

    /// Another party has broken the rules: the job ends here, and names it.
    pub(super) fn blame(&self, job: JobId, why: Error) {
        self.happen_at_last(job, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() });
    }

    /// Another party says that a job is over there.
    pub(super) fn over_elsewhere(&self, job: JobId, from: PartyId, state: State, why: Error) {
        let standing = Standing {
            state,
            attempt: 0,
            task: Task::None,
            free: false,
            receipts: BTreeMap::new(),
            left_out: BTreeSet::new(),
            failure: Some(why),
        };
        self.happen_at_last(job, Event::Standing { from, standing, answers: None });
    }

    /// The job of this number, in either of its forms.
    pub(super) async fn find(&self, id: &str) -> Result<Job, Error> {
        let named = match parse_id(id) {
            Ok(named) => named,
            Err(unknown) => self.find_part(id).await?.ok_or(unknown)?,
        };
        Ok(self.store.jobs().get(named).await?)
    }

    /// The one job that a person means by a part of its number, or by `last`.
    async fn find_part(&self, part: &str) -> Result<Option<JobId>, Error> {
        let jobs = self.store.jobs();
        if part == LAST {
            return Ok(jobs.like("").await?.first().copied());
        }
        let part = part.to_ascii_uppercase();
        if part.len() < SHORTEST || !part.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        match jobs.like(&part).await?[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            _ => Err(Error::new(codes::JOB_UNKNOWN, "several jobs have numbers like that; write more of it")),
        }
    }

    /// The job of this number, if `party` takes part in it; other parties' jobs do not exist for it.
    pub(super) async fn find_with(&self, id: &str, party: PartyId) -> Result<Job, Error> {
        let job = self.store.jobs().get(parse_id(id)?).await?;
        if job.party(party).is_some() && party != self.me() {
            Ok(job)
        } else {
            Err(Error::new(codes::JOB_UNKNOWN, "there is no such job with this peer"))
        }
    }

    /// Work that ends when the guard is dropped, or when the daemon stops.
    pub(super) fn spawn_until_dropped(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) -> DropGuard {
        let dropped = CancellationToken::new();
        let (until, closing) = (dropped.clone(), self.closing.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = until.cancelled() => {}
                () = closing.cancelled() => {}
            }
        });
        dropped.drop_guard()
    }
}

/// A job's number: as the ledger writes it, or as entries and certificates do, with 32 hexadecimal digits.
pub(super) fn parse_id(id: &str) -> Result<JobId, Error> {
    let of_entry = || tacitly_attestation::entry::Id::parse(id).ok().map(|id| JobId::from_bytes(id.0));
    let unknown = || {
        Error::new(
            codes::JOB_UNKNOWN,
            "a job's number has 26 letters and digits; its beginning or its end is enough if no other job has it, \
                                  and the newest job is called last",
        )
    };
    id.parse().ok().or_else(of_entry).ok_or_else(unknown)
}

/// What the ledger holds of a job's terms.
pub(super) fn terms_of(job: &Job) -> Result<JobTerms, Error> {
    JobTerms::from_terms(&job.terms).map_err(|error| Error::damaged(format!("the terms of job {}: {error}", job.id)))
}

/// Where the ledger says that a job stands.
pub(super) fn state_of(job: &Job) -> Result<State, Error> {
    job.state.parse().map_err(|_| Error::damaged("the ledger holds an unknown state"))
}

/// The other parties of a job.
pub(super) fn others(job: &Job, me: PartyId) -> BTreeSet<PartyId> {
    job.parties.iter().map(|party| party.party).filter(|party| *party != me).collect()
}

/// What entries about a job stand under.
pub(super) fn about_job(job: JobId) -> String {
    format!("job:{job}")
}

/// Why a job has no result here.
pub(super) fn without_result(job: &Job) -> Error {
    let text = match (&job.purged_at, State::Done.name() == job.state) {
        (Some(at), _) => format!("the result was purged here at {at}"),
        (None, false) => format!("the job is {}, so it has no result", job.state),
        (None, true) => {
            let receivers = job.parties.iter().filter(|party| party.receives);
            let names: Vec<String> = receivers.map(|party| party.party.to_string()).collect();
            format!("the result went to {}, we are no receiver", names.join(" and "))
        }
    };
    Error::new(codes::RESULT_NONE, text)
}
