//! Witnesses compare what they cosigned of the same log, so that a log which tells each of them another history is caught.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_core::PartyId;

use super::asking::ask;
use super::message::{self, Answer, Ask, generated as pb};
use super::witnesses::Witnesses;
use super::witnessing::Witnessing;
use crate::chain::{Log, LogName, Witnessed};
use crate::codes::{self, Error};
use crate::peers::{Background, Peers};
use crate::store::Store;

/// How often witnesses compare.
const COMPARING: Duration = Duration::from_secs(2);

/// What peers were told last of each log: size and root.
type Told = Mutex<BTreeMap<(PartyId, LogName), (u64, Hash)>>;

/// What we and other witnesses tell each other.
pub(super) struct Gossip {
    store: Arc<Store>,
    peers: Arc<Peers>,
    log: Log,
    witnesses: Arc<Witnesses>,
    witnessing: Arc<Witnessing>,
    background: Background,
}

impl Gossip {
    /// Compares what we witness with these peers; what one of them has seen of `log`, our own, goes to its witnesses.
    pub(super) fn new(
        store: Arc<Store>,
        peers: Arc<Peers>,
        log: Log,
        witnesses: Arc<Witnesses>,
        witnessing: Arc<Witnessing>,
        background: Background,
    ) -> Self {
        Self { store, peers, log, witnesses, witnessing, background }
    }

    /// Compares what is witnessed with others until the daemon ends.
    pub(super) fn keep(self: &Arc<Self>) {
        self.background.spawn_until_stopped(self.clone().keep_comparing());
    }

    /// Another witness asks what we cosigned of a log, or shows what contradicts it.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] if that cannot be read; [`Error`] of the witness.
    pub(super) async fn handle_gossip(&self, from: PartyId, seen: &pb::Gossip) -> Result<Answer, Error> {
        let unreadable = |_| Error::new(codes::BAD_REQUEST, "the peer's message cannot be read").with(from);
        let name = LogName(<[u8; 32]>::try_from(&seen.log[..]).map_err(|_| unreadable(()))?);
        let shown = match &seen.checkpoint[..] {
            [] => None,
            bytes => Some(SignedCheckpoint::parse(bytes).map_err(|_| unreadable(()))?),
        };
        if name == LogName::of(self.log.key().public()) {
            if let Some(shown) = shown {
                // An error of our log is ours, and has been said aloud.
                let _ = self.witnesses.hear_of_our_log(from, shown).await;
            }
            return Ok(message::cosigned(self.log.checkpoint().as_deref()));
        }
        let Some(known) = self.witnessing.last(name).await? else { return Ok(Answer::Unknown(pb::Unknown {})) };
        if let Some(shown) = shown {
            self.witnessing.compare(name, shown).await?;
        }
        Ok(message::cosigned(Some(&known.head.checkpoint)))
    }

    /// Tells every linked peer, for each log whose head has changed since, that we have seen it, and compares. A peer that
    /// does not answer keeps nobody else waiting.
    async fn keep_comparing(self: Arc<Self>) {
        let told = Arc::<Told>::default();
        let mut at_work = BTreeMap::new();
        loop {
            tokio::time::sleep(COMPARING).await;
            let Ok(all) = self.witnessing.all().await else { continue };
            let all: Arc<[Witnessed]> = all.into();
            at_work.retain(|_, task: &mut tokio::task::JoinHandle<Option<()>>| !task.is_finished());
            let links = self.peers.links().borrow().clone();
            for peer in links.iter().filter(|(_, link)| link.is_up()).map(|(peer, _)| *peer) {
                at_work.entry(peer).or_insert_with(|| {
                    let (this, all, told) = (self.clone(), all.clone(), told.clone());
                    self.background.spawn_until_stopped(async move { this.compare_all_with(peer, &all, &told).await })
                });
            }
        }
    }

    async fn compare_all_with(&self, peer: PartyId, all: &[Witnessed], told: &Told) {
        let Ok(pinned) = self.store.peers().get(peer).await else { return };
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

    async fn compare_with(&self, peer: PartyId, known: &Witnessed) -> Result<(), Error> {
        let name = LogName::of(&known.key);
        let seen = |checkpoint: Vec<u8>| {
            Ask::Gossip(pb::Gossip { log: name.0.to_vec().into(), checkpoint: checkpoint.into() })
        };
        let Answer::Cosigned(theirs) = ask(&self.peers, peer, seen(Vec::new())).await? else { return Ok(()) };
        let Ok(shown) = SignedCheckpoint::parse(&theirs.checkpoint) else { return Ok(()) };
        if self.witnessing.compare(name, shown).await? {
            // So that the other has both, too.
            ask(&self.peers, peer, seen(known.head.checkpoint.encode())).await?;
        }
        Ok(())
    }
}
