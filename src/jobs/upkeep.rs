//! What operators need of the office: backups and what a restore means for jobs, readiness, figures.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tacitly_core::PartyId;

use super::machine::Event;
use super::office::Jobs;
use super::state::State;
use crate::codes::{self, Trouble};
use crate::store::{EventFilter, NewEvent};

/// How the daemon stands, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Jobs in the ledger, by state; every state is there.
    pub jobs: Vec<(&'static str, u64)>,
    /// Jobs at work in this process.
    pub at_work: u64,
    /// Whether each peer's link is up.
    pub links: Vec<(PartyId, bool)>,
    /// When our certificate expires, in seconds since 1970.
    pub certificate_expires: i64,
}

impl Jobs {
    /// Whether work can begin: the store takes writes and no drain has begun.
    pub async fn is_ready(&self) -> bool {
        !self.is_draining() && self.store.probe().await.map_err(Trouble::from).is_ok()
    }

    /// Whether a drain has begun.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns once a drain begins.
    pub async fn draining(&self) {
        self.closing.cancelled().await;
    }

    /// How the daemon stands, in numbers.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn figures(&self) -> Result<Figures, Trouble> {
        let counts = self.store.job_counts().await?;
        let count = |state: State| {
            let found = counts.iter().find(|(name, _)| name == state.name());
            (state.name(), found.map_or(0, |(_, jobs)| *jobs))
        };
        let links = self.peers.list().await?.into_iter().map(|peer| (peer.party, peer.link_up));
        Ok(Figures {
            jobs: State::ALL.into_iter().map(count).collect(),
            at_work: self.places.held() as u64,
            links: links.collect(),
            certificate_expires: self.peers.identity().not_after().as_second(),
        })
    }

    /// Notes in the audit trail that somebody with a token makes a call that changes something.
    ///
    /// # Errors
    /// Trouble of the store; the call should then not be made.
    pub async fn note_call(&self, actor: &str, role: &str, call: &str) -> Result<(), Trouble> {
        let detail = json!({ "role": role, "call": call });
        let event = NewEvent { job: None, actor: actor.to_owned(), kind: "control-call".to_owned(), detail };
        Ok(self.store.append_event(event).await?)
    }

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
                self.happen(job.id, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() }).await?;
            }
        }
        Ok(())
    }
}
