//! Our log and its witnesses: every peer is asked to cosign it.
//!
//! When a peer's link comes up, we ask what it cosigned last; if that is more than we have, our log is an old copy and
//! takes no more entries. Then it is asked to cosign each new checkpoint. None of it ever keeps a job waiting, except for
//! a moment at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::note::{KeyRing, NoteSignature, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence};
use tacitly_core::PartyId;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::asking::ask;
use super::keys::witness_key;
use super::message::{Answer, Ask, generated as pb};
use super::witnessing::Witnessing;
use crate::chain::{ChainError, Log};
use crate::codes::{self, Error};
use crate::peers::{Background, Peers};
use crate::store::Store;

/// How long new checkpoints gather before they are cosigned.
const ROUND: Duration = Duration::from_millis(500);
/// How long a witness that refuses, or cannot answer, is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// How long entries wait at the start until linked peers have said what they cosigned.
const HOLD: Duration = Duration::from_secs(2);

/// What a witness answered.
enum Cosigning {
    Done,
    /// It knows another size.
    Known(u64),
    /// Later, perhaps.
    Refused,
}

/// The peers as witnesses of our log.
pub(super) struct Witnesses {
    store: Arc<Store>,
    peers: Arc<Peers>,
    log: Log,
    witnessing: Arc<Witnessing>,
    background: Background,
    /// The peers that have said what they cosigned of our log.
    asked: watch::Sender<BTreeSet<PartyId>>,
}

impl Witnesses {
    /// These peers as witnesses of `log`. What shows that somebody else signs as it is kept with what we witness.
    pub(super) fn new(
        store: Arc<Store>,
        peers: Arc<Peers>,
        log: Log,
        witnessing: Arc<Witnessing>,
        background: Background,
    ) -> Self {
        Self { store, peers, log, witnessing, background, asked: watch::Sender::default() }
    }

    /// Holds entries back for a moment while peers say what they cosigned; then has the log witnessed until the daemon
    /// ends.
    pub(super) fn keep(self: &Arc<Self>) {
        self.log.hold();
        let this = self.clone();
        self.background.spawn_until_stopped(async move { this.release_when_asked().await });
        self.background.spawn_until_stopped(self.clone().find_witnesses());
    }

    async fn release_when_asked(&self) {
        let peers: BTreeSet<PartyId> = match self.store.peers().all().await {
            Ok(peers) => peers.iter().map(|peer| peer.id).collect(),
            Err(_) => BTreeSet::new(),
        };
        let mut asked = self.asked.subscribe();
        let all = asked.wait_for(|asked| peers.is_subset(asked));
        if tokio::time::timeout(HOLD, all).await.is_err() {
            tracing::info!("not every peer could say what it cosigned of our log; whoever comes later is asked then");
        }
        self.log.release();
    }

    /// Works with every peer there is, and whoever becomes one.
    async fn find_witnesses(self: Arc<Self>) {
        let mut links = self.peers.links();
        let mut at_work = BTreeMap::new();
        loop {
            let peers: Vec<PartyId> = links.borrow_and_update().keys().copied().collect();
            at_work.retain(|_, task: &mut tokio::task::JoinHandle<Option<()>>| !task.is_finished());
            for peer in peers {
                at_work.entry(peer).or_insert_with(|| {
                    let this = self.clone();
                    self.background.spawn_until_stopped(async move { this.be_witnessed_by(peer).await })
                });
            }
            if links.changed().await.is_err() {
                return;
            }
        }
    }

    /// Has the log witnessed by one peer, for as long as it is one.
    async fn be_witnessed_by(&self, peer: PartyId) {
        loop {
            self.peers.link_up(peer).await;
            match self.be_cosigned_by(peer).await {
                Err(error) if [codes::PEER_UNKNOWN, codes::KEY_REVOKED].contains(&error.code) => return,
                // The log has said so itself.
                Err(error) if error.code == codes::LOG_OLD => return,
                Err(error) => tracing::info!(%peer, %error, "no cosignature for the moment"),
                Ok(()) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks where the peer stands, then for a cosignature of every new checkpoint, until something is in the way.
    async fn be_cosigned_by(&self, peer: PartyId) -> Result<(), Error> {
        let key = witness_key(peer, &self.store.peers().get(peer).await?.signing_key)?;
        let mut known = self.ask_last_cosigned(peer).await?;
        self.asked.send_if_modified(|asked| asked.insert(peer));
        // A cosignature that was given and never arrived is asked for again.
        let arrived = self.log.cosigned().newest().iter().any(|line| line.witness == key.name() && line.size >= known);
        let mut again = known > 0 && !arrived;
        let mut in_conflict = false;
        loop {
            if !again {
                self.log.grown_from(known).await;
                tokio::time::sleep(ROUND).await;
            }
            again = false;
            let Some(checkpoint) = self.log.checkpoint() else { continue };
            // What a revoked key cosigns counts for nothing, and would take the place of what it cosigned before.
            self.store.parties().key_of(peer).await?;
            let answer = self.ask_to_cosign(peer, &key, known, &checkpoint).await?;
            // One word of another size can be an answer that never arrived; two in a row are no witness's.
            if in_conflict && matches!(answer, Cosigning::Known(_)) {
                tracing::warn!(%peer, "the peer tells one size of our log and then another");
                return Ok(());
            }
            in_conflict = matches!(answer, Cosigning::Known(_));
            match answer {
                Cosigning::Done => known = checkpoint.checkpoint().size,
                Cosigning::Known(size) if size != known && size <= checkpoint.checkpoint().size => {
                    known = size;
                    again = true;
                }
                Cosigning::Known(_) => known = self.ask_last_cosigned(peer).await?,
                Cosigning::Refused => return Ok(()),
            }
        }
    }

    /// What the peer cosigned last of our log: its size.
    async fn ask_last_cosigned(&self, peer: PartyId) -> Result<u64, Error> {
        let asked = Ask::LastCosigned(pb::LastCosigned { origin: self.log.origin().to_owned() });
        let Answer::Cosigned(last) = ask(&self.peers, peer, asked).await? else {
            return Err(Error::new(codes::PEER_FAILED, format!("{peer} witnesses no logs")).with(peer));
        };
        if last.checkpoint.is_empty() {
            return Ok(0);
        }
        let lie = || Error::new(codes::PEER_FAILED, format!("{peer} showed a checkpoint that we have not signed"));
        let shown = SignedCheckpoint::parse(&last.checkpoint).map_err(|_| lie().with(peer))?;
        self.hear_of_our_log(peer, shown).await?.ok_or_else(|| lie().with(peer))
    }

    /// Takes in a checkpoint that bears our log's name. Returns its size, `None` if we have not signed it.
    ///
    /// # Errors
    /// [`codes::LOG_OLD`] if it shows that our log is an old copy, or not the only one; [`Error`] of the log.
    pub(super) async fn hear_of_our_log(&self, peer: PartyId, shown: SignedCheckpoint) -> Result<Option<u64>, Error> {
        let keys = KeyRing::from_iter([self.log.key().public().clone()]);
        let stated = shown.checkpoint().clone();
        if !shown.is_of(self.log.key().public()) {
            return Ok(None);
        }
        let signed = self.log.checkpoint().map_or(0, |newest| newest.checkpoint().size);
        if (signed + 1..=self.log.head().size).contains(&stated.size) {
            // All of it is here; only the checkpoint was lost and is on its way.
            self.log.signed(stated.size).await?;
        }
        let (log, cosigned) = (self.log.clone(), stated.clone());
        let heard = spawn_blocking(move || log.peer_cosigned(peer.as_str(), cosigned.size, &cosigned.root)).await;
        let heard = heard.map_err(|_| Error::internal("the log was left while it was read"))?;
        // Whoever else signs with our key has signed this one; the newest of ours may be of the same size.
        if let (Err(ChainError::Forked { .. }), Some(known)) = (&heard, self.log.checkpoint()) {
            let evidence = ForkEvidence { known: (*known).clone(), offered: shown, proof: Vec::new() };
            if evidence.verify(&keys).is_ok() {
                self.witnessing.keep_fork(evidence).await?;
            }
        }
        heard?;
        Ok(Some(stated.size))
    }

    async fn ask_to_cosign(
        &self,
        peer: PartyId,
        key: &VerifierKey,
        old: u64,
        checkpoint: &Arc<SignedCheckpoint>,
    ) -> Result<Cosigning, Error> {
        let (log, size) = (self.log.clone(), checkpoint.checkpoint().size);
        let proof = spawn_blocking(move || log.consistency(old, size)).await;
        let proof = proof.map_err(|_| Error::internal("the log was left while it was read"))??;
        let request = AddCheckpoint { old, proof, checkpoint: (**checkpoint).clone() };
        let asked = Ask::AddCheckpoint(pb::AddCheckpoint { request: request.encode().into() });
        let Answer::Witnessed(answer) = ask(&self.peers, peer, asked).await? else { return Ok(Cosigning::Refused) };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        match answer.status {
            200 => {
                let line = body.lines().map(NoteSignature::parse).find_map(Result::ok);
                let missing = || Error::new(codes::PEER_FAILED, format!("{peer} sent no signature line"));
                let (line, key) = (line.ok_or_else(missing)?, key.clone());
                let (log, checkpoint) = (self.log.clone(), checkpoint.clone());
                let kept = spawn_blocking(move || log.add_cosignature(&checkpoint, line, &key)).await;
                kept.map_err(|_| Error::internal("the log was left while it was written"))??;
                Ok(Cosigning::Done)
            }
            409 => Ok(body.trim().parse().map_or(Cosigning::Refused, Cosigning::Known)),
            status => {
                tracing::warn!(%peer, status, "the peer does not cosign our log");
                Ok(Cosigning::Refused)
            }
        }
    }
}
