//! What opens the commitment to the output of a job, given out to an arbiter. That it is, to whom and why goes on record
//! before it is handed out; what it is does not.

use serde_json::json;
use sha2::{Digest, Sha256};
use tacitly_attestation::commitment::{Salt, Subject, opens};
use tacitly_attestation::entry::{Body, Commitment, Kind, ResultEntry};
use zeroize::Zeroizing;

use super::office::Jobs;
use super::outcome::Outcome;
use super::record::about;
use crate::attest::Reader;
use crate::codes::Trouble;
use crate::store::{Job, NewEvent};

/// Which output to open.
#[derive(Clone, Debug, Default)]
pub struct OpenOutput {
    /// The job.
    pub job: String,
    /// The party that it is opened to.
    pub to: String,
    /// A code for why; empty: `dispute`.
    pub purpose: String,
}

/// What opens the commitment to our output of a job. Neither `Clone` nor `Debug`.
pub struct OpenedOutput {
    /// The salt.
    pub salt: Zeroizing<[u8; 32]>,
    /// The SHA-256 of the output, as the ledger keeps it. This is what is committed to.
    pub digest: [u8; 32],
    /// The commitment, as it stands in the entry about the job's end.
    pub commitment: String,
    /// Our entry about this opening.
    pub entry: String,
}

impl Jobs {
    /// Gives out what opens the commitment to our output of a job: its salt and the digest of the output, once it is on
    /// record that they are given out.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`](crate::codes::JOB_UNKNOWN), [`codes::RESULT_NONE`](crate::codes::RESULT_NONE) if we received
    /// nothing or it was purged, [`codes::BAD_REQUEST`](crate::codes::BAD_REQUEST) for a reader or purpose that
    /// cannot be, or trouble of the store or the log.
    pub async fn open_output(&self, asked: OpenOutput, by: &str) -> Result<OpenedOutput, Trouble> {
        let reader = Reader::of(&asked.to, &asked.purpose)?;
        // Nothing is purged while it is being opened.
        let _closing = self.closing_entries.lock().await;
        let job = self.find(&asked.job).await?;
        let salt = self.store.salt(job.id).await?;
        let recorded = self.recorder.recorded(&about(&job), Kind::Result.as_str()).await?;
        let said = recorded.as_ref().map(|recorded| (recorded.entry.leaf(), recorded.entry.entry().body()));
        let (Some(salt), Some((target, Body::Result(ResultEntry { output: Some(commitment), .. })))) = (salt, said)
        else {
            return Err(self.without_result(&job));
        };
        let digest = self.output_digest(&job, commitment, &Salt::new(*salt)).await?;
        let event =
            NewEvent { job: Some(job.id), actor: by.to_owned(), kind: "output-opened".to_owned(), detail: json!({}) };
        let entry = self.recorder.record_opening(&about(&job), target, reader, event).await?;
        Ok(OpenedOutput { salt, digest, commitment: commitment.to_string(), entry: entry.to_string() })
    }

    /// The digest of a job's output to which this commitment opens.
    async fn output_digest(&self, job: &Job, commitment: &Commitment, salt: &Salt) -> Result<[u8; 32], Trouble> {
        let parts = self.store.result_parts(job.id).await?.ok_or_else(|| self.without_result(job))?;
        // A result of one part was committed to by itself; one of several together with their number.
        let whole = Outcome::Parts { parts, items: job.result_items.unwrap_or_default() }.encode();
        let mut together = Sha256::new_with_prefix(whole);
        let mut alone = None;
        for part in 0..parts {
            let bytes = self.store.result_part(job.id, part).await?;
            together.update(&bytes);
            alone = (parts == 1).then(|| Sha256::digest(&bytes).into());
        }
        let found = [Some(together.finalize().into()), alone].into_iter().flatten();
        let mut found = found.filter(|digest: &[u8; 32]| opens(commitment, Subject::Output, salt, digest));
        found.next().ok_or_else(|| Trouble::internal("the stored result is not the one on record"))
    }
}
