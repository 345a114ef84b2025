//! What is destroyed here: the seeds and salts of a dataset that is removed, the result and the salt of a job that is
//! purged. What the entries about them commit to can be opened by nobody from then on, nor guessed at, and that goes on
//! record: in the ledger in one step with the destruction, then in the log.

use tacitly_attestation::entry::{Body, Erased, ErasureEntry, Id, Kind, LeafHash, MAX_ITEMS, SignedEntry};

use super::fingerprints::unreadable;
use super::office::Jobs;
use super::record::{about, about_dataset};
use super::view::JobView;
use crate::attest::malformed;
use crate::codes::Trouble;
use crate::store::{NewEntry, StoredEntry};

impl Jobs {
    /// Forgets a dataset; its file stays. Its seeds and salts are destroyed, and that is on record when this returns.
    ///
    /// # Errors
    /// [`codes::DATASET_UNKNOWN`](crate::codes::DATASET_UNKNOWN), [`codes::DATASET_IN_USE`](crate::codes::DATASET_IN_USE)
    /// or trouble of the store; trouble of the log, and then the dataset is gone and its erasure goes on record at the
    /// next start.
    pub async fn remove_dataset(&self, name: &str, by: &str) -> Result<(), Trouble> {
        let erased = self.destroy_dataset(name, by).await?;
        self.enter_erasures(erased).await
    }

    /// Forgets a dataset. What is returned stands in the ledger and goes into the log next.
    pub(super) async fn destroy_dataset(&self, name: &str, by: &str) -> Result<Vec<StoredEntry>, Trouble> {
        // No fingerprint that the erasure would not name goes on record meanwhile.
        let _recording = self.datasets.recording().await;
        let subject = about_dataset(name);
        let ids = self.store.fingerprints(name).await?.into_iter().map(|version| version.id);
        let ids = ids.map(|id| Id::parse(&id)).collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
        // Another dataset that once had this name has another number in its entries.
        let is_of = |body: &Body| matches!(body, Body::Dataset(said) if ids.contains(&said.dataset));
        let targets = self.leaves_about(&subject, Kind::Dataset, is_of).await?;
        let entries = self.erasures(&subject, &targets, Erased::Salts)?;
        let erased = self.store.remove_dataset(name, by, entries).await?;
        self.datasets.frames.forget(name);
        Ok(erased)
    }

    /// Wipes the result of a job that is over, and the salt under the commitment to it; the ledger keeps that it was, and
    /// that it was wiped is on record when this returns.
    ///
    /// # Errors
    /// [`codes::JOB_STATE`](crate::codes::JOB_STATE) if it is not over, or trouble of the store; trouble of the log, and
    /// then the result is gone and its erasure goes on record at the next start.
    pub async fn purge(&self, id: &str, by: &str) -> Result<JobView, Trouble> {
        let (job, erased) = {
            // No result that the erasure would not name goes on record meanwhile, and two purges are one erasure.
            let _recording = self.closing_entries.lock().await;
            let job = self.find(id).await?;
            let subject = about(&job);
            let has_output = |body: &Body| matches!(body, Body::Result(said) if said.output.is_some());
            let targets = match job.purged_at {
                Some(_) => Vec::new(),
                None => self.leaves_about(&subject, Kind::Result, has_output).await?,
            };
            let entries = self.erasures(&subject, &targets, Erased::SaltsAndRecords)?;
            self.store.purge(job.id, by, entries).await?
        };
        self.enter_erasures(erased).await?;
        self.view(&job)
    }

    /// The entries of a kind about something, for our log, oldest first. Those that the ledger does not know to stand there
    /// are among them: they may, or may yet.
    async fn leaves_about(
        &self,
        subject: &str,
        kind: Kind,
        is_meant: impl Fn(&Body) -> bool,
    ) -> Result<Vec<LeafHash>, Trouble> {
        let mut leaves = Vec::new();
        for stored in self.recorder.all_known(subject, kind.as_str()).await?.into_iter().rev() {
            let entry = SignedEntry::parse(&stored.note).map_err(malformed)?;
            if is_meant(entry.entry().body()) {
                leaves.push(entry.leaf());
            }
        }
        Ok(leaves)
    }

    /// What is to be put down: nothing if nothing on record commits to what is destroyed.
    fn erasures(&self, subject: &str, targets: &[LeafHash], erased: Erased) -> Result<Vec<NewEntry>, Trouble> {
        let entry = |targets: &[LeafHash]| {
            let body = ErasureEntry { targets: targets.to_vec(), erased };
            let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
            Ok(self.recorder.new_entry(subject, &entry))
        };
        targets.chunks(MAX_ITEMS).map(entry).collect()
    }

    pub(super) async fn enter_erasures(&self, erased: Vec<StoredEntry>) -> Result<(), Trouble> {
        for stored in erased {
            self.recorder.logged(stored).await?;
        }
        Ok(())
    }
}
