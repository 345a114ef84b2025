//! Questions under standing jobs, on record on both sides before anything is released, in one round trip.
//!
//! ```text
//! asker                                                    responder
//! query entry signed; in the ledger with its place
//!    │ ├──────── questions, seed, signed query ───────────▶ checked: pinned key, this job, this responder, opens, in time
//!    │                                                     answered by the service
//!    │ append, fdatasync                                   serve entry signed; with the charges and the sealed answer in
//!    │                                                     the ledger, then append, fdatasync
//!    │ ◀──────── answers, seed, signed serve ────────────┤ released
//! checked, kept; released once the query is on the disk, too
//! ```
//!
//! A question has one entry on either side, for ever: whoever was killed asks, or answers, again with the same bytes. What
//! a kind's questions mean, and how they travel, is known above this room.
//!
//! | file | holds |
//! |---|---|
//! | `question.rs` | the values of both halves |
//! | `asker.rs` | asking: sign, keep, send, check what comes back |
//! | `responder.rs` | answering: check what comes, charge, keep, release |

mod asker;
mod question;
mod responder;
#[cfg(test)]
pub(super) mod tests;

use std::sync::Arc;

use tacitly_attestation::entry::{Body, SignedEntry};

pub(crate) use super::message::MAX_QUESTIONS;
use super::recorder::{Recorded, Recorder};
use crate::codes::{self, Error};
use crate::store::Store;

pub use asker::{Asker, Begin, Begun};
pub use question::{Answer, Decision, OVER_QUOTA, Outcome, Question, SKEW, STALE, Under};
pub use responder::{Checked, CheckedQuery, Released, Responder};
pub use tacitly_attestation::entry::{Code, Id, LeafHash};

/// Questions of one party: those that it asks and those that it answers.
pub struct Queries {
    /// Those that it asks.
    pub asker: Asker,
    /// Those that it answers.
    pub responder: Responder,
    store: Arc<Store>,
    recorder: Arc<Recorder>,
}

impl Queries {
    /// The questions of the party that records with this recorder, kept in `store`.
    #[must_use]
    pub fn new(store: Arc<Store>, recorder: Arc<Recorder>) -> Self {
        Self {
            asker: Asker::new(store.clone(), recorder.clone()),
            responder: Responder::new(store.clone(), recorder.clone()),
            store,
            recorder,
        }
    }

    /// What a certificate of the question with this number is about: our entry, asked or answered; and the entries that
    /// belong to it, the other side's among them.
    ///
    /// # Errors
    /// [`codes::EVIDENCE_NONE`] if there is no such question; an error of the store or the log.
    pub(crate) async fn on_record(&self, id: &str) -> Result<(Recorded, Vec<SignedEntry>), Error> {
        let parse = |note: &[u8]| SignedEntry::parse(note).map_err(Error::damaged);
        let (main, mut related) = if let Some(query) = self.store.queries().numbered(id).await? {
            let serve = query.answer.map(|answer| parse(&answer.serve)).transpose()?;
            (self.recorder.logged(query.entry).await?, Vec::from_iter(serve))
        } else if let Some(serve) = self.store.serves().numbered(id).await? {
            (self.recorder.logged(serve.entry).await?, vec![parse(&serve.note)?])
        } else {
            let text = "there is no question of this number, asked or answered here";
            return Err(Error::new(codes::EVIDENCE_NONE, text));
        };
        let agreement = std::iter::once(&main.entry).chain(&related).find_map(agreement_of);
        if let Some(agreement) = agreement {
            related.extend(self.recorder.entry_of(agreement).await?);
        }
        Ok((main, related))
    }
}

fn agreement_of(entry: &SignedEntry) -> Option<LeafHash> {
    match entry.entry().body() {
        Body::Query(query) => Some(query.agreement),
        _ => None,
    }
}
