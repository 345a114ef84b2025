//! Frames: datasets for one job, which a program hands over in memory. Handing one over is its owner's approval of that
//! one job; the peer's rule decides as always.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tacitly_core::PartyId;

use super::datasets::{DatasetView, blocking, json, key_columns, named, stored};
use super::fingerprints;
use super::office::Jobs;
use super::outcome::Outcome;
use super::terms::Kind;
use crate::codes::{self, Trouble};
use crate::intake::{Budget, Format, Frame, KeySpec, Source, Survey};
use crate::policy::{Receivers, Rule};
use crate::store::{Dataset, JobFilter, JobId, NewFingerprint};

/// What the ledger keeps in place of a file's format.
const KIND: &str = "frame";
/// How long a frame that no job uses stays: its program may have ended without a word.
const UNUSED: Duration = Duration::from_secs(3600);

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
    pub peer: String,
    /// What kind of job.
    pub kind: String,
    /// Who may receive: `us`, `peer` or `both`.
    pub receiver: String,
}

/// The frames of one party.
pub(super) struct Frames {
    held: Mutex<BTreeMap<String, (Frame, Instant)>>,
    memory: usize,
}

impl Frames {
    pub(super) fn new(memory: usize) -> Self {
        Self { held: Mutex::default(), memory }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Frame, Instant)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The frame that a dataset is, if it is one.
    pub(super) fn format_of(&self, dataset: &Dataset) -> Result<Option<Format>, Trouble> {
        if dataset.format["kind"] != KIND {
            return Ok(None);
        }
        let held = self.lock().get(&dataset.name).map(|(frame, _)| Format::Frame(frame.clone()));
        held.map(Some).ok_or_else(|| Trouble::new(codes::FRAME_GONE, codes::FRAME_GONE.cause))
    }

    /// Lets go of the memory of a dataset that is gone.
    pub(super) fn forget(&self, name: &str) {
        self.lock().remove(name);
    }

    fn room(&self) -> usize {
        let used: usize = self.lock().values().map(|(frame, _)| frame.memory()).sum();
        self.memory.saturating_sub(used)
    }
}

impl Jobs {
    /// How many bytes a frame may have at the moment.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`] if this party takes none.
    pub async fn frame_room(&self) -> Result<usize, Trouble> {
        if self.settings.frame_memory == 0 {
            return Err(Trouble::new(codes::FRAMES_OFF, "this party takes no frames: limits.frame_mib is 0"));
        }
        self.sweep_frames().await?;
        Ok(self.datasets.frames.room())
    }

    /// The refusal of a frame that does not fit.
    #[must_use]
    pub fn frame_too_large(&self) -> Trouble {
        let mib = self.settings.frame_memory >> 20;
        Trouble::new(codes::FRAMES_OFF, format!("all frames together may hold {mib} MiB here (limits.frame_mib)"))
    }

    /// Takes a frame in as a dataset for one job, with a rule for exactly that job. Returns the dataset and a report of
    /// counts for its owner. The dataset is forgotten some time after its job is over.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`], [`codes::BAD_REQUEST`] for settings that do not exist, [`codes::DATASET_INPUT`] with row
    /// and column, [`codes::PEER_UNKNOWN`] or trouble of the store.
    pub async fn add_frame(&self, new: NewFrame, frame: Frame) -> Result<(DatasetView, String), Trouble> {
        let kind = Kind::of(&new.kind)
            .ok_or_else(|| Trouble::new(codes::BAD_REQUEST, "the kind is intersect, align or cardinality"))?;
        let peer = self.datasets.peer(&new.peer)?;
        self.store.peer(peer).await?;
        let receivers = self.receivers(kind, peer, &new.receiver)?;
        if frame.memory() > self.frame_room().await? {
            return Err(self.frame_too_large());
        }
        let spec = KeySpec {
            columns: key_columns(&new.keys)?,
            duplicates: named(&new.duplicates, "duplicates are error, first or all")?,
            invalid: named(&new.invalid, "invalid rows are error or skip")?,
        };
        let memory = self.settings.memory;
        let source = Source { path: Frame::label(), format: Format::Frame(frame.clone()) };
        let (Survey { inspection: inspected, report }, fingerprint, spec) = blocking(move || {
            let (survey, fingerprint) = fingerprints::survey(&source, &spec, None, &Budget::of_bytes(memory))?;
            Ok((survey, fingerprint, spec))
        })
        .await?;
        let name = format!("frame-{}", JobId::fresh().to_string().to_lowercase());
        let stored = stored(name.clone(), Frame::label(), json!({ "kind": KIND }), &inspected, &spec)?;
        self.datasets.frames.lock().insert(name.clone(), (frame, Instant::now()));
        let columns = inspected.columns.iter().map(|column| column.name.clone()).collect();
        let rule = self.rule_of_one_job(kind, &receivers, columns);
        let added = self.note_frame(stored, &fingerprint, peer, rule).await;
        if added.is_err() {
            self.datasets.frames.forget(&name);
        }
        Ok((added?, report.to_string()))
    }

    async fn note_frame(
        &self,
        stored: crate::store::NewDataset,
        fingerprint: &NewFingerprint,
        peer: PartyId,
        rule: Rule,
    ) -> Result<DatasetView, Trouble> {
        let dataset = self.store.add_dataset(stored, fingerprint, false, "operator").await?;
        self.store.set_rule(&dataset.name, peer, json(&rule)?, None, "operator").await?;
        self.attest_dataset(&dataset.name).await?;
        tracing::info!(dataset = dataset.name, rows = dataset.rows, "a frame was handed over");
        self.datasets.view(&dataset).await
    }

    fn rule_of_one_job(&self, kind: Kind, receivers: &[PartyId], columns: Vec<String>) -> Rule {
        let receivers = match receivers {
            [one] if *one == self.settings.me => Receivers::Us,
            [_] => Receivers::Peer,
            _ => Receivers::Any,
        };
        Rule { kinds: vec![kind.name().to_owned()], receivers, columns, per_day: 1, ..Rule::default() }
    }

    /// Whether a dataset is a frame.
    pub(super) fn is_frame(&self, dataset: &Dataset) -> bool {
        dataset.format["kind"] == KIND
    }

    /// Forgets frames whose job is over, those that no program came back for, and those of an earlier process.
    pub(super) async fn sweep_frames(&self) -> Result<(), Trouble> {
        for dataset in self.store.datasets().await?.into_iter().filter(|dataset| self.is_frame(dataset)) {
            let since = self.datasets.frames.lock().get(&dataset.name).map(|(_, since)| *since);
            let filter = JobFilter { dataset: Some(dataset.name.clone()), ..JobFilter::default() };
            let jobs = self.store.jobs(&filter).await?;
            let is_unused = jobs.is_empty() && since.is_none_or(|since| since.elapsed() > UNUSED);
            let is_over = !jobs.is_empty() && jobs.iter().all(|job| job.finished_at.is_some());
            if is_unused || is_over {
                self.forget_frame(&dataset.name).await?;
            }
        }
        Ok(())
    }

    /// Forgets a frame, unless a job that is not over uses it.
    pub(super) async fn forget_frame(&self, name: &str) -> Result<(), Trouble> {
        match self.destroy_dataset(name, "daemon").await {
            Ok(erased) => {
                // A log that takes nothing keeps no daemon from starting and no program from working.
                if let Err(error) = self.enter_erasures(erased).await {
                    tracing::warn!(frame = name, %error, "that a frame was forgotten goes on record at the next start");
                }
                Ok(())
            }
            Err(trouble) if trouble.code == codes::DATASET_UNKNOWN => {
                self.datasets.frames.forget(name);
                Ok(())
            }
            Err(trouble) if trouble.code == codes::DATASET_IN_USE => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Our rows of a finished job, counted from 0: ascending, or in the order that both sides share.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`] if there are none on this side, [`codes::JOB_UNKNOWN`] or trouble of the store.
    pub async fn rows(&self, id: &str) -> Result<Vec<u32>, Trouble> {
        let job = self.find(id).await?;
        let none = |text: &str| Trouble::new(codes::RESULT_NONE, text);
        let parts = self.store.result_parts(job.id).await?.ok_or_else(|| self.without_result(&job))?;
        let (mut rows, mut aligned) = (Vec::new(), false);
        for part in 0..parts {
            let bytes = self.store.result_part(job.id, part).await?;
            match Outcome::decode(&bytes).map_err(|error| Trouble::internal(error.to_string()))? {
                Outcome::Rows(some) => rows.extend(some),
                Outcome::Aligned(some) => {
                    aligned = true;
                    rows.extend(some);
                }
                Outcome::Size(_) => return Err(none("the job's result is a size, not rows")),
                Outcome::Parts { .. } => return Err(Trouble::internal("a part of a result has no parts")),
            }
        }
        if !aligned {
            // Each bucket is in the order of the file, all of them together are not.
            rows.sort_unstable();
        }
        Ok(rows)
    }
}
