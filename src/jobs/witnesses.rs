//! Our log and its witnesses, their logs and us: every daemon witnesses the logs of its peers.
//!
//! As owner we ask every peer, when its link comes up, what it cosigned last; if that is more than we have, our log is
//! an old copy and takes no more entries. Then every peer is asked to cosign each new checkpoint. As witness we answer,
//! and compare what we cosigned with other witnesses of the same log, so that a log which tells each of us another
//! history is caught. None of it ever keeps a job waiting, except for a moment at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, KeyUse, NoteSignature, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence};
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use crate::chain::{ChainError, LogName, Verdict, Witnessed};
use crate::codes::{self, Trouble};
use crate::store::PublicKey;
use crate::transport::LinkState;

/// How long new checkpoints gather before they are cosigned.
const ROUND: Duration = Duration::from_millis(500);
/// How long a witness that refuses, or cannot answer, is left alone.
const PAUSE: Duration = Duration::from_secs(5);
/// How often witnesses compare.
const COMPARING: Duration = Duration::from_secs(2);
/// How long entries wait at the start until linked peers have said what they cosigned.
const HOLD: Duration = Duration::from_secs(2);
/// Logs of one peer that are witnessed: it may begin a new one when it has lost the last.
const MAX_LOGS_OF_A_PEER: usize = 16;

/// The name of a party's key as a witness.
#[must_use]
pub fn witness_name(party: PartyId) -> String {
    format!("tacitly/{party}/witness")
}

/// The key of a party as a witness.
///
/// # Errors
/// [`codes::INTERNAL`] if it is no key.
pub(super) fn witness_key(party: PartyId, key: &PublicKey) -> Result<VerifierKey, Trouble> {
    VerifierKey::new(&witness_name(party), KeyUse::Cosignature, key.as_bytes())
        .map_err(|error| Trouble::internal(error.to_string()))
}

/// What peers were told last of each log: size and root.
type Told = Mutex<BTreeMap<(PartyId, LogName), (u64, Hash)>>;

/// What a witness answered.
enum Cosigning {
    Done,
    /// It knows another size.
    Known(u64),
    /// Later, perhaps.
    Refused,
}

impl Jobs {
    /// Holds entries back for a moment while peers say what they cosigned; then has the log witnessed, and compares
    /// what is witnessed with others, until the daemon ends.
    pub fn keep_witnessed(self: &Arc<Self>) {
        self.log.hold();
        let this = self.clone();
        self.tasks.spawn(async move {
            let closing = this.closing.clone();
            closing.run_until_cancelled(this.release_when_asked()).await;
        });
        let this = self.clone();
        self.tasks.spawn(async move {
            let closing = this.closing.clone();
            closing.run_until_cancelled(this.find_witnesses()).await;
        });
        let this = self.clone();
        self.tasks.spawn(async move {
            let closing = this.closing.clone();
            closing.run_until_cancelled(this.keep_comparing()).await;
        });
        for witness in self.outside.clone() {
            let this = self.clone();
            self.tasks.spawn(async move {
                let closing = this.closing.clone();
                closing.run_until_cancelled(this.be_witnessed_outside(witness)).await;
            });
        }
    }

    async fn release_when_asked(&self) {
        let peers: BTreeSet<PartyId> = match self.store.peers().await {
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
            at_work.retain(|_, task: &mut tokio::task::JoinHandle<()>| !task.is_finished());
            for peer in peers {
                at_work.entry(peer).or_insert_with(|| {
                    let this = self.clone();
                    self.tasks.spawn(async move {
                        let closing = this.closing.clone();
                        closing.run_until_cancelled(this.be_witnessed_by(peer)).await;
                    })
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
                Err(error) if error.code == codes::PEER_UNKNOWN => return,
                // The log has said so itself.
                Err(error) if error.code == codes::LOG_OLD => return,
                Err(error) => tracing::info!(%peer, %error, "no cosignature for the moment"),
                Ok(()) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Asks where the peer stands, then for a cosignature of every new checkpoint, until something is in the way.
    async fn be_cosigned_by(&self, peer: PartyId) -> Result<(), Trouble> {
        let key = witness_key(peer, &self.store.peer(peer).await?.signing_key)?;
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
    async fn ask_last_cosigned(&self, peer: PartyId) -> Result<u64, Trouble> {
        let ask = Ask::LastCosigned(pb::LastCosigned { origin: self.log.origin().to_owned() });
        let Answer::Cosigned(last) = self.ask(peer, ask).await? else {
            return Err(Trouble::new(codes::PEER_FAILED, format!("{peer} witnesses no logs")).with(peer));
        };
        if last.checkpoint.is_empty() {
            return Ok(0);
        }
        let lie = || Trouble::new(codes::PEER_FAILED, format!("{peer} showed a checkpoint that we have not signed"));
        let shown = SignedCheckpoint::parse(&last.checkpoint).map_err(|_| lie().with(peer))?;
        self.hear_of_our_log(peer, shown).await?.ok_or_else(|| lie().with(peer))
    }

    /// Takes in a checkpoint that bears our log's name. Returns its size, `None` if we have not signed it.
    pub(super) async fn hear_of_our_log(&self, peer: PartyId, shown: SignedCheckpoint) -> Result<Option<u64>, Trouble> {
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
        let (log, witness) = (self.log.clone(), self.witness.clone());
        let heard = spawn_blocking(move || {
            let heard = log.peer_cosigned(peer.as_str(), stated.size, &stated.root);
            // Whoever else signs with our key has signed this one; the newest of ours may be of the same size.
            if let (Err(ChainError::Forked { .. }), Some(known)) = (&heard, log.checkpoint()) {
                let evidence = ForkEvidence { known: (*known).clone(), offered: shown, proof: Vec::new() };
                if evidence.verify(&keys).is_ok() {
                    witness.keep_fork(&evidence)?;
                }
            }
            heard.map(|()| stated.size)
        });
        Ok(Some(heard.await.map_err(|_| Trouble::internal("the log was left while it was read"))??))
    }

    async fn ask_to_cosign(
        &self,
        peer: PartyId,
        key: &VerifierKey,
        old: u64,
        checkpoint: &Arc<SignedCheckpoint>,
    ) -> Result<Cosigning, Trouble> {
        let (log, size) = (self.log.clone(), checkpoint.checkpoint().size);
        let proof = spawn_blocking(move || log.consistency(old, size)).await;
        let proof = proof.map_err(|_| Trouble::internal("the log was left while it was read"))??;
        let request = AddCheckpoint { old, proof, checkpoint: (**checkpoint).clone() };
        let ask = Ask::AddCheckpoint(pb::AddCheckpoint { request: request.encode().into() });
        let Answer::Witnessed(answer) = self.ask(peer, ask).await? else { return Ok(Cosigning::Refused) };
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        match answer.status {
            200 => {
                let line = body.lines().map(NoteSignature::parse).find_map(Result::ok);
                let missing = || Trouble::new(codes::PEER_FAILED, format!("{peer} sent no signature line"));
                let (line, key) = (line.ok_or_else(missing)?, key.clone());
                let (log, checkpoint) = (self.log.clone(), checkpoint.clone());
                let kept = spawn_blocking(move || log.add_cosignature(&checkpoint, line, &key)).await;
                kept.map_err(|_| Trouble::internal("the log was left while it was written"))??;
                Ok(Cosigning::Done)
            }
            409 => Ok(body.trim().parse().map_or(Cosigning::Refused, Cosigning::Known)),
            status => {
                tracing::warn!(%peer, status, "the peer does not cosign our log");
                Ok(Cosigning::Refused)
            }
        }
    }

    /// As witness: a peer asks for a cosignature of its log.
    pub(super) async fn take_checkpoint(&self, from: PartyId, asked: pb::AddCheckpoint) -> Answer {
        let (status, body) = match self.judge_checkpoint(from, asked).await {
            Ok(verdict) => {
                if matches!(verdict, Verdict::Cosigned(_)) {
                    self.cosigned_by_us.send_replace(());
                }
                verdict.http()
            }
            Err(trouble) => {
                tracing::error!(peer = %from, error = %trouble, "a checkpoint could not be witnessed");
                (500, "this witness cannot answer at the moment\n".to_owned())
            }
        };
        Answer::Witnessed(pb::Witnessed { status: u32::from(status), body: body.into_bytes().into() })
    }

    async fn judge_checkpoint(&self, from: PartyId, asked: pb::AddCheckpoint) -> Result<Verdict, Trouble> {
        let key = self.store.peer(from).await?.signing_key;
        let (witness, now) = (self.witness.clone(), self.store.now().as_second());
        let judged = spawn_blocking(move || {
            let request = match AddCheckpoint::parse(&asked.request) {
                Ok(request) => request,
                Err(error) => return Ok(Verdict::Malformed(error)),
            };
            let origin = &request.checkpoint.checkpoint().origin;
            let unknown = Verdict::Refused(tacitly_attestation::witness::WitnessRefusal::UnknownLog);
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
        judged.await.map_err(|_| Trouble::internal("the witness was left at work"))?.map_err(Trouble::from)
    }

    /// As witness: a peer asks what we cosigned last of its log.
    pub(super) async fn tell_last_cosigned(&self, from: PartyId, asked: &pb::LastCosigned) -> Result<Answer, Trouble> {
        let key = self.store.peer(from).await?.signing_key;
        let log = VerifierKey::new(&asked.origin, KeyUse::Text, key.as_bytes())
            .map_err(|_| Trouble::new(codes::BAD_REQUEST, "not the name of a log").with(from))?;
        let last = self.last_witnessed(LogName::of(&log)).await?;
        Ok(cosigned(last.map(|known| known.head.checkpoint)))
    }

    /// The logs of `peer` that we have cosigned: those that sign with its pinned key.
    pub(super) async fn logs_of(&self, peer: PartyId) -> Result<Vec<Witnessed>, Trouble> {
        let pinned = self.store.peer(peer).await?.signing_key;
        let witness = self.witness.clone();
        let all = spawn_blocking(move || witness.all()).await;
        let mut all = all.map_err(|_| Trouble::internal("the witness was left at work"))??;
        all.retain(|known| known.key.public() == pinned.as_bytes());
        Ok(all)
    }

    async fn last_witnessed(&self, log: LogName) -> Result<Option<Witnessed>, Trouble> {
        let witness = self.witness.clone();
        let last = spawn_blocking(move || witness.last(log)).await;
        last.map_err(|_| Trouble::internal("the witness was left at work"))?.map_err(Trouble::from)
    }

    /// As witness: another one asks what we cosigned of a log, or shows what contradicts it.
    pub(super) async fn take_seen(&self, from: PartyId, seen: &pb::Seen) -> Result<Answer, Trouble> {
        let unreadable = |_| Trouble::new(codes::BAD_REQUEST, "the peer's message cannot be read").with(from);
        let name = LogName(<[u8; 32]>::try_from(&seen.log[..]).map_err(|_| unreadable(()))?);
        let shown = match &seen.checkpoint[..] {
            [] => None,
            bytes => Some(SignedCheckpoint::parse(bytes).map_err(|_| unreadable(()))?),
        };
        if name == LogName::of(self.log.key().public()) {
            if let Some(shown) = shown {
                // Trouble of our log is ours, and has been said aloud.
                let _ = self.hear_of_our_log(from, shown).await;
            }
            return Ok(cosigned(self.log.checkpoint().map(|checkpoint| (*checkpoint).clone())));
        }
        let Some(known) = self.last_witnessed(name).await? else { return Ok(message::ack()) };
        if let Some(shown) = shown {
            self.compare(name, shown).await?;
        }
        Ok(cosigned(Some(known.head.checkpoint)))
    }

    async fn compare(&self, log: LogName, shown: SignedCheckpoint) -> Result<bool, Trouble> {
        let witness = self.witness.clone();
        let compared = spawn_blocking(move || witness.compare(log, &shown)).await;
        Ok(compared.map_err(|_| Trouble::internal("the witness was left at work"))??.is_some())
    }

    /// Tells every linked peer, for each log whose head has changed since, that we have seen it, and compares. A peer that
    /// does not answer keeps nobody else waiting.
    async fn keep_comparing(self: Arc<Self>) {
        let told = Arc::<Told>::default();
        let mut at_work = BTreeMap::new();
        loop {
            tokio::time::sleep(COMPARING).await;
            let witness = self.witness.clone();
            let Ok(Ok(all)) = spawn_blocking(move || witness.all()).await else { continue };
            let all: Arc<[Witnessed]> = all.into();
            at_work.retain(|_, task: &mut tokio::task::JoinHandle<()>| !task.is_finished());
            let links = self.peers.links().borrow().clone();
            for peer in links.iter().filter(|(_, link)| LinkState::is_up(link)).map(|(peer, _)| *peer) {
                at_work.entry(peer).or_insert_with(|| {
                    let (this, all, told) = (self.clone(), all.clone(), told.clone());
                    self.tasks.spawn(async move {
                        let closing = this.closing.clone();
                        closing.run_until_cancelled(this.compare_all_with(peer, &all, &told)).await;
                    })
                });
            }
        }
    }

    async fn compare_all_with(&self, peer: PartyId, all: &[Witnessed], told: &Told) {
        let Ok(pinned) = self.store.peer(peer).await else { return };
        let told = || told.lock().unwrap_or_else(PoisonError::into_inner);
        for known in all.iter().filter(|known| known.key.public() != pinned.signing_key.as_bytes()) {
            let (name, head) = (LogName::of(&known.key), known.head.checkpoint.checkpoint());
            let (about, news) = ((peer, name), (head.size, head.root));
            let is_old = told().get(&about) == Some(&news);
            if !is_old && self.compare_with(peer, known).await.is_ok() {
                told().insert(about, news);
            }
        }
    }

    async fn compare_with(&self, peer: PartyId, known: &Witnessed) -> Result<(), Trouble> {
        let name = LogName::of(&known.key);
        let seen =
            |checkpoint: Vec<u8>| Ask::Seen(pb::Seen { log: name.0.to_vec().into(), checkpoint: checkpoint.into() });
        let Answer::Cosigned(theirs) = self.ask(peer, seen(Vec::new())).await? else { return Ok(()) };
        let Ok(shown) = SignedCheckpoint::parse(&theirs.checkpoint) else { return Ok(()) };
        if self.compare(name, shown).await? {
            // So that the other has both, too.
            self.ask(peer, seen(known.head.checkpoint.encode())).await?;
        }
        Ok(())
    }
}

fn cosigned(checkpoint: Option<SignedCheckpoint>) -> Answer {
    let checkpoint = checkpoint.map(|checkpoint| checkpoint.encode()).unwrap_or_default();
    Answer::Cosigned(pb::Cosigned { checkpoint: checkpoint.into() })
}
