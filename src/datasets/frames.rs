//! Frames: datasets for one job, which a program hands over in memory. Handing one over is its owner's approval of that
//! one job; the peer's rule decides as always.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tacitly_core::PartyId;

use super::fingerprint;
use super::settings::{blocking, json, stored};
use super::versions::Versions;
use crate::codes::{self, Error};
use crate::intake::{Budget, Format, Frame, KeySpec, Source, Survey};
use crate::policy::Rule;
use crate::store::{Dataset, JobFilter, JobId, NewDataset as StoredDataset, NewFingerprint, Store};

/// What the ledger keeps in place of a file's format.
const KIND: &str = "frame";
/// How long a frame that no job uses stays: its program may have ended without a word.
const UNUSED: Duration = Duration::from_secs(3600);

/// The frames of one party.
pub struct Frames {
    store: Arc<Store>,
    versions: Arc<Versions>,
    held: Mutex<BTreeMap<String, (Frame, Instant)>>,
    /// Bytes that all of them may have together; 0 if none is taken.
    memory: usize,
    /// Bytes that reading one may take.
    reading: usize,
}

impl Frames {
    pub(super) fn new(store: Arc<Store>, versions: Arc<Versions>, memory: usize, reading: usize) -> Self {
        Self { store, versions, held: Mutex::default(), memory, reading }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, (Frame, Instant)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a dataset is a frame.
    pub(crate) fn is_frame(dataset: &Dataset) -> bool {
        dataset.format["kind"] == KIND
    }

    /// The frame that a dataset is, if it is one.
    pub(super) fn format_of(&self, dataset: &Dataset) -> Result<Option<Format>, Error> {
        if !Self::is_frame(dataset) {
            return Ok(None);
        }
        let held = self.lock().get(&dataset.name).map(|(frame, _)| Format::Frame(frame.clone()));
        held.map(Some).ok_or_else(|| Error::new(codes::FRAME_GONE, codes::FRAME_GONE.cause))
    }

    /// Lets go of the memory of a dataset that is gone.
    pub(super) fn let_go(&self, name: &str) {
        self.lock().remove(name);
    }

    /// How many bytes a frame may have at the moment.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`] if this party takes none, or an error of the store.
    pub async fn room(&self) -> Result<usize, Error> {
        if self.memory == 0 {
            return Err(Error::new(codes::FRAMES_OFF, "this party takes no frames: limits.frame_mib is 0"));
        }
        self.sweep().await?;
        let used: usize = self.lock().values().map(|(frame, _)| frame.memory()).sum();
        Ok(self.memory.saturating_sub(used))
    }

    /// The refusal of a frame that does not fit.
    #[must_use]
    pub fn too_large(&self) -> Error {
        let mib = self.memory >> 20;
        Error::new(codes::FRAMES_OFF, format!("all frames together may hold {mib} MiB here (limits.frame_mib)"))
    }

    /// Takes a frame in as a dataset for one job with `peers`, under a rule for each that lets all its columns out and is otherwise
    /// the one given. Its fingerprint is on record when this returns. The dataset is forgotten some time after its job is
    /// over. Returns it and a report of counts for its owner.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`], [`codes::DATASET_INPUT`] with row and column, [`codes::PEER_UNKNOWN`], or an error of the store
    /// or the log.
    pub(super) async fn add(
        &self,
        frame: Frame,
        spec: KeySpec,
        peers: &[PartyId],
        rule: Rule,
    ) -> Result<(Dataset, String), Error> {
        for peer in peers {
            self.store.parties().key_of(*peer).await?;
        }
        if frame.memory() > self.room().await? {
            return Err(self.too_large());
        }
        let memory = self.reading;
        let source = Source { path: Frame::label(), format: Format::Frame(frame.clone()) };
        let (Survey { inspection: inspected, report }, fingerprint, spec) = blocking(move || {
            let (survey, fingerprint) = fingerprint::survey(&source, &spec, None, &Budget::of_bytes(memory))?;
            Ok((survey, fingerprint, spec))
        })
        .await?;
        let name = format!("frame-{}", JobId::fresh().to_string().to_lowercase());
        let stored = stored(name.clone(), Frame::label(), json!({ "kind": KIND }), &inspected, &spec)?;
        self.lock().insert(name.clone(), (frame, Instant::now()));
        let rule = Rule { columns: inspected.columns.iter().map(|column| column.name.clone()).collect(), ..rule };
        let added = self.note(stored, &fingerprint, peers, &rule).await;
        if added.is_err() {
            self.let_go(&name);
        }
        Ok((added?, report.to_string()))
    }

    async fn note(
        &self,
        stored: StoredDataset,
        fingerprint: &NewFingerprint,
        peers: &[PartyId],
        rule: &Rule,
    ) -> Result<Dataset, Error> {
        let dataset = self.store.datasets().add(stored, fingerprint, false, "operator").await?;
        for peer in peers {
            self.store.rules().set(&dataset.name, *peer, json(rule)?, None, "operator").await?;
        }
        self.versions.attest(&dataset.name).await?;
        tracing::info!(dataset = dataset.name, rows = dataset.rows, "a frame was handed over");
        Ok(dataset)
    }

    /// Forgets frames whose job is over, those that no program came back for, and those of an earlier process.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        for dataset in self.store.datasets().all().await?.into_iter().filter(Self::is_frame) {
            let since = self.lock().get(&dataset.name).map(|(_, since)| *since);
            let filter = JobFilter { dataset: Some(dataset.name.clone()), ..JobFilter::default() };
            let jobs = self.store.jobs().list(&filter).await?;
            let is_unused = jobs.is_empty() && since.is_none_or(|since| since.elapsed() > UNUSED);
            let is_over = !jobs.is_empty() && jobs.iter().all(|job| job.finished_at.is_some());
            if is_unused || is_over {
                self.forget(&dataset.name).await?;
            }
        }
        Ok(())
    }

    /// Forgets a frame, unless a job that is not over uses it.
    ///
    /// # Errors
    /// An error of the store.
    pub(crate) async fn forget(&self, name: &str) -> Result<(), Error> {
        match self.versions.destroy(name, "daemon").await {
            Ok(erased) => {
                self.let_go(name);
                // A log that takes nothing keeps no daemon from starting and no program from working.
                if let Err(error) = self.versions.recorder().enter(erased).await {
                    tracing::warn!(frame = name, %error, "that a frame was forgotten goes on record at the next start");
                }
                Ok(())
            }
            Err(error) if error.code == codes::DATASET_UNKNOWN => {
                self.let_go(name);
                Ok(())
            }
            Err(error) if error.code == codes::DATASET_IN_USE => Ok(()),
            Err(error) => Err(error),
        }
    }
}
