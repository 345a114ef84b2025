//! What this party's operators and applications ask about jobs.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::unbounded_channel;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;

use super::core::{Core, Settings, others, parse_id, terms_of, without_result};
use super::ends::{Ends, OpenOutput, OpenedOutput};
use super::explain::explain;
use super::handler::JobsHandler;
use super::kind::{Kinds, Shape};
use super::machine::Event;
use super::places::Places;
use super::proposals::{Proposals, Submission};
use super::rendezvous::{Rendezvous, RendezvousRequest};
use super::reserve::Reserve;
use super::rows::StoredRows;
use super::rules::Rules;
use super::running::RunningJobs;
use super::serving::{QuestionsHandler, ServiceControl};
use super::shell::Shell;
use super::state::State;
use super::view::{EventView, JobView};
use super::waiters::Waiters;
use crate::attest::{Attestation, Profile};
use crate::codes::{self, Error};
use crate::datasets::{DatasetView, Datasets, RuleChange, key_spec, peer_named};
use crate::intake::Frame;
use crate::peers::{Background, Handler, Peers};
use crate::policy::{Receivers, Rule};
use crate::relay::Relay;
use crate::store::{EventFilter, Job, JobFilter, JobId, Signer, Store};

/// The most jobs in one page.
const MOST_IN_PAGE: u32 = 1000;

/// The rooms below.
pub struct Below {
    /// The ledger.
    pub store: Arc<Store>,
    /// The party's key.
    pub signer: Arc<dyn Signer>,
    /// What goes on record, and certificates of it.
    pub attestation: Arc<Attestation>,
    /// Partners.
    pub peers: Arc<Peers>,
    /// Members of jobs who are no partners of each other.
    pub relay: Arc<Relay>,
    /// What jobs may use.
    pub datasets: Arc<Datasets>,
}

/// All jobs of one party.
pub struct Jobs {
    core: Arc<Core>,
    kinds: Kinds,
    shell: Shell,
    proposals: Proposals,
    rendezvous: Rendezvous,
    handler: Arc<JobsHandler>,
    services: ServiceControl,
    questions: Arc<QuestionsHandler>,
    profile: Arc<Profile>,
}

/// A frame to take in.
#[derive(Clone, Debug)]
pub struct NewFrame {
    /// Key columns with their profiles.
    pub keys: Vec<(String, String)>,
    /// `error`, `first` or `all`; empty: error.
    pub duplicates: String,
    /// `error` or `skip`; empty: error.
    pub invalid: String,
    /// With whom its one job may be.
    pub peers: Vec<String>,
    /// What kind of job.
    pub kind: String,
    /// Who may receive.
    pub receivers: Vec<String>,
}

/// Which jobs to list, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Only those in this state; empty: all.
    pub state: String,
    /// Only those older than this one; empty: the newest.
    pub before: String,
    /// At most so many, and never more than a thousand; 0: a thousand.
    pub limit: u32,
}

impl Jobs {
    /// The jobs of a party over the rooms below, of these kinds.
    #[must_use]
    pub fn new(settings: Settings, below: Below, kinds: Kinds, background: &Background) -> Self {
        let Below { store, signer, attestation, peers, relay, datasets } = below;
        let profile = attestation.profile().clone();
        let (events, steps) = unbounded_channel();
        let core = Arc::new(Core {
            places: Places::new(settings.running_jobs),
            reserve: Reserve::new(store.clone()),
            queries: attestation.queries().clone(),
            settings,
            store,
            signer,
            recorder: attestation.recorder().clone(),
            peers,
            relay,
            datasets,
            running: RunningJobs::default(),
            tasks: background.tasks().clone(),
            closing: background.closing().clone(),
            events,
            closing_entries: tokio::sync::Mutex::default(),
        });
        let shell = Shell::start(core.clone(), kinds.clone(), steps);
        let waiters = Waiters::default();
        let proposals = Proposals::new(core.clone(), kinds.clone(), waiters.clone());
        let rendezvous = Rendezvous {
            core: core.clone(),
            kinds: kinds.clone(),
            shell: shell.clone(),
            proposals: proposals.clone(),
            waiters: waiters.clone(),
        };
        let handler = JobsHandler { core: core.clone(), shell: shell.clone(), proposals: proposals.clone(), waiters };
        let services = ServiceControl::new(core.clone(), kinds.clone(), shell.clone());
        let questions = Arc::new(QuestionsHandler::new(core.clone(), shell.clone()));
        Self { core, kinds, shell, proposals, rendezvous, handler: Arc::new(handler), services, questions, profile }
    }

    /// What answers other parties: about jobs, and under standing jobs.
    #[must_use]
    pub fn handlers(&self) -> [Arc<dyn Handler>; 2] {
        [self.handler.clone(), self.questions.clone()]
    }

    /// What operators and applications ask of services.
    #[must_use]
    pub fn services(&self) -> &ServiceControl {
        &self.services
    }

    /// The kinds of job that this party knows.
    #[must_use]
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Takes up every job that is not over, after a start.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn resume_all(&self) -> Result<(), Error> {
        self.end_restored().await?;
        self.core.datasets.frames().sweep().await?;
        for job in self.core.store.jobs().unfinished().await? {
            self.core.happen_at_last(job.id, Event::Started);
        }
        Ok(())
    }

    /// Ends the jobs that were not over in a backup when it was restored: in the store that was lost they may have
    /// gone on and released what they release, and a second release to another set must not happen.
    async fn end_restored(&self) -> Result<(), Error> {
        let Some(restored) = self.core.store.events().last_restore().await? else { return Ok(()) };
        for job in self.core.store.jobs().unfinished().await? {
            let first = EventFilter { job: Some(job.id), limit: Some(1), ..EventFilter::default() };
            let made_before =
                self.core.store.events().list(&first).await?.first().is_none_or(|event| event.seq < restored);
            if made_before {
                let why = Error::new(codes::RESTORED, codes::RESTORED.cause);
                let ended = Event::Ended { state: State::Failed, why, by: "daemon".to_owned() };
                self.shell.happen(job.id, ended).await?;
            }
        }
        Ok(())
    }

    /// Puts on record what a daemon that was killed, or a log that took nothing, left out.
    ///
    /// # Errors
    /// An error of the store or the log.
    pub async fn record_missing(&self) -> Result<(), Error> {
        Ends(&self.core).record_missing().await
    }

    /// Begins no more work and gives what runs some time to finish. What does not is taken up at the next start.
    pub async fn drain(&self, patience: Duration) {
        for job in self.core.running.all() {
            // A job that cannot make this step is not begun anew either: its timers and words end with `closing`.
            let _stopped = self.shell.happen(job, Event::Draining).await;
        }
        self.core.closing.cancel();
        self.core.tasks.close();
        if tokio::time::timeout(patience, self.core.tasks.wait()).await.is_err() {
            tracing::warn!("jobs are still running; they are taken up at the next start");
        }
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.core.closing.is_cancelled()
    }

    /// Returns once a drain begins.
    pub async fn draining(&self) {
        self.core.closing.cancelled().await;
    }

    /// How many jobs compute in this process.
    #[must_use]
    pub fn at_work(&self) -> u64 {
        self.core.places.computing() as u64
    }

    /// Proposes a job; `by` asks, here and below, for the audit trail. The same request key with the same request gives the
    /// same job.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`], [`codes::PEER_UNKNOWN`], [`codes::DATASET_UNKNOWN`], a refusal by our own rules,
    /// [`codes::LIMIT`], [`codes::REQUEST_KEY`] or an error of the store.
    pub async fn submit(&self, submission: Submission, by: &str) -> Result<JobView, Error> {
        self.view(&self.proposals.submit(submission, by).await?)
    }

    /// Asks for a job together with the programs of all other parties that ask for the same under the same name. Returns
    /// the job once it stands in our ledger.
    ///
    /// # Errors
    /// [`codes::TERMS_DIFFER`], naming the field and both values; [`codes::NOT_MET`] if somebody does not come in time;
    /// those of [`Jobs::submit`], on any side.
    pub async fn rendezvous(&self, meeting: RendezvousRequest) -> Result<JobView, Error> {
        self.view(&self.rendezvous.join(meeting).await?)
    }

    /// Lists jobs, oldest first, in pages from the newest on.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for an unknown state or a malformed number, or an error of the store.
    pub async fn list(&self, page: Page) -> Result<Vec<JobView>, Error> {
        let state = match page.state.as_str() {
            "" => None,
            name => {
                let unknown = |_| {
                    let states = State::ALL.map(State::name).join(", ");
                    Error::new(codes::BAD_REQUEST, format!("there is no state {name:?}; the states are {states}"))
                };
                Some(name.parse::<State>().map_err(unknown)?.name().to_owned())
            }
        };
        let before = if page.before.is_empty() { None } else { Some(parse_id(&page.before)?) };
        let limit = if page.limit == 0 { MOST_IN_PAGE } else { page.limit.min(MOST_IN_PAGE) };
        let filter = JobFilter { state, before, limit: Some(limit), ..JobFilter::default() };
        self.core.store.jobs().list(&filter).await?.iter().rev().map(|job| self.view(job)).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn get(&self, id: &str) -> Result<JobView, Error> {
        self.view(&self.core.find(id).await?)
    }

    /// Follows one job: its view now and after every change, at most ten a second, until it is at rest.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn watch(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<impl Stream<Item = Result<JobView, Error>> + Send + use<>, Error> {
        const PAUSE: Duration = Duration::from_millis(100);
        let id = self.core.find(id).await?.id;
        let (updates, stream) = tokio::sync::mpsc::channel(1);
        let this = self.clone();
        let mut changes = self.core.running.changes();
        tokio::spawn(async move {
            let mut last = None;
            loop {
                changes.mark_unchanged();
                let view = match this.core.store.jobs().get(id).await {
                    Ok(job) => this.view(&job),
                    Err(error) => Err(error.into()),
                };
                let at_rest = view.as_ref().map_or(true, |view| view.state.is_at_rest());
                if last.as_ref() != view.as_ref().ok() {
                    last = view.as_ref().ok().cloned();
                    if updates.send(view).await.is_err() {
                        return;
                    }
                }
                if at_rest {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
                // Progress moves without a step; a slow tick is enough for it.
                tokio::select! {
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                    () = updates.closed() => return,
                }
            }
        });
        Ok(ReceiverStream::new(stream))
    }

    /// What a person reads before approving.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`], [`codes::DATASET_UNKNOWN`] or an error of the store.
    pub async fn explain(&self, id: &str) -> Result<String, Error> {
        let job = self.core.find(id).await?;
        let terms = terms_of(&job)?;
        let local = self.proposals.local_of(&job).await?;
        Ok(explain(&terms, &**self.kinds.find(&terms.kind)?, &local))
    }

    /// A person approves a job that waits for one.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it does not wait for our decision, or an error of the store.
    pub async fn approve(&self, id: &str, by: &str) -> Result<JobView, Error> {
        let job = self.awaiting_decision(id).await?;
        let consent = Box::new(self.proposals.approve(&job).await?);
        self.shell.happen(job.id, Event::Approved { consent, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// A person refuses a job that waits for one; the leader reads the reason.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it does not wait for our decision, or an error of the store.
    pub async fn refuse(&self, id: &str, reason: &str, by: &str) -> Result<JobView, Error> {
        let job = self.awaiting_decision(id).await?;
        let words = if reason.is_empty() { "an approver refused" } else { reason };
        let why = Error::new(codes::REFUSED_BY_PERSON, words);
        self.shell.happen(job.id, Event::Ended { state: State::Refused, why, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Ends a job on all sides that is no service yet.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it is over or a service already, or an error of the store.
    pub async fn cancel(&self, id: &str, by: &str) -> Result<JobView, Error> {
        let me = self.core.me();
        let job = self.core.find(id).await?;
        if job.state.parse().is_ok_and(|state: State| state.is_over() || state.is_service()) {
            return Err(Error::new(codes::JOB_STATE, format!("the job is {} already", job.state)));
        }
        let why = Error::new(codes::CANCELLED, format!("cancelled by an operator of {me}")).with(me);
        self.shell.happen(job.id, Event::Ended { state: State::Cancelled, why, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Goes on with a suspended job, from any side.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it is not suspended, or an error of the store.
    pub async fn resume(&self, id: &str, by: &str) -> Result<JobView, Error> {
        let job = self.core.find(id).await?;
        if job.state != State::Suspended.name() {
            return Err(Error::new(codes::JOB_STATE, format!("the job is {}, not suspended", job.state)));
        }
        self.shell.happen(job.id, Event::Resumed { by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Takes a frame in as a dataset for one job, with rules for exactly that job. Returns the dataset and a report of counts
    /// for its owner. The dataset is forgotten some time after its job is over.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`], [`codes::BAD_REQUEST`] for settings that do not exist, [`codes::DATASET_INPUT`] with row
    /// and column, [`codes::PEER_UNKNOWN`] or an error of the store.
    pub async fn add_frame(&self, new: NewFrame, frame: Frame) -> Result<(DatasetView, String), Error> {
        let (core, kind) = (&self.core, self.kinds.find(&new.kind)?);
        let parties = |names: &[String]| names.iter().map(|name| peer_named(name)).collect::<Result<Vec<_>, _>>();
        let (peers, receivers) = (parties(&new.peers)?, parties(&new.receivers)?);
        if peers.is_empty() {
            return Err(Error::new(codes::BAD_REQUEST, "say with whom the job on this frame may be"));
        }
        let receivers = match &receivers[..] {
            [one] if *one == core.me() => Receivers::Us,
            [one] if peers == [*one] => Receivers::Peer,
            _ => Receivers::Any,
        };
        let rule = Rule { kinds: vec![kind.name().to_owned()], receivers, per_day: 1, ..Rule::default() };
        let spec = key_spec(&new.keys, &new.duplicates, &new.invalid)?;
        core.datasets.add_frame(frame, spec, &peers, rule).await
    }

    /// Sets our rule for a peer and a dataset, or takes it away with `json` empty. A job under way that it no longer
    /// allows ends here and there.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`], [`codes::PEER_UNKNOWN`], [`codes::DATASET_UNKNOWN`] or an error of the store.
    pub async fn set_rule(&self, dataset: &str, peer: &str, json: &str, by: &str) -> Result<RuleChange, Error> {
        let core = &self.core;
        let changed = core.datasets.set_rule(dataset, peer, json, by).await?;
        for job in core.store.jobs().unfinished().await? {
            let terms = terms_of(&job)?;
            let is_with_peer = others(&job, core.me()).iter().any(|party| party.as_str() == peer);
            if !is_with_peer || terms.dataset_of(core.me()) != Some(dataset) {
                continue;
            }
            if let Err(refusal) = Rules(core).standing(&terms).await
                && [codes::REFUSED_BY_RULE, codes::REFUSED_NO_RULE].contains(&refusal.code)
            {
                let ours_to_decide = job.state == State::Proposed.name() && job.leader != core.me();
                let state = if ours_to_decide { State::Refused } else { State::Failed };
                // A job that has come to its end meanwhile is left as it is.
                self.shell.happen(job.id, Event::Ended { state, why: refusal, by: "rule".to_owned() }).await?;
            }
        }
        Ok(changed)
    }

    /// Streams our result of a finished job as a file: rows of our dataset, or a document as its kind has written it.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`], [`codes::DATASET_CHANGED`], a column that a rule withholds, or an error of the store or the
    /// file; an error while reading comes as the stream's last item.
    pub async fn result(
        &self,
        id: &str,
        columns: Vec<String>,
        format: &str,
    ) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>, Error> {
        let core = &self.core;
        let job = core.find(id).await?;
        let parts = core.store.secrets().result_parts(job.id).await?.ok_or_else(|| without_result(&job))?;
        let terms = terms_of(&job)?;
        match self.kinds.find(&terms.kind)?.shape() {
            Shape::Number => {
                let text = "the job's result is a number, not rows; `tacitly job show` prints it";
                Err(Error::new(codes::RESULT_NONE, text))
            }
            Shape::Rows => {
                let name = terms.dataset_of(core.me()).ok_or_else(|| without_result(&job))?;
                let dataset = core.store.datasets().get(name).await?;
                let others: Vec<_> = others(&job, core.me()).into_iter().collect();
                let agreed = job.columns.as_deref().unwrap_or_default();
                let columns = core.datasets.columns_out(&dataset, &others, agreed, columns).await?;
                let rows = StoredRows::of(core.store.clone(), job.id, parts, core.datasets.memory()).await?;
                let written = core.datasets.write(&dataset, rows.out(), columns, format)?;
                Ok(Box::pin(written) as Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>)
            }
            Shape::Document => Ok(Box::pin(document(core.store.clone(), job.id, parts)) as _),
        }
    }

    /// Our rows of a finished job, counted from 0: ascending, or in the order that all sides share.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`] if there are none on this side, [`codes::JOB_UNKNOWN`] or an error of the store.
    pub async fn rows(&self, id: &str) -> Result<Vec<u32>, Error> {
        let job = self.core.find(id).await?;
        let parts = self.core.store.secrets().result_parts(job.id).await?;
        let parts = parts.ok_or_else(|| without_result(&job))?;
        if self.kinds.find(&job.kind)?.shape() != Shape::Rows {
            return Err(Error::new(codes::RESULT_NONE, "the job's result is no rows"));
        }
        let rows = StoredRows::of(self.core.store.clone(), job.id, parts, usize::MAX).await?;
        let all = tokio::task::spawn_blocking(move || rows.all()).await;
        all.map_err(|_| Error::internal("reading the rows ended unexpectedly"))?
    }

    /// Wipes the result of a job that is over, and the salt under the commitment to it; the ledger keeps that it was, and
    /// that it was wiped is on record when this returns.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it is not over, or an error of the store; an error of the log, and then the result is gone and
    /// its erasure goes on record at the next start.
    pub async fn purge(&self, id: &str, by: &str) -> Result<JobView, Error> {
        self.view(&Ends(&self.core).purge(id, by).await?)
    }

    /// Gives out what opens the commitment to our output of a job: its salt and the digest of the output, once it is on
    /// record that they are given out.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`], [`codes::RESULT_NONE`] if we received nothing or it was purged, [`codes::BAD_REQUEST`] for a
    /// reader or purpose that cannot be, or an error of the store or the log.
    pub async fn open_output(&self, asked: OpenOutput, by: &str) -> Result<OpenedOutput, Error> {
        Ends(&self.core).open_output(asked, by).await
    }

    /// The evidence certificate of a job: what came of it, or what was agreed if nothing came of it yet, with all that
    /// it rests on. Anybody verifies it offline.
    ///
    /// # Errors
    /// [`codes::EVIDENCE_NONE`] if nothing of the job is on record, [`codes::JOB_UNKNOWN`], or an error of the store or
    /// the log.
    pub async fn evidence(&self, id: &str) -> Result<Vec<u8>, Error> {
        let (main, related) = Ends(&self.core).on_record(id).await?;
        self.profile.certify(&main, &related).await
    }

    /// The audit trail after a line, oldest first: at most `limit` lines.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a malformed job number, or an error of the store.
    pub async fn events(&self, since: u64, job: &str, limit: u32) -> Result<Vec<EventView>, Error> {
        let job = if job.is_empty() { None } else { Some(parse_id(job)?) };
        let filter = EventFilter { job, after: Some(since), limit: Some(limit) };
        Ok(self.core.store.events().list(&filter).await?.into_iter().map(Into::into).collect())
    }

    fn view(&self, job: &Job) -> Result<JobView, Error> {
        let progress = self.core.running.progress(job.id).map(|(mut progress, computes)| {
            // Whatever an attempt is at, it will need those others to whom there is a link.
            let others = others(job, self.core.me());
            let is_away = |party: &&tacitly_core::PartyId| self.core.peers.link_is_down(**party);
            if let Some(party) = others.iter().filter(|_| computes).find(is_away)
                && !progress.stage.starts_with("link down")
            {
                progress.stage = format!("link down: waiting for {party}");
            }
            progress
        });
        JobView::of(job, self.kinds.find(&job.kind).ok().map(|kind| kind.shape()), progress)
    }

    async fn awaiting_decision(&self, id: &str) -> Result<Job, Error> {
        let job = self.core.find(id).await?;
        if job.leader != self.core.me() && job.state == State::Proposed.name() {
            return Ok(job);
        }
        Err(Error::new(codes::JOB_STATE, format!("the job is {} and does not wait for our decision", job.state)))
    }
}

/// A result as it is, part by part.
fn document(store: Arc<Store>, job: JobId, parts: u32) -> ReceiverStream<Result<Bytes, Error>> {
    let (pieces, stream) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        for part in 0..parts {
            let piece = store.secrets().result_part(job, part).await;
            let piece = piece.map(|bytes| Bytes::copy_from_slice(&bytes)).map_err(Error::from);
            let failed = piece.is_err();
            if pieces.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    ReceiverStream::new(stream)
}
