//! What is destroyed of a job: its result, and the salt of the commitment to it. Neither can be opened by anybody from then
//! on, nor guessed at, and that goes on record: in the ledger in one step with the destruction, then in the log.

use tacitly_attestation::entry::{Body, Erased, Kind};

use super::office::Jobs;
use super::record::about;
use super::view::JobView;
use crate::codes::Trouble;

impl Jobs {
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
                None => self.recorder.leaves_about(&subject, Kind::Result.as_str(), has_output).await?,
            };
            let entries = self.recorder.erasures(&subject, &targets, Erased::SaltsAndRecords)?;
            self.store.purge(job.id, by, entries).await?
        };
        self.recorder.enter(erased).await?;
        self.view(&job)
    }
}
