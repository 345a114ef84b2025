//! The versions of datasets: the entry about each, and about their destruction.

use std::sync::Arc;

use tacitly_attestation::entry::{Body, Erased, Id, Kind};
use tokio::sync::Mutex;

use super::fingerprint::{dataset_entry, entry_about, unreadable};
use crate::attest::{Recorded, Recorder};
use crate::codes::{self, Error};
use crate::store::{Store, StoredEntry, StoredFingerprint};

/// What datasets are on record as.
pub(super) struct Versions {
    store: Arc<Store>,
    recorder: Arc<Recorder>,
    /// Held while a fingerprint is put on record, so that none is put there twice.
    recording: Mutex<()>,
}

/// What entries about a dataset stand under.
pub(super) fn about(name: &str) -> String {
    format!("dataset:{name}")
}

impl Versions {
    pub(super) fn new(store: Arc<Store>, recorder: Arc<Recorder>) -> Self {
        Self { store, recorder, recording: Mutex::default() }
    }

    /// What puts entries on record.
    pub(super) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The version of a dataset with this fingerprint; the present one if it is empty.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_FINGERPRINT`] if it has no such version, or an error of the store.
    pub(super) async fn version(&self, name: &str, fingerprint: &str) -> Result<StoredFingerprint, Error> {
        let which = (!fingerprint.is_empty()).then_some(fingerprint);
        let found = self.store.fingerprints().get(name, which).await?;
        found.ok_or_else(|| {
            let text = match which {
                Some(_) => format!("{name} never had this fingerprint"),
                None => format!("{name} was added before fingerprints were taken"),
            };
            Error::new(codes::DATASET_FINGERPRINT, text)
        })
    }

    /// The entry about the present version of a dataset, which goes on record now if it has not yet. None if the dataset
    /// was added before fingerprints were taken.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], or an error of the store or the log.
    pub(super) async fn attest(&self, name: &str) -> Result<Option<Recorded>, Error> {
        let Some(stored) = self.store.fingerprints().get(name, None).await? else { return Ok(None) };
        self.attest_version(name, &stored).await.map(Some)
    }

    /// The entry about one version of a dataset, which goes on record now if it has not yet.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`] if the dataset was removed meanwhile, or an error of the store or the log.
    pub(super) async fn attest_version(&self, name: &str, version: &StoredFingerprint) -> Result<Recorded, Error> {
        let _one = self.recording.lock().await;
        let subject = about(name);
        let entries = self.recorder.all_known(&subject, Kind::Dataset.as_str()).await?;
        if let Some(known) = entry_about(&entries, version)? {
            return self.recorder.logged(known.clone()).await;
        }
        let versions = self.store.fingerprints().all(name).await?;
        if !versions.contains(version) {
            return Err(Error::new(codes::DATASET_UNKNOWN, format!("{name} was removed meanwhile")));
        }
        let mut supersedes = None;
        for earlier in versions.iter().filter(|earlier| earlier.number < version.number) {
            if let Some(known) = entry_about(&entries, earlier)? {
                supersedes = Some(self.recorder.logged(known.clone()).await?.entry.leaf());
                break;
            }
        }
        let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, dataset_entry(version, supersedes)?)?;
        self.recorder.record(&subject, entry).await
    }

    /// Forgets a dataset: its seeds and salts are destroyed. What is returned says so; it stands in the ledger, and goes
    /// into the log next.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`], [`codes::DATASET_IN_USE`] or an error of the store.
    pub(super) async fn destroy(&self, name: &str, by: &str) -> Result<Vec<StoredEntry>, Error> {
        // No fingerprint that the erasure would not name goes on record meanwhile.
        let _recording = self.recording.lock().await;
        let subject = about(name);
        let ids = self.store.fingerprints().all(name).await?.into_iter().map(|version| version.id);
        let ids = ids.map(|id| Id::parse(&id)).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        // Another dataset that once had this name has another number in its entries.
        let is_of = |body: &Body| matches!(body, Body::Dataset(said) if ids.contains(&said.dataset));
        let targets = self.recorder.leaves_about(&subject, Kind::Dataset.as_str(), is_of).await?;
        let entries = self.recorder.erasures(&subject, &targets, Erased::Salts)?;
        Ok(self.store.datasets().remove(name, by, entries).await?)
    }
}
