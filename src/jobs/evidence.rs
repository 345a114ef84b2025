//! The certificate of a job, with all that it rests on.

use super::office::Jobs;
use super::record::about;
use crate::codes::{self, Trouble};

impl Jobs {
    /// The evidence certificate of a job: what came of it, or what was agreed if nothing came of it yet, with all that
    /// it rests on. Anybody verifies it offline.
    ///
    /// # Errors
    /// [`codes::EVIDENCE_NONE`] if nothing of the job is on record, [`codes::JOB_UNKNOWN`], or trouble of the store or
    /// the log.
    pub async fn evidence(&self, id: &str) -> Result<Vec<u8>, Trouble> {
        let job = self.find(id).await?;
        let subject = about(&job);
        let none = || {
            let text = format!("nothing of this job is on record: it is {} and never came to an agreement", job.state);
            Trouble::new(codes::EVIDENCE_NONE, text)
        };
        let agreement = self.recorder.recorded(&subject, "agreement").await?.ok_or_else(none)?;
        let result = self.recorder.recorded(&subject, "result").await?;
        let mut related = Vec::new();
        let main = match result {
            Some(result) => {
                related.push(agreement.entry.clone());
                result
            }
            None => agreement.clone(),
        };
        let named = agreement.entry.entry().references();
        for leaf in named {
            related.extend(self.recorder.entry_of(leaf).await?);
        }
        self.profile.certify(&main, &related).await
    }
}
