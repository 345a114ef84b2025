//! Datasets: registered once, read for every job, written out for a receiver; and our rules about them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::PartyId;
use tokio::sync::Mutex;
use tokio_stream::Stream;

use super::fingerprint;
use super::frames::Frames;
use super::input::Input;
use super::openings::Openings;
use super::output::{self, RowsOut};
use super::settings::{blocking, format_of, json, key_spec, reading, stored};
use super::versions::Versions;
use super::view::{DatasetView, NewDataset, RuleChange, columns_of, peer_named};
use crate::attest::{Recorded, Recorder};
use crate::codes::{self, Error};
use crate::intake::{Budget, Frame, KeySpec, Output, Report, Source, Survey};
use crate::policy::{Approval, Change, Known, LimitName, Rule, difference};
use crate::store::{Dataset, NewFingerprint, Store, StoreError, check_dataset_name};

/// The kinds of job that rules may name, and the limits that these let a rule set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    /// The kinds.
    pub(crate) kinds: Vec<&'static str>,
    /// The limits.
    pub(crate) limits: Vec<LimitName>,
}

impl Names {
    /// What there is at this moment to a dataset with these columns.
    fn known<'a>(&'a self, columns: &'a [&'a str]) -> Known<'a> {
        Known { kinds: &self.kinds, columns, limits: &self.limits }
    }
}

/// The datasets of one party.
pub struct Datasets {
    store: Arc<Store>,
    versions: Arc<Versions>,
    frames: Frames,
    openings: Openings,
    names: Names,
    /// Bytes that reading or writing a file may use for rows.
    memory: usize,
    /// Held while rules change.
    ruling: Mutex<()>,
}

impl Datasets {
    /// The datasets in a store, put on record by `recorder`. Rules about them may name what is in `names`; reading or
    /// writing a file may use `memory` bytes, and all frames together `frame_memory`.
    pub(crate) fn new(
        store: Arc<Store>,
        recorder: Arc<Recorder>,
        names: Names,
        memory: usize,
        frame_memory: usize,
    ) -> Self {
        let versions = Arc::new(Versions::new(store.clone(), recorder));
        Self {
            frames: Frames::new(store.clone(), versions.clone(), frame_memory, memory),
            openings: Openings::new(store.clone(), versions.clone(), memory),
            store,
            versions,
            names,
            memory,
            ruling: Mutex::default(),
        }
    }

    /// Tables in memory, each for one job.
    #[must_use]
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// What opens records and lawful bases.
    #[must_use]
    pub fn openings(&self) -> &Openings {
        &self.openings
    }

    /// Registers a dataset and puts its fingerprint on record: the entry stands in our log, durable, when this returns.
    /// Returns the dataset and a report of counts for its owner.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for settings that do not exist or a basis that cannot be read, [`codes::DATASET_INPUT`] with
    /// file, line and column, [`codes::DATASET_EXISTS`], [`codes::PEER_UNKNOWN`], or an error of the store or the log. If the
    /// log refuses, the dataset is there and goes on record before the first job with it.
    pub async fn add(&self, new: NewDataset, by: &str) -> Result<(DatasetView, String), Error> {
        let (view, report) = self.register(new, by).await?;
        self.attest(&view.name).await?;
        Ok((view, report))
    }

    /// Takes a frame in as a dataset for one job with `peers`, under a rule for each that lets all its columns out and is otherwise
    /// the one given. The dataset is forgotten some time after its job is over. Returns it and a report of counts for its
    /// owner.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`], [`codes::DATASET_INPUT`] with row and column, [`codes::PEER_UNKNOWN`], or an error of the store
    /// or the log.
    pub(crate) async fn add_frame(
        &self,
        frame: Frame,
        spec: KeySpec,
        peers: &[PartyId],
        rule: Rule,
    ) -> Result<(DatasetView, String), Error> {
        let (dataset, report) = self.frames.add(frame, spec, peers, rule).await?;
        Ok((self.view(&dataset).await?, report))
    }

    /// Forgets a dataset; its file stays. Its seeds and salts are destroyed, and that is on record when this returns.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_IN_USE`] or an error of the store; an error of the log, and then the
    /// dataset is gone and its erasure goes on record at the next start.
    pub async fn remove(&self, name: &str, by: &str) -> Result<(), Error> {
        let erased = self.versions.destroy(name, by).await?;
        self.frames.let_go(name);
        self.versions.recorder().enter(erased).await
    }

    /// The entry about the present version of a dataset, which goes on record now if it has not yet. None if the dataset
    /// was added before fingerprints were taken.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], or an error of the store or the log.
    pub(crate) async fn attest(&self, name: &str) -> Result<Option<Recorded>, Error> {
        self.versions.attest(name).await
    }

    /// Registers a file: reads it, takes its fingerprint, checks every row by the rules given, and remembers its SHA-256.
    /// Of the document with the lawful basis only a commitment is kept. Returns the dataset and a report of counts for
    /// its owner.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for settings that do not exist or a basis that cannot be read, [`codes::DATASET_INPUT`] with
    /// file, line and column, [`codes::DATASET_EXISTS`], [`codes::PEER_UNKNOWN`] or an error of the store.
    async fn register(&self, new: NewDataset, by: &str) -> Result<(DatasetView, String), Error> {
        // What needs no file is checked before one is read, which may take long.
        let before = self.before(&new.name, new.replace).await?;
        let source = Source { format: format_of(&new)?, path: new.path };
        let spec = key_spec(&new.keys, &new.duplicates, &new.invalid)?;
        let period = fingerprint::period(&new.period)?;
        let peers = new.allow.iter().map(|peer| peer_named(peer)).collect::<Result<BTreeSet<_>, _>>()?;
        for peer in &peers {
            self.store.parties().key_of(*peer).await?;
        }
        let (memory, folder) = (self.memory, self.folder());
        let (Survey { inspection: inspected, report }, fingerprint, source, spec) = blocking(move || {
            let basis = if new.basis.as_os_str().is_empty() { None } else { Some(fingerprint::basis(&new.basis)?) };
            let budget = Budget::of_bytes(memory);
            let (survey, fingerprint) = fingerprint::survey(&source, &spec, Some(&folder), &budget)?;
            Ok((survey, NewFingerprint { period, basis, ..fingerprint }, source, spec))
        })
        .await?;
        let format = json(&source.format)?;
        let stored = stored(new.name, source.path, format, &inspected, &spec)?;
        let dataset = self.store.datasets().add(stored, &fingerprint, new.replace, by).await?;
        if before.is_some() && new.confirms_rules {
            self.store.rules().confirm(&dataset.name, by).await?;
        }
        let opened = self.open_to(&dataset, &peers, by).await?;
        tracing::info!(dataset = dataset.name, rows = dataset.rows, distinct = report.distinct, "registered");
        let mut told = report.to_string();
        if let Some(warning) = nobody(&report) {
            told += &format!("\nwarning: {warning}");
        }
        if let Some(before) = before {
            told += &self.what_stays(&before, &dataset, &opened).await?;
        }
        for peer in peers.difference(&opened) {
            if let Some(rule) = self.rule(&dataset.name, *peer).await? {
                told += &format!("\nnote: {peer} has a rule, and keeps it: {rule}");
            }
        }
        Ok((self.view(&dataset).await?, told))
    }

    /// The dataset that is to be replaced, if there is one.
    async fn before(&self, name: &str, replace: bool) -> Result<Option<Dataset>, Error> {
        check_dataset_name(name)?;
        match self.store.datasets().get(name).await {
            Ok(_) if !replace => Err(StoreError::already_exists("dataset", name).into()),
            Ok(before) => Ok(Some(before)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What the owner should know who replaces a dataset: rules stay, whatever the new file holds.
    async fn what_stays(&self, before: &Dataset, now: &Dataset, opened: &BTreeSet<PartyId>) -> Result<String, Error> {
        let mut told = String::new();
        let key = |dataset: &Dataset| {
            let keys = dataset.keys.iter().map(|key| format!("{}={}", key.column, key.profile));
            keys.collect::<Vec<_>>().join(", ")
        };
        if before.keys != now.keys {
            told += &format!("\nnote: the key was {} and is now {}", key(before), key(now));
        }
        let rules = self.store.rules().all(Some(&now.name)).await?;
        let kept = rules.iter().map(|rule| rule.peer).filter(|peer| !opened.contains(peer));
        let peers: Vec<String> = kept.map(|peer| peer.to_string()).collect();
        if rules.iter().any(|rule| rule.is_of_another_file) {
            told += &format!(
                "\nnote: the rules were given for the file that was there before: a person decides each job, and none is \
                 proposed with {name}, until an approver has looked and runs `tacitly dataset allow {name} PEER`",
                name = now.name
            );
        } else if !peers.is_empty() {
            told += &format!(
                "\nnote: the rules stay as they were, for {}; `tacitly dataset allow {name} PEER` changes one, `tacitly \
                 dataset deny {name} PEER` takes it away",
                peers.join(", "),
                name = now.name
            );
        }
        Ok(told)
    }

    /// All datasets with their rules.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn list(&self) -> Result<Vec<DatasetView>, Error> {
        let mut views = Vec::new();
        for dataset in self.store.datasets().all().await? {
            match self.view(&dataset).await {
                Ok(view) => views.push(view),
                // It was forgotten since, as frames are when their job is over.
                Err(error) if error.code == codes::DATASET_UNKNOWN => {}
                Err(error) => return Err(error),
            }
        }
        Ok(views)
    }

    /// Gives each of these peers that has no rule the widest one of this moment, and returns those. A rule that is there
    /// says what its owner decided, and is not widened by a word that does not name what it widens.
    async fn open_to(
        &self,
        dataset: &Dataset,
        peers: &BTreeSet<PartyId>,
        by: &str,
    ) -> Result<BTreeSet<PartyId>, Error> {
        let _one_change_at_a_time = self.ruling.lock().await;
        let columns = columns_of(dataset);
        let rule = Rule::open(&self.names.known(&columns));
        let mut opened = BTreeSet::new();
        for peer in peers {
            if self.rule(&dataset.name, *peer).await?.is_none() {
                self.store.rules().set(&dataset.name, *peer, json(&rule)?, None, by).await?;
                opened.insert(*peer);
            }
        }
        Ok(opened)
    }

    /// Changes the rule for a peer as JSON says, or takes it away if `json` is empty. What the JSON omits stays as it
    /// was; a first rule begins as the widest one of this moment.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a change that cannot be read or that could never allow anything,
    /// [`codes::DATASET_UNKNOWN`], [`codes::PEER_UNKNOWN`] or an error of the store.
    pub(crate) async fn set_rule(&self, dataset: &str, peer: &str, json: &str, by: &str) -> Result<RuleChange, Error> {
        let peer = peer_named(peer)?;
        let known = self.store.datasets().get(dataset).await?;
        self.store.parties().key_of(peer).await?;
        let _one_change_at_a_time = self.ruling.lock().await;
        if json.is_empty() {
            return match self.store.rules().remove(dataset, peer, by).await {
                Ok(()) => Ok(RuleChange::Removed),
                Err(StoreError::NotFound { .. }) => Ok(RuleChange::None),
                Err(error) => Err(error.into()),
            };
        }
        let columns = columns_of(&known);
        let known = self.names.known(&columns);
        let change = Change::read(json, &known).map_err(|why| Error::new(codes::BAD_REQUEST, why))?;
        if let Some(moment) = change.expires().filter(|moment| *moment <= self.store.now()) {
            let text = format!("the rule would have ended at {moment}, which is over; name a later moment, or none");
            return Err(Error::new(codes::BAD_REQUEST, text));
        }
        let old = self.store.rules().get(dataset, peer).await?.map(|stored| rule_of(stored.rule)).transpose()?;
        let rule = change.merge(old.as_ref().unwrap_or(&Rule::open(&known)));
        let stored = self.store.rules().set(dataset, peer, super::settings::json(&rule)?, rule.expires, by).await?;
        let difference = old.map_or_else(Vec::new, |old| difference(&old, &rule, &self.names.limits));
        Ok(RuleChange::Set { json: stored.rule.to_string(), difference })
    }

    /// The columns of a dataset that our rules for all of these parties let out.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) async fn columns_allowed(&self, dataset: &Dataset, parties: &[PartyId]) -> Result<Vec<String>, Error> {
        let mut columns: Vec<String> = columns_of(dataset).into_iter().map(str::to_owned).collect();
        for party in parties {
            let allowed = self.rule(&dataset.name, *party).await?.unwrap_or_default().columns;
            columns.retain(|column| allowed.contains(column));
        }
        Ok(columns)
    }

    /// The columns of a result of a job with these parties: those asked for, or all that our rules for all of them let out,
    /// let out when the job was agreed (`agreed`), and the file still has. Without a rule there are none.
    ///
    /// # Errors
    /// [`codes::REFUSED_BY_RULE`] with the first column that a rule withholds or withheld, or if no column is left.
    pub(crate) async fn columns_out(
        &self,
        dataset: &Dataset,
        parties: &[PartyId],
        agreed: &[String],
        asked: Vec<String>,
    ) -> Result<Vec<String>, Error> {
        let there = columns_of(dataset);
        let all = || there.iter().map(|column| (*column).to_owned()).collect();
        let mut columns: Vec<String> = if asked.is_empty() { all() } else { asked.clone() };
        if let Some(withheld) = asked.iter().find(|column| !agreed.contains(column)) {
            let text = format!("the rules withheld column {withheld:?} when the job was agreed");
            return Err(Error::new(codes::REFUSED_BY_RULE, text));
        }
        columns.retain(|column| agreed.contains(column));
        for party in parties {
            let allowed = self.rule(&dataset.name, *party).await?.unwrap_or_default().columns;
            if let Some(withheld) = asked.iter().find(|column| !allowed.contains(column)) {
                let text = format!("the rule for {party} withholds column {withheld:?} from results");
                return Err(Error::new(codes::REFUSED_BY_RULE, text));
            }
            columns.retain(|column| allowed.contains(column));
            if columns.is_empty() {
                let text = format!("no rule for {party} lets a column of {} into results", dataset.name);
                return Err(Error::new(codes::REFUSED_BY_RULE, text));
            }
        }
        Ok(columns)
    }

    /// Bytes that reading or writing a file may use for rows.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }

    /// Our rule for a peer, if it has one. One that was given for another file than the dataset now is decides nothing by
    /// itself: a person does.
    pub(crate) async fn rule(&self, dataset: &str, peer: PartyId) -> Result<Option<Rule>, Error> {
        let Some(stored) = self.store.rules().get(dataset, peer).await? else { return Ok(None) };
        let rule = rule_of(stored.rule)?;
        let approval = if stored.is_of_another_file { Approval::Manual } else { rule.approval };
        Ok(Some(Rule { approval, ..rule }))
    }

    /// Refuses to propose to these parties with a dataset whose file was replaced by somebody who may not set rules, until an
    /// approver has looked: whoever proposes is asked by no approver of ours.
    ///
    /// # Errors
    /// [`codes::REFUSED_BY_RULE`] or an error of the store.
    pub(crate) async fn require_confirmed(&self, dataset: &str, parties: &BTreeSet<PartyId>) -> Result<(), Error> {
        let rules = self.store.rules().all(Some(dataset)).await?;
        let of_another = rules.iter().find(|rule| rule.is_of_another_file && parties.contains(&rule.peer));
        let Some(rule) = of_another else { return Ok(()) };
        let text = format!(
            "the file of {dataset} was replaced since its rules were given; an approver looks at it and runs `tacitly \
             dataset allow {dataset} {}`",
            rule.peer
        );
        Err(Error::new(codes::REFUSED_BY_RULE, text))
    }

    /// The file of a dataset with everything that reading it takes.
    ///
    /// # Errors
    /// [`codes::FRAME_GONE`] for a frame whose memory is gone.
    pub(crate) fn input(&self, dataset: &Dataset) -> Result<Input, Error> {
        let (source, spec, digest) = reading(dataset, self.frames.format_of(dataset)?)?;
        Ok(Input::new(source, spec, digest, dataset.rows, self.memory, self.folder()))
    }

    /// Streams rows of a dataset as a file of this format. An error while reading comes as the stream's last item.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a format that does not exist, [`codes::FRAME_GONE`] for a frame whose memory is gone.
    pub(crate) fn write(
        &self,
        dataset: &Dataset,
        rows: RowsOut,
        columns: Vec<String>,
        format: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let output = Output { columns, format: output::format_named(format)? };
        let (source, _, digest) = reading(dataset, self.frames.format_of(dataset)?)?;
        Ok(output::write(source, digest, dataset.rows, rows, output, self.memory))
    }

    /// Where what does not fit into memory is laid aside: beside the store.
    fn folder(&self) -> PathBuf {
        self.store.path().parent().map_or_else(PathBuf::new, Path::to_owned)
    }

    async fn view(&self, dataset: &Dataset) -> Result<DatasetView, Error> {
        let rules = self.store.rules().all(Some(&dataset.name)).await?;
        Ok(DatasetView::of(dataset, rules, self.store.fingerprints().get(&dataset.name, None).await?))
    }
}

fn rule_of(stored: serde_json::Value) -> Result<Rule, Error> {
    serde_json::from_value(stored).map_err(|error| Error::damaged(format!("a stored rule cannot be read: {error}")))
}

/// What is wrong with a file that can be read and has nothing to take part.
fn nobody(report: &Report) -> Option<String> {
    match (report.rows, report.distinct) {
        (0, _) => Some("the file has no rows, so every job with it finds nothing".to_owned()),
        (rows, 0) => Some(format!("not one of {rows} rows has a key that can take part, so every job finds nothing")),
        _ => None,
    }
}
