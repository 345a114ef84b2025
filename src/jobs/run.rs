//! What a kind of job may touch of the world while an attempt runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tacitly_attestation::entry::{Code, LeafHash, StatementFields, StatementSubject};
use tacitly_core::{PartyId, Seed, TermsHash};
use tokio::sync::watch;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::collect::{Collector, Lasting, Need};
use super::consent::contributed;
use super::core::{Core, terms_of};
use super::earlier;
use super::machine::Quorum;
use super::part::{Inputs, MakeParty, PartsOver, Shown, Stop, Summary, Task};
use super::parts::Parts;
use super::rules::Rules;
use super::running::RunningJob;
use super::scope::Scope;
use super::state::State;
use super::statements;
use super::terms::JobTerms;
use crate::codes::Error;
use crate::datasets::{Datasets, Progress};
use crate::intake::{ColumnSpec, Selection, Spool, TypedColumns};
use crate::policy::Rule;
use crate::relay::{Circle, Membership};
use crate::session::Status;
use crate::store::{Dataset, Decision, Job, JobChange, JobParty};

/// The checkpoint that says that our side of the job is computed, and with what.
const SUMMARY: &str = "summary";

/// One attempt at a job, as its kind sees it. A clone is the same attempt.
#[derive(Clone)]
pub struct Run(Arc<Scope>);

/// Which rows of our dataset are read.
#[derive(Debug)]
pub enum ChosenRows {
    /// These.
    Here(Selection),
    /// Those that an earlier job gave us, by its number.
    ResultOf(String),
}

impl Run {
    pub(super) fn new(
        core: Arc<Core>,
        job: Job,
        quorum: Quorum,
        attempt: (u32, BTreeSet<PartyId>),
        work: RunningJob,
        (seed, make_party): (Seed, MakeParty),
    ) -> Result<Self, Error> {
        let terms = terms_of(&job)?;
        let ((attempt, with), seed) = (attempt, Arc::new(seed));
        let keys = terms.parties.iter().filter(|(party, _)| with.contains(party));
        let keys = keys.map(|(party, said)| (*party, said.key)).collect();
        let membership = Arc::new(core.relay.join(Circle { job: job.id, attempt, leader: job.leader, keys }));
        let signed = |party: &JobParty| match &party.decision {
            Decision::Signed(consent) => Some((party.party, contributed(consent).to_vec())),
            _ => None,
        };
        let (over_there, contributions) = (BTreeMap::new(), job.parties.iter().filter_map(signed).collect());
        Ok(Self(Arc::new(Scope {
            core,
            job,
            terms,
            quorum,
            attempt,
            with,
            work,
            seed,
            make_party,
            membership,
            over_there,
            contributions,
        })))
    }

    /// The same attempt, once all parties have said what they bring.
    pub(super) fn agreed(
        &self,
        over_there: BTreeMap<PartyId, PartsOver>,
        contributions: BTreeMap<PartyId, Vec<u8>>,
    ) -> Self {
        let Scope { core, job, terms, quorum, attempt, with, work, seed, make_party, membership, .. } = &*self.0;
        Self(Arc::new(Scope {
            core: core.clone(),
            job: job.clone(),
            terms: terms.clone(),
            quorum: *quorum,
            attempt: *attempt,
            with: with.clone(),
            work: work.clone(),
            seed: seed.clone(),
            make_party: make_party.clone(),
            membership: membership.clone(),
            over_there,
            contributions,
        }))
    }

    pub(super) fn membership(&self) -> &Membership {
        &self.0.membership
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(super) fn job(&self) -> &Job {
        &self.0.job
    }

    pub(super) fn collector(&self) -> Collector<'_> {
        let Scope { core, job, quorum, attempt, with, work, .. } = &*self.0;
        Collector { core, job, attempt: *attempt, with, quorum: *quorum, work }
    }

    /// What was agreed.
    #[must_use]
    pub fn terms(&self) -> &JobTerms {
        &self.0.terms
    }

    /// The hash of what was agreed.
    #[must_use]
    pub fn terms_hash(&self) -> TermsHash {
        self.0.job.terms_hash
    }

    /// This party.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.0.core.me()
    }

    /// The number of this attempt.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// The parties of this attempt, we among them. Parties that the job goes on without are missing.
    #[must_use]
    pub fn with(&self) -> &BTreeSet<PartyId> {
        &self.0.with
    }

    /// The other parties of this attempt.
    #[must_use]
    pub fn others(&self) -> BTreeSet<PartyId> {
        self.0.with.iter().copied().filter(|party| *party != self.me()).collect()
    }

    /// What a party added to the terms when it signed them: ours from the start, all others' once all offers are there.
    #[must_use]
    pub fn contribution(&self, party: PartyId) -> Option<&[u8]> {
        self.0.contributions.get(&party).map(Vec::as_slice)
    }

    /// Our rules for the other parties, as they are at this moment. They still allow the job.
    ///
    /// # Errors
    /// [`Stop::Failed`] with the refusal if they no longer do, or with an error of the store.
    pub async fn rules(&self) -> Result<BTreeMap<PartyId, Rule>, Stop> {
        Ok(Rules(&self.0.core).standing(&self.0.terms).await?)
    }

    /// Our datasets.
    #[must_use]
    pub fn datasets(&self) -> &Arc<Datasets> {
        &self.0.core.datasets
    }

    /// The dataset that we bring.
    ///
    /// # Errors
    /// [`Stop::Failed`] if the terms name none of ours, or with an error of the store.
    pub async fn dataset(&self) -> Result<Dataset, Stop> {
        let name = self.0.terms.dataset_of(self.me());
        let name = name.ok_or_else(|| Error::internal("the job takes no dataset of ours"))?;
        Ok(self.0.core.store.datasets().get(name).await?)
    }

    /// Columns of our dataset as values, of the rows chosen.
    ///
    /// # Errors
    /// [`Stop::Failed`] for a dataset that is not as it was registered, a column that is not there or not of its kind, or
    /// more than fits into memory.
    pub async fn columns(&self, specs: Vec<ColumnSpec>, selection: Selection) -> Result<TypedColumns, Stop> {
        let input = self.datasets().input(&self.dataset().await?)?;
        let (progress, _given_up) = Progress::of("reading our data", self.show_progress());
        let read = tokio::task::spawn_blocking(move || input.columns(&specs, &selection, &progress)).await;
        Ok(read.map_err(|_| Error::internal("reading ended unexpectedly"))??)
    }

    /// The rows of our dataset that an earlier job gave us, in memory: of an alignment in the order that all its parties
    /// share.
    ///
    /// # Errors
    /// [`Stop::Failed`] if there is no such job, if it gave us no rows of this dataset, or if the dataset has changed since.
    pub async fn input(&self, job: &str) -> Result<Selection, Stop> {
        let dataset = self.dataset().await?;
        let rows = earlier::rows_of(self.core(), job, &dataset).await?;
        let read = tokio::task::spawn_blocking(move || rows.out().selection(dataset.rows)).await;
        Ok(read.map_err(|_| Error::internal("reading the rows ended unexpectedly"))??)
    }

    /// Columns of our dataset as values, laid aside in blocks of so many rows, in the order of the rows chosen: larger
    /// than memory, and read as often as it takes.
    ///
    /// # Errors
    /// [`Stop::Failed`] as by [`Run::columns`] and [`Run::input`], for blocks that do not fit into memory, or a full disk.
    pub async fn spool(&self, specs: Vec<ColumnSpec>, rows: ChosenRows, block_rows: u32) -> Result<Spool, Stop> {
        let dataset = self.dataset().await?;
        let input = self.datasets().input(&dataset)?;
        let rows = match rows {
            ChosenRows::Here(selection) => Err(selection),
            ChosenRows::ResultOf(job) => Ok(earlier::rows_of(self.core(), &job, &dataset).await?),
        };
        let (progress, _given_up) = Progress::of("reading our data", self.show_progress());
        let read = tokio::task::spawn_blocking(move || match rows {
            Ok(rows) => input.spool_rows(&specs, rows.out(), block_rows, &progress),
            Err(selection) => Ok(input.spool(&specs, &selection, block_rows, &progress)?),
        });
        Ok(read.await.map_err(|_| Error::internal("reading ended unexpectedly"))??)
    }

    /// Puts on record, in words of this kind of job, what it states about something. It goes into the evidence of the job
    /// once that has ended well. What was stated before in the same words is not stated again.
    ///
    /// # Errors
    /// [`Stop::Failed`] for more statements than a job may make, or with an error of the store or the log.
    pub async fn state(
        &self,
        topic: Code,
        subject: StatementSubject,
        fields: StatementFields,
    ) -> Result<LeafHash, Stop> {
        Ok(statements::state(self.core(), self.job().id, topic, subject, fields).await?)
    }

    /// Randomness that is the same in every attempt: for a protocol that repeats itself byte for byte.
    #[must_use]
    pub fn seed_same(&self, label: &str) -> Seed {
        self.0.seed.same(label)
    }

    /// Randomness that no other attempt has.
    #[must_use]
    pub fn seed_fresh(&self, label: &str) -> Seed {
        self.0.seed_fresh(label)
    }

    /// Says a word under a label, of at most 31 bytes, to all other parties and returns everybody's. What a party said first
    /// under a label stands in all attempts, and so does who was late.
    ///
    /// Everybody is waited for; after `until`, the words that `need` asks for are enough, and those of the late are missing:
    /// ours, too, if it is we who were.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn collect(
        &self,
        label: &str,
        word: Vec<u8>,
        need: Quorum,
        until: Option<Duration>,
    ) -> Result<BTreeMap<PartyId, Bytes>, Stop> {
        let need = Need { words: need, until: until.map(|until| Instant::now() + until) };
        let words = self.collector().all(&format!("of kind {label}"), word, Lasting::Kept, need).await?;
        Ok(words.into_iter().map(|(party, word)| (party, word.bytes)).collect())
    }

    /// Shows what is being done, where no session runs.
    pub fn show(&self, words: &'static str) {
        self.0.work.show(words);
    }

    /// Shows how far something is that is no session, such as reading a file.
    #[must_use]
    pub fn show_progress(&self) -> watch::Sender<Status> {
        self.0.work.show_session()
    }

    /// Keeps bytes until the job ends, sealed, in place of those in the same slot.
    ///
    /// # Errors
    /// [`Stop::Failed`] with an error of the store.
    pub async fn keep(&self, slot: &str, bytes: &[u8]) -> Result<(), Stop> {
        Ok(self.0.core.store.secrets().put_checkpoint(self.0.job.id, &format!("kept {slot}"), bytes).await?)
    }

    /// What was kept in a slot.
    ///
    /// # Errors
    /// [`Stop::Failed`] with an error of the store.
    pub async fn kept(&self, slot: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Stop> {
        Ok(self.0.core.store.secrets().checkpoint(self.0.job.id, &format!("kept {slot}")).await?)
    }

    /// Leaves something under a name for the service that this job is once its set-up is over: sealed, in place of what was
    /// there, until the job is purged.
    ///
    /// # Errors
    /// [`Stop::Failed`] with an error of the store.
    pub async fn put_artefact(&self, name: &str, bytes: &[u8]) -> Result<(), Stop> {
        Ok(self.0.core.store.secrets().put_artefact(self.0.job.id, name, bytes).await?)
    }

    /// Shows figures of the job to our operator, from now on: what is known before it is over.
    ///
    /// # Errors
    /// [`Stop::Failed`] with an error of the store.
    pub async fn note(&self, figures: serde_json::Map<String, serde_json::Value>) -> Result<(), Stop> {
        let change = JobChange { summary: Some(figures.into()), ..JobChange::by("daemon") };
        let running = State::Running.name();
        self.0.core.store.jobs().advance(self.0.job.id, &[running], running, change).await?;
        Ok(())
    }

    /// Keeps a part of our result, which nobody can read before the job is done.
    ///
    /// # Errors
    /// [`Stop::Failed`] with an error of the store.
    pub async fn keep_result(&self, part: u32, bytes: &[u8]) -> Result<(), Stop> {
        Ok(self.0.core.store.secrets().put_result_part(self.0.job.id, part, bytes).await?)
    }

    /// Runs the parts of a phase that are not over at every party of theirs, in the order given, which is the same at all
    /// of them. Each is kept when it is over, so that no attempt runs it again. Returns the items of all, in this order.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn parts(&self, tasks: Vec<Task>, shown: Shown, inputs: Inputs) -> Result<Vec<u64>, Stop> {
        Parts { scope: &self.0, shown, inputs }.run(tasks).await
    }

    /// What our side has come to, if it has come to its end.
    pub(super) async fn summary(core: &Core, job: &Job) -> Result<Option<Summary>, Error> {
        let Some(bytes) = core.store.secrets().checkpoint(job.id, SUMMARY).await? else { return Ok(None) };
        let unreadable = |error: serde_json::Error| Error::damaged(format!("a summary cannot be read: {error}"));
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    /// Our side has come to its end.
    pub(super) async fn keep_summary(&self, summary: &Summary) -> Result<(), Stop> {
        let bytes = serde_json::to_vec(summary).map_err(|error| Error::internal(error.to_string()))?;
        Ok(self.0.core.store.secrets().put_checkpoint(self.0.job.id, SUMMARY, &bytes).await?)
    }
}
