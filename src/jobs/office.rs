//! What this party's operators and applications ask about jobs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tacitly_attestation::entry::Id;
use tacitly_core::PartyId;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::explain::{Facts, explain};
use super::limits::LIMITS;
use super::machine::Event;
use super::meet::Meetings;
use super::places::Places;
use super::plan::Room;
use super::running::RunningJobs;
use super::state::State;
use super::stored::StoredRows;
use super::terms::{JobTerms, Kind};
use super::view::{EventView, JobView};
use crate::attest::{Attestation, Profile, Recorder};
use crate::codes::{self, Trouble};
use crate::datasets::{Datasets, Names};
use crate::peers::{Background, PeerView, Peers};
use crate::store::{Created, EventFilter, Job, JobFilter, JobId, NewJob, Signer, Store};

/// How this party runs its jobs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This party.
    pub me: PartyId,
    /// Where peers reach it, if they can.
    pub listen: Option<SocketAddr>,
    /// Jobs with one peer that are not over.
    pub jobs_per_peer: usize,
    /// Proposals of one peer within an hour.
    pub proposals_per_hour: u64,
    /// Jobs that compute at the same time.
    pub running_jobs: usize,
    /// The largest set of distinct keys that one job takes.
    pub items_per_job: u64,
    /// Bytes that one job, or reading or writing a file, may use for rows.
    pub memory: usize,
    /// Bytes that frames may hold at the same time, 0 to take none.
    pub frame_memory: usize,
    /// Distinct keys up to which a job runs in one piece, and in one bucket above; 0: what `memory` allows.
    pub bucket_keys: u64,
    /// How long a job may run without a pause.
    pub deadline: Duration,
    /// Compute threads.
    pub threads: usize,
}

/// All jobs of one party.
pub struct Jobs {
    pub(super) settings: Settings,
    pub(super) store: Arc<Store>,
    pub(super) signer: Arc<dyn Signer>,
    pub(super) peers: Arc<Peers>,
    pub(super) datasets: Datasets,
    pub(super) meetings: Meetings,
    pub(super) running: RunningJobs,
    /// Places of attempts that compute.
    pub(super) places: Places,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
    /// Held from the check of a limit to the line in the ledger that counts against it.
    pub(super) admitting: tokio::sync::Mutex<()>,
    /// Held while the end of a job goes on record.
    pub(super) closing_entries: tokio::sync::Mutex<()>,
    /// Puts entries on record.
    pub(super) recorder: Arc<Recorder>,
    /// Whom we trust, which certificates say.
    pub(super) profile: Arc<Profile>,
    /// What one item costs this machine.
    per_item: Duration,
}

/// What an operator submits.
#[derive(Clone, Debug)]
pub struct Submission {
    /// A name of [`Kind`].
    pub kind: String,
    /// Our dataset.
    pub dataset: String,
    /// The other side.
    pub peer: String,
    /// Its dataset.
    pub peer_dataset: String,
    /// `us`, `peer` or `both`.
    pub receiver: String,
    /// Why.
    pub purpose: String,
    /// The same key submits once; empty for none.
    pub request_key: String,
}

/// How the daemon stands.
#[derive(Clone, Debug)]
pub struct StatusView {
    /// This party.
    pub party: PartyId,
    /// Where peers reach it.
    pub listen: Option<SocketAddr>,
    /// Its peers.
    pub peers: Vec<PeerView>,
    /// Jobs at work.
    pub running_jobs: u32,
    /// The pin of the TLS key in use.
    pub pin: String,
    /// When its certificate expires.
    pub certificate_expires: String,
    /// What an operator should look at soon.
    pub warnings: Vec<String>,
}

/// Bytes of an id as they usually are, while nothing has been read.
const USUAL_ID: u64 = 20;
/// The longest purpose that terms carry.
const MAX_PURPOSE: usize = 200;

impl Jobs {
    /// The jobs of a party over its store, its signature, its peers and its attestation. `per_item` is what one item costs this
    /// machine, measured.
    #[must_use]
    pub fn new(
        settings: Settings,
        store: Arc<Store>,
        signer: Arc<dyn Signer>,
        peers: Arc<Peers>,
        attestation: &Attestation,
        background: &Background,
        per_item: Duration,
    ) -> Self {
        Self {
            datasets: Datasets::new(
                store.clone(),
                attestation.recorder().clone(),
                Names { kinds: Kind::ALL.map(Kind::name).to_vec(), limits: LIMITS.to_vec() },
                settings.memory,
                settings.frame_memory,
            ),
            meetings: Meetings::default(),
            running: RunningJobs::default(),
            places: Places::new(settings.running_jobs),
            tasks: background.tasks().clone(),
            closing: background.closing().clone(),
            settings,
            recorder: attestation.recorder().clone(),
            profile: attestation.profile().clone(),
            store,
            signer,
            peers,
            admitting: tokio::sync::Mutex::default(),
            closing_entries: tokio::sync::Mutex::default(),
            per_item,
        }
    }

    /// Begins no more work and gives what runs some time to finish. What does not is taken up at the next start.
    pub async fn drain(self: &Arc<Self>, patience: Duration) {
        for job in self.running.all() {
            // A job that cannot make this step is not begun anew either: its timers and words end with `closing`.
            let _stopped = self.happen(job, Event::Draining).await;
        }
        self.closing.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            tracing::warn!("jobs are still running; they are taken up at the next start");
        }
    }

    /// Files.
    #[must_use]
    pub fn datasets(&self) -> &Datasets {
        &self.datasets
    }

    /// How the daemon stands.
    ///
    /// # Errors
    /// [`Trouble`] of the store.
    pub async fn status(&self) -> Result<StatusView, Trouble> {
        let expires = self.peers.identity().not_after();
        let days = (expires.as_second() - Timestamp::now().as_second()) / 86_400;
        let certificate =
            (days < 30).then(|| format!("our certificate expires in {days} days: run `tacitly identity rotate`"));
        let log = self.recorder.log().refusal().map(|refusal| refusal.to_string());
        Ok(StatusView {
            party: self.settings.me,
            listen: self.settings.listen,
            peers: self.peers.list().await?,
            running_jobs: u32::try_from(self.places.held()).unwrap_or(u32::MAX),
            pin: self.peers.identity().pin().to_string(),
            certificate_expires: expires.to_string(),
            warnings: certificate.into_iter().chain(log).collect(),
        })
    }

    /// Proposes a job; `by` asks, here and below, for the audit trail. The same request key with the same request gives the same job.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`], [`codes::PEER_UNKNOWN`], [`codes::DATASET_UNKNOWN`], a refusal by our own rule for the
    /// peer, [`codes::LIMIT`], [`codes::REQUEST_KEY`] or trouble of the store.
    pub async fn submit(self: &Arc<Self>, asked: Submission, by: &str) -> Result<JobView, Trouble> {
        let me = self.settings.me;
        let bad = |text: &str| Trouble::new(codes::BAD_REQUEST, text);
        let kind = Kind::of(&asked.kind).ok_or_else(|| bad("the kind is intersect, align or cardinality"))?;
        let peer: PartyId = asked.peer.parse().map_err(|_| bad("the peer's name is not a party name"))?;
        self.store.peer(peer).await?;
        let receivers = self.receivers(kind, peer, &asked.receiver)?;
        if asked.purpose.len() > MAX_PURPOSE || asked.purpose.chars().any(char::is_control) {
            return Err(bad("a purpose is one line of at most 200 bytes"));
        }
        if asked.peer_dataset.is_empty() || asked.peer_dataset.len() > 64 {
            return Err(bad("the peer's dataset has a name of 1 to 64 characters"));
        }
        let dataset = self.store.dataset(&asked.dataset).await?;
        let request_key = Some(asked.request_key.clone()).filter(|key| !key.is_empty());
        let _one_at_a_time = self.admitting.lock().await;
        let earlier = match &request_key {
            Some(key) => self.store.job_by_request_key(key).await?,
            None => None,
        };
        let id = earlier.as_ref().map_or_else(JobId::fresh, |job| job.id);
        let terms = JobTerms {
            job: id.to_string(),
            kind,
            proposer: me,
            approver: peer,
            proposer_dataset: asked.dataset.clone(),
            approver_dataset: asked.peer_dataset.clone(),
            proposer_rows: dataset.rows,
            key: dataset.keys.iter().map(|key| key.profile.clone()).collect(),
            receivers,
            purpose: asked.purpose,
        };
        let terms_bytes = terms.to_terms();
        if earlier.is_none() {
            self.admit(peer).await?;
            // Who may receive and why binds both owners: our own rule for the peer is asked as the peer's is.
            self.decide(&terms, &asked.dataset).await?;
        }
        let consent = self.consent(terms_bytes.hash(), Vec::new())?;
        let new = NewJob {
            id,
            kind: kind.name().to_owned(),
            leader: me,
            parties: super::agree::parties(&terms, &[(me, &consent)]),
            dataset: Some(asked.dataset),
            state: State::Proposed.name().to_owned(),
            terms: terms_bytes,
            failure: None,
            request_key,
            by: by.to_owned(),
        };
        let job = match self.store.create_job(new).await? {
            Created::New(job) => {
                tracing::info!(job = %job.id, kind = kind.name(), %peer, "proposed");
                self.happen_at_last(job.id, Event::Started);
                job
            }
            Created::Existing(job) => job,
        };
        self.view(&job)
    }

    /// Who receives a result of this kind, in words as our operator says it; sorted.
    pub(super) fn receivers(&self, kind: Kind, peer: PartyId, receiver: &str) -> Result<Vec<PartyId>, Trouble> {
        let bad = |text: &str| Trouble::new(codes::BAD_REQUEST, text);
        let me = self.settings.me;
        let mut receivers = match receiver {
            "us" => vec![me],
            "peer" => vec![peer],
            "both" => vec![me, peer],
            _ => return Err(bad("the receiver is us, peer or both")),
        };
        receivers.sort_unstable();
        if kind == Kind::Align && receivers.len() != 2 {
            return Err(bad("both sides receive the rows of an align job"));
        }
        Ok(receivers)
    }

    /// Lists jobs, oldest first; all, or those in one state.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for an unknown state, or trouble of the store.
    pub async fn list(&self, state: &str) -> Result<Vec<JobView>, Trouble> {
        let state = match state {
            "" => None,
            name => {
                let unknown = |_| {
                    let states = State::ALL.map(State::name).join(", ");
                    Trouble::new(codes::BAD_REQUEST, format!("there is no state {name:?}; the states are {states}"))
                };
                Some(name.parse::<State>().map_err(unknown)?.name().to_owned())
            }
        };
        let jobs = self.store.jobs(&JobFilter { state, ..JobFilter::default() }).await?;
        jobs.iter().rev().map(|job| self.view(job)).collect()
    }

    /// One job.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`] or trouble of the store.
    pub async fn get(&self, id: &str) -> Result<JobView, Trouble> {
        self.view(&self.find(id).await?)
    }

    /// Follows one job: its view now and after every change, at most ten a second, until it is settled.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`] or trouble of the store.
    pub async fn watch(
        self: &Arc<Self>,
        id: &str,
    ) -> Result<impl Stream<Item = Result<JobView, Trouble>> + Send + use<>, Trouble> {
        const PAUSE: Duration = Duration::from_millis(100);
        let id = self.find(id).await?.id;
        let (updates, stream) = tokio::sync::mpsc::channel(1);
        let this = self.clone();
        let mut changes = self.running.changes();
        tokio::spawn(async move {
            let mut last = None;
            loop {
                changes.mark_unchanged();
                let view = match this.store.job(id).await {
                    Ok(job) => this.view(&job),
                    Err(error) => Err(error.into()),
                };
                let settled = view.as_ref().map_or(true, |view| view.state.is_settled());
                if last.as_ref() != view.as_ref().ok() {
                    last = view.as_ref().ok().cloned();
                    if updates.send(view).await.is_err() {
                        return;
                    }
                }
                if settled {
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
    /// [`codes::JOB_UNKNOWN`], [`codes::DATASET_UNKNOWN`] or trouble of the store.
    pub async fn explain(&self, id: &str) -> Result<String, Trouble> {
        let job = self.find(id).await?;
        let terms = Self::terms(&job)?;
        let dataset = self.store.dataset(terms.dataset_of(self.settings.me)).await?;
        let rule = self.datasets.rule(&dataset.name, terms.peer_of(self.settings.me)).await?;
        let room = Room::of(&self.settings);
        let in_memory = dataset.rows <= room.rows_in_memory();
        let wish = room.wish(dataset.rows, USUAL_ID * dataset.rows, in_memory);
        let facts = Facts {
            me: self.settings.me,
            our_rows: dataset.rows,
            rule: rule.as_ref(),
            per_item: self.per_item,
            threads: self.settings.threads,
            whole: wish.whole,
            bucket: wish.bucket,
        };
        Ok(explain(&terms, &facts))
    }

    /// A person approves a job that waits for one.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it does not wait for our decision, or trouble of the store.
    pub async fn approve(self: &Arc<Self>, id: &str, by: &str) -> Result<JobView, Trouble> {
        let job = self.awaiting_decision(id).await?;
        let consent = Box::new(self.consent(job.terms_hash, Vec::new())?);
        self.happen(job.id, Event::Approved { consent, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// A person refuses a job that waits for one; the peer reads the reason.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it does not wait for our decision, or trouble of the store.
    pub async fn refuse(self: &Arc<Self>, id: &str, reason: &str, by: &str) -> Result<JobView, Trouble> {
        let job = self.awaiting_decision(id).await?;
        let words = if reason.is_empty() { "an approver refused" } else { reason };
        let why = Trouble::new(codes::REFUSED_BY_PERSON, words);
        self.happen(job.id, Event::Ended { state: State::Refused, why, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Ends a job on all sides.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it is over already, or trouble of the store.
    pub async fn cancel(self: &Arc<Self>, id: &str, by: &str) -> Result<JobView, Trouble> {
        let me = self.settings.me;
        let job = self.find(id).await?;
        if job.state.parse().is_ok_and(State::is_over) {
            return Err(Trouble::new(codes::JOB_STATE, format!("the job is {} already", job.state)));
        }
        let why = Trouble::new(codes::CANCELLED, format!("cancelled by an operator of {me}")).with(me);
        self.happen(job.id, Event::Ended { state: State::Cancelled, why, by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Goes on with a suspended job, from any side.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`] if it is not suspended, or trouble of the store.
    pub async fn resume(self: &Arc<Self>, id: &str, by: &str) -> Result<JobView, Trouble> {
        let job = self.find(id).await?;
        if job.state != State::Suspended.name() {
            return Err(Trouble::new(codes::JOB_STATE, format!("the job is {}, not suspended", job.state)));
        }
        self.happen(job.id, Event::Resumed { by: by.to_owned() }).await?;
        self.get(id).await
    }

    /// Streams our rows of a finished job as a file.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`], [`codes::DATASET_CHANGED`], a column that the rule withholds, or trouble of the store
    /// or the file; trouble while reading comes as the stream's last item.
    pub async fn result(
        &self,
        id: &str,
        columns: Vec<String>,
        format: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Trouble>> + Send + use<>, Trouble> {
        let job = self.find(id).await?;
        if self.store.result_parts(job.id).await?.is_none() {
            return Err(self.without_result(&job));
        }
        let terms = Self::terms(&job)?;
        if terms.kind == Kind::Cardinality {
            let text = "the job's result is a size, not rows; `tacitly job show` prints it";
            return Err(Trouble::new(codes::RESULT_NONE, text));
        }
        let dataset = self.store.dataset(terms.dataset_of(self.settings.me)).await?;
        let peer = terms.peer_of(self.settings.me);
        let columns = self.datasets.columns_out(&dataset, peer, columns).await?;
        let rows = StoredRows::of(self.store.clone(), job.id, self.settings.memory).await?;
        self.datasets.write(&dataset, rows.out(), columns, format)
    }

    /// Why a job has no result here.
    pub(super) fn without_result(&self, job: &Job) -> Trouble {
        let text = match (&job.purged_at, State::Done.name() == job.state) {
            (Some(at), _) => format!("the result was purged here at {at}"),
            (None, false) => format!("the job is {}, so it has no result", job.state),
            (None, true) => {
                let receivers = job.parties.iter().filter(|party| party.receives);
                let names: Vec<String> = receivers.map(|party| party.party.to_string()).collect();
                format!("the result went to {}, we are no receiver", names.join(" and "))
            }
        };
        Trouble::new(codes::RESULT_NONE, text)
    }

    /// The audit trail, oldest first.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a malformed job number, or trouble of the store.
    pub async fn events(&self, since: u64, job: &str) -> Result<Vec<EventView>, Trouble> {
        let job = if job.is_empty() { None } else { Some(Self::parse_id(job)?) };
        let filter = EventFilter { job, after: Some(since), ..EventFilter::default() };
        Ok(self.store.events(&filter).await?.into_iter().map(Into::into).collect())
    }

    pub(super) async fn find(&self, id: &str) -> Result<Job, Trouble> {
        Ok(self.store.job(Self::parse_id(id)?).await?)
    }

    pub(super) fn parse_id(id: &str) -> Result<JobId, Trouble> {
        // In entries and certificates it stands as 32 hexadecimal digits.
        let of_entry = || Id::parse(id).ok().map(|id| JobId::from_bytes(id.0));
        let unknown = || Trouble::new(codes::JOB_UNKNOWN, "a job's number has 26 letters and digits");
        id.parse().ok().or_else(of_entry).ok_or_else(unknown)
    }

    pub(super) fn terms(job: &Job) -> Result<JobTerms, Trouble> {
        JobTerms::from_terms(&job.terms).map_err(|error| Trouble::internal(error.to_string()))
    }

    pub(super) fn view(&self, job: &Job) -> Result<JobView, Trouble> {
        let live = self.running.live(job.id).map(|(mut live, computes)| {
            // Whatever an attempt is at, it will need the others.
            let others = job.parties.iter().map(|party| party.party).filter(|party| *party != self.settings.me);
            let cut_off = others.filter(|_| computes).find(|party| self.peers.link_up_since(*party).is_none());
            if let Some(party) = cut_off
                && !live.stage.starts_with("link down")
            {
                live.stage = format!("link down: waiting for {party}");
            }
            live
        });
        JobView::of(job, self.settings.me, live)
    }

    async fn awaiting_decision(&self, id: &str) -> Result<Job, Trouble> {
        let job = self.find(id).await?;
        if job.leader != self.settings.me && job.state == State::Proposed.name() {
            return Ok(job);
        }
        Err(Trouble::new(codes::JOB_STATE, format!("the job is {} and does not wait for our decision", job.state)))
    }
}
