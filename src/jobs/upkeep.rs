//! Backups of the ledger, and what a restore means for its jobs.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;

use super::office::Jobs;
use super::state::State;
use crate::codes::{self, Trouble};
use crate::store::{EventFilter, NewEvent};

impl Jobs {
    /// Writes a copy of the store, which stays in use, to a new private file on this machine; returns its size.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a path that is not absolute, or trouble of the store: a file that is there already,
    /// a full disk.
    pub async fn backup(&self, to: &str) -> Result<u64, Trouble> {
        let path = Path::new(to);
        if !path.is_absolute() {
            return Err(Trouble::new(codes::BAD_REQUEST, "the path of a backup is absolute"));
        }
        self.store.backup(path).await?;
        let detail = json!({ "to": to });
        let event = NewEvent { job: None, actor: "operator".to_owned(), kind: "store-backup".to_owned(), detail };
        self.store.append_event(event).await?;
        Ok(tokio::fs::metadata(path).await.map_or(0, |found| found.len()))
    }

    /// Ends the jobs that were not over in a backup when it was restored: in the store that was lost they may have
    /// gone on and released what they release, and a second release to another set must not happen.
    pub(super) async fn end_restored(self: &Arc<Self>) -> Result<(), Trouble> {
        let Some(restored) = self.store.last_restore().await? else { return Ok(()) };
        for job in self.store.unfinished().await? {
            let first = EventFilter { job: Some(job.id), limit: Some(1), ..EventFilter::default() };
            let made_before = self.store.events(&first).await?.first().is_none_or(|event| event.seq < restored);
            if made_before {
                let why = Trouble::new(codes::RESTORED, codes::RESTORED.cause);
                let ended = self.end(&job, State::Failed, &why, "daemon").await?;
                self.tell_ended(&ended, Some(&why));
            }
        }
        Ok(())
    }
}
