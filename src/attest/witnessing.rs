//! This party as a witness of its peers' logs: it cosigns each checkpoint that goes on from the last one it cosigned.

use std::sync::Arc;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence, WitnessRefusal};
use tacitly_core::PartyId;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::message::{self, Answer, generated as pb};
use crate::chain::{LogName, Verdict, Witness, Witnessed};
use crate::codes::{self, Error};
use crate::store::Store;

/// Logs of one peer that are witnessed: it may begin a new one when it has lost the last.
const MAX_LOGS_OF_A_PEER: usize = 16;

/// What we cosign of peers' logs.
pub(super) struct Witnessing {
    store: Arc<Store>,
    witness: Arc<Witness>,
    /// Told when we have cosigned a log.
    news: watch::Sender<()>,
}

impl Witnessing {
    /// The witness of the logs of the peers in this store.
    pub(super) fn new(store: Arc<Store>, witness: Witness) -> Self {
        Self { store, witness: Arc::new(witness), news: watch::Sender::default() }
    }

    /// Changes whenever we have cosigned a log.
    pub(super) fn news(&self) -> watch::Receiver<()> {
        self.news.subscribe()
    }

    /// A peer asks for a cosignature of its log.
    pub(super) async fn handle_add_checkpoint(&self, from: PartyId, asked: pb::AddCheckpoint) -> Answer {
        let (status, body) = match self.judge_checkpoint(from, asked).await {
            Ok(verdict) => {
                if matches!(verdict, Verdict::Cosigned(_)) {
                    self.news.send_replace(());
                }
                verdict.http()
            }
            Err(error) => {
                tracing::error!(peer = %from, error = %error, "a checkpoint could not be witnessed");
                (500, "this witness cannot answer at the moment\n".to_owned())
            }
        };
        Answer::Witnessed(pb::Witnessed { status: u32::from(status), body: body.into_bytes().into() })
    }

    async fn judge_checkpoint(&self, from: PartyId, asked: pb::AddCheckpoint) -> Result<Verdict, Error> {
        let key = self.store.peers().get(from).await?.signing_key;
        if self.store.revocations().get(&key).await?.is_some() {
            return Ok(Verdict::Refused(WitnessRefusal::UnknownLog));
        }
        let (witness, now) = (self.witness.clone(), self.store.now().as_second());
        let judged = spawn_blocking(move || {
            let request = match AddCheckpoint::parse(&asked.request) {
                Ok(request) => request,
                Err(error) => return Ok(Verdict::Malformed(error)),
            };
            let origin = &request.checkpoint.checkpoint().origin;
            let unknown = Verdict::Refused(WitnessRefusal::UnknownLog);
            // A log's key bears its name; the peer's key is pinned, and names no more logs than a peer may have.
            let Ok(log) = VerifierKey::new(origin, KeyUse::Text, key.as_bytes()) else { return Ok(unknown) };
            if witness.last(LogName::of(&log))?.is_none() {
                let all = witness.all()?;
                let of_peer = all.iter().filter(|known| known.key.public() == log.public()).count();
                if of_peer >= MAX_LOGS_OF_A_PEER {
                    return Ok(unknown);
                }
            }
            witness.add_checkpoint(&log, &asked.request, u64::try_from(now).unwrap_or_default())
        });
        judged.await.map_err(|_| Error::internal("the witness was left at work"))?.map_err(Error::from)
    }

    /// A peer asks what we cosigned last of its log.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] if that is no log's name; [`Error`] of the store or the witness.
    pub(super) async fn handle_last_cosigned(&self, from: PartyId, asked: &pb::LastCosigned) -> Result<Answer, Error> {
        let key = self.store.peers().get(from).await?.signing_key;
        let log = VerifierKey::new(&asked.origin, KeyUse::Text, key.as_bytes())
            .map_err(|_| Error::new(codes::BAD_REQUEST, "not the name of a log").with(from))?;
        let last = self.last(LogName::of(&log)).await?;
        Ok(message::cosigned(last.as_ref().map(|known| &known.head.checkpoint)))
    }

    /// The logs of `peer` that we have cosigned: those that sign with its pinned key.
    ///
    /// # Errors
    /// [`Error`] of the store or the witness.
    pub(super) async fn logs_of(&self, peer: PartyId) -> Result<Vec<Witnessed>, Error> {
        let pinned = self.store.peers().get(peer).await?.signing_key;
        let mut all = self.all().await?;
        all.retain(|known| known.key.public() == pinned.as_bytes());
        Ok(all)
    }

    /// What we have cosigned last of a log, if anything.
    ///
    /// # Errors
    /// [`Error`] of the witness.
    pub(super) async fn last(&self, log: LogName) -> Result<Option<Witnessed>, Error> {
        let witness = self.witness.clone();
        let last = spawn_blocking(move || witness.last(log)).await;
        last.map_err(|_| Error::internal("the witness was left at work"))?.map_err(Error::from)
    }

    /// Every log that we have cosigned.
    ///
    /// # Errors
    /// [`Error`] of the witness.
    pub(super) async fn all(&self) -> Result<Vec<Witnessed>, Error> {
        let witness = self.witness.clone();
        let all = spawn_blocking(move || witness.all()).await;
        Ok(all.map_err(|_| Error::internal("the witness was left at work"))??)
    }

    /// Compares what we cosigned of a log with what somebody shows of it, and keeps what convicts the log of two histories.
    /// Returns whether it does.
    ///
    /// # Errors
    /// [`Error`] of the witness.
    pub(super) async fn compare(&self, log: LogName, shown: SignedCheckpoint) -> Result<bool, Error> {
        let witness = self.witness.clone();
        let compared = spawn_blocking(move || witness.compare(log, &shown)).await;
        Ok(compared.map_err(|_| Error::internal("the witness was left at work"))??.is_some())
    }

    /// Keeps what convicts a log of two histories.
    ///
    /// # Errors
    /// [`Error`] of the witness.
    pub(super) async fn keep_fork(&self, evidence: ForkEvidence) -> Result<(), Error> {
        let witness = self.witness.clone();
        let kept = spawn_blocking(move || witness.keep_fork(&evidence)).await;
        kept.map_err(|_| Error::internal("the witness was left at work"))??;
        Ok(())
    }
}
