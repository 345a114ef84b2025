//! Witnesses of our log who are no peers: a notary or a regulator that runs `tacitly witness`.

use std::sync::Arc;
use std::time::Duration;

use tacitly_attestation::hash::empty_root;
use tacitly_attestation::note::NoteSignature;
use tacitly_attestation::witness::AddCheckpoint;
use tokio::task::spawn_blocking;

use super::settings::ExternalWitness;
use crate::chain::Log;
use crate::codes::{self, Error};
use crate::peers::Background;
use crate::transport::https;

/// How long new checkpoints gather before they are cosigned.
const ROUND: Duration = Duration::from_millis(500);
/// How long a witness that cannot be reached, or refuses, is left alone: at first, and at the longest.
const PAUSE: Duration = Duration::from_secs(5);
const LONG_PAUSE: Duration = Duration::from_mins(5);

/// Those who are asked to cosign our log over HTTPS.
pub(super) struct ExternalWitnesses {
    log: Log,
    witnesses: Vec<ExternalWitness>,
    background: Background,
}

impl ExternalWitnesses {
    /// These witnesses of `log`.
    pub(super) fn new(log: Log, witnesses: Vec<ExternalWitness>, background: Background) -> Self {
        Self { log, witnesses, background }
    }

    /// Has the log witnessed until the daemon ends.
    pub(super) fn keep(self: &Arc<Self>) {
        for witness in self.witnesses.clone() {
            self.background.spawn_until_stopped(self.clone().be_witnessed_by(witness));
        }
    }

    /// Has the log witnessed by `witness` for as long as the daemon runs.
    async fn be_witnessed_by(self: Arc<Self>, witness: ExternalWitness) {
        let mut pause = PAUSE;
        loop {
            match self.be_cosigned_by(&witness, &mut pause).await {
                // The log has said so itself.
                Err(error) if error.code == codes::LOG_OLD => return,
                Err(error) => tracing::warn!(witness = witness.key.name(), %error, "no cosignature for the moment"),
                Ok(()) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONG_PAUSE);
        }
    }

    /// Has every new checkpoint cosigned until something is in the way. `pause` is as at first after a cosignature.
    async fn be_cosigned_by(&self, witness: &ExternalWitness, pause: &mut Duration) -> Result<(), Error> {
        let name = witness.key.name();
        let newest = self.log.cosigned().newest().into_iter().find(|line| line.witness == name);
        let mut known = newest.map_or(0, |line| line.size);
        loop {
            self.log.grown_from(known).await;
            tokio::time::sleep(ROUND).await;
            let Some(checkpoint) = self.log.checkpoint() else { continue };
            let (log, size) = (self.log.clone(), checkpoint.checkpoint().size);
            // What it has cosigned may be more than we have: then there is nothing to prove.
            let old = known.min(size);
            let proof = spawn_blocking(move || log.consistency(old, size)).await;
            let proof = proof.map_err(|_| Error::internal("the log was left while it was read"))??;
            let request = AddCheckpoint { old, proof, checkpoint: (*checkpoint).clone() };
            let answer = https::post(&witness.place, "/add-checkpoint", request.to_string()).await;
            let (status, body) = answer.map_err(|error| Error::new(codes::LINK_DOWN, error.to_string()))?;
            let body = String::from_utf8_lossy(&body).into_owned();
            let refused = || Error::new(codes::PEER_FAILED, format!("{name} answered {status}"));
            match status {
                200 => {
                    let line = body.lines().map(NoteSignature::parse).find_map(Result::ok).ok_or_else(refused)?;
                    let (log, key) = (self.log.clone(), witness.key.clone());
                    let kept = spawn_blocking(move || log.add_cosignature(&checkpoint, line, &key)).await;
                    kept.map_err(|_| Error::internal("the log was left while it was written"))??;
                    known = size;
                    *pause = PAUSE;
                }
                409 => {
                    let size_there: u64 = body.trim().parse().map_err(|_| refused())?;
                    if size_there > size {
                        // Its root is not told, and not needed: we have nothing of that size.
                        self.log.peer_cosigned(name, size_there, &empty_root())?;
                    }
                    if size_there == known {
                        // The same size as we said, and yet a conflict: it has seen another tree of it.
                        return Err(refused());
                    }
                    known = size_there;
                    if known == size {
                        // Cosigned, and the answer never arrived: asked for again at the next checkpoint.
                        tracing::info!(witness = name, size, "a cosignature was lost on its way");
                    }
                }
                _ => return Err(refused()),
            }
        }
    }
}
