//! Our log held against a peer's: the peer shows, with proofs, what it recorded of the jobs it did with us.

use std::sync::Arc;
use std::time::Duration;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::entry::SignedEntry;
use tacitly_attestation::hash::leaf_hash;
use tacitly_attestation::note::{KeyRing, KeyUse, VerifierKey};
use tacitly_attestation::tree::{verify_consistency, verify_inclusion};
use tacitly_attestation::witness::ForkEvidence;
use tacitly_core::PartyId;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::asking::ask;
use super::message::{self, Answer, Ask, generated as pb};
use super::recorder::malformed;
use super::witnessing::Witnessing;
use crate::chain::{ChainError, Log, Placed, Reconciled, concerns, reconcile};
use crate::codes::{self, Error};
use crate::peers::Peers;
use crate::store::Store;

/// Entries that are looked through for one answer, and the bytes after which an answer is long enough.
const LOOKED_THROUGH: u64 = 4096;
const ENOUGH_BYTES: usize = 64 << 10;

/// How often a peer that shows its log to another one is asked again, and the pause before that.
const BUSY_TRIES: u32 = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Entries that are compared at most, on either side, and their bytes.
const MOST: usize = 1 << 20;
const MOST_BYTES: usize = 1 << 30;

/// Answers to our questions that are read at a time.
const HANDED_AT_ONCE: u32 = 4096;

/// How long a peer's log may take to come to its end.
const LONGEST: Duration = Duration::from_secs(600);

/// What we and a peer have on record of the same jobs, compared.
pub struct Reconciliation {
    store: Arc<Store>,
    peers: Arc<Peers>,
    log: Log,
    witnessing: Arc<Witnessing>,
    /// Held while a peer is shown our entries.
    showing: Mutex<()>,
}

impl Reconciliation {
    /// Compares `log` with the logs of these peers, of which we have cosigned something as their witness.
    pub(super) fn new(store: Arc<Store>, peers: Arc<Peers>, log: Log, witnessing: Arc<Witnessing>) -> Self {
        Self { store, peers, log, witnessing, showing: Mutex::default() }
    }

    /// Compares what we recorded of our jobs with `peer` with what it recorded. Entries younger than `grace` may be
    /// missing on one side.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::LINK_DOWN`]; [`codes::PROTOCOL_VIOLATION`] if the peer shows entries that its
    /// log does not hold, or another log than it had us witness; [`codes::PEER_FAILED`] if it shows none, or one that it
    /// had not; an error of the log.
    pub async fn reconcile(&self, peer: &str, grace: Duration) -> Result<Reconciled, Error> {
        let unknown = || Error::new(codes::PEER_UNKNOWN, "there is no such peer");
        let peer: PartyId = peer.parse().map_err(|_| unknown())?;
        let known = self.store.peers().get(peer).await?;
        let theirs = tokio::time::timeout(LONGEST, self.entries_of(peer, known.signing_key.as_bytes())).await;
        let endless = || Error::new(codes::PEER_FAILED, format!("{peer} has not shown its whole log in 10 minutes"));
        let theirs = theirs.map_err(|_| endless().with(peer))??;
        let log = self.log.clone();
        let ours = spawn_blocking(move || own_entries(&log, peer)).await;
        let ours = ours.map_err(|_| Error::internal("the log was left while it was read"))??;
        let now = u64::try_from(self.store.now().as_millisecond()).unwrap_or_default();
        let settled = now.saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        let handed = self.handed_by(peer).await?;
        Ok(reconcile(self.peers.me(), &ours, peer, &theirs, &handed, settled))
    }

    /// What a peer has answered to our questions, as it has signed it.
    async fn handed_by(&self, peer: PartyId) -> Result<Vec<SignedEntry>, Error> {
        let (mut handed, mut after) = (Vec::new(), 0);
        while handed.len() <= MOST {
            let some = self.store.queries().answers_of(peer, after, HANDED_AT_ONCE).await?;
            let Some((last, _)) = some.last() else { break };
            after = *last;
            for (_, note) in some {
                handed.push(SignedEntry::parse(&note).map_err(malformed)?);
            }
        }
        Ok(handed)
    }

    /// All that the peer's log holds of its jobs with us, every entry proven to be in the log, and the log to be the one
    /// that it had us witness.
    async fn entries_of(&self, peer: PartyId, key: &[u8; 32]) -> Result<Vec<Placed>, Error> {
        let lie = |what: &str| Error::lie(peer, what);
        let mut logs = self.witnessing.logs_of(peer).await?;
        logs.sort_by_key(|log| log.head.time);
        // What is shown must go on from this: what we cosigned, later what was shown before.
        let mut known = logs.last().map(|log| log.head.checkpoint.clone());
        let (mut entries, mut from, mut bytes) = (Vec::new(), 0, 0);
        loop {
            let page = self.ask_for_entries(peer, from, known.as_ref()).await?;
            if page.checkpoint.is_empty() {
                // It has begun a log a moment ago, or says so: that proves nothing.
                let text = format!("{peer} shows no log at the moment");
                return Err(Error::new(codes::PEER_FAILED, text).with(peer));
            }
            let checkpoint =
                SignedCheckpoint::parse(&page.checkpoint).map_err(|_| lie("its checkpoint cannot be read"))?;
            let stated = checkpoint.checkpoint();
            let key = VerifierKey::new(&stated.origin, KeyUse::Text, key).map_err(|_| lie("its log has no name"))?;
            if !checkpoint.is_of(&key) {
                return Err(lie("its checkpoint is not signed by its key"));
            }
            let keys = KeyRing::from_iter([key]);
            match &known {
                None => return Err(unwitnessed(peer, &stated.origin)),
                Some(known) if known.checkpoint().origin == stated.origin => {
                    self.hold_against(peer, known, &checkpoint, &page.proof, &keys).await?;
                }
                Some(_) if from > 0 => return Err(lie("it shows entries of two logs")),
                Some(_) => {
                    // It may have several logs; each is held against what we cosigned of it.
                    logs.retain(|log| log.key.name() == stated.origin);
                    let log = logs.pop().ok_or_else(|| unwitnessed(peer, &stated.origin))?;
                    known = Some(log.head.checkpoint);
                    continue;
                }
            }
            let mut brought = 0;
            for shown in &page.entries {
                let path = message::read_hashes(&shown.path).ok_or_else(|| lie("its proof cannot be read"))?;
                let leaf = leaf_hash(&shown.entry);
                let held = verify_inclusion(&leaf, shown.index, stated.size, &path, &stated.root);
                if held.is_err() || shown.index < from {
                    return Err(lie("it shows an entry that its log does not hold"));
                }
                let entry = concerning(&shown.entry, self.peers.me());
                let entry = entry.ok_or_else(|| lie("it shows an entry that is not about a job with us"))?;
                if !entry.entry().belongs_in(&stated.origin, peer) {
                    return Err(lie("it shows an entry that belongs into another log"));
                }
                bytes += shown.entry.len();
                brought += shown.entry.len() + shown.path.len();
                entries.push(Placed { index: shown.index, entry });
            }
            if page.next >= stated.size {
                return Ok(entries);
            }
            // An honest page looks far or brings much.
            let little = page.next < from.saturating_add(LOOKED_THROUGH) && brought < ENOUGH_BYTES;
            if page.next <= from || little || entries.len() > MOST || bytes > MOST_BYTES {
                return Err(lie("its log does not come to an end"));
            }
            from = page.next;
            known = Some(checkpoint);
        }
    }

    async fn ask_for_entries(
        &self,
        peer: PartyId,
        from: u64,
        known: Option<&SignedCheckpoint>,
    ) -> Result<pb::Entries, Error> {
        let (origin, size) = match known.map(SignedCheckpoint::checkpoint) {
            Some(known) => (known.origin.clone(), known.size),
            None => (String::new(), 0),
        };
        let asked = Ask::Entries(pb::EntriesFrom { from, origin, size });
        for _ in 0..BUSY_TRIES {
            match ask(&self.peers, peer, asked.clone()).await {
                Ok(Answer::Entries(page)) => return Ok(page),
                Ok(_) => break,
                // It shows its log to one party at a time.
                Err(busy) if busy.code == codes::PEER_FAILED => tokio::time::sleep(BUSY_PAUSE).await,
                Err(error) => return Err(error),
            }
        }
        Err(Error::new(codes::PEER_FAILED, format!("{peer} cannot show its log at the moment")).with(peer))
    }

    /// Refuses a tree that does not contain all of a `known` one, which the same log has signed. What convicts the log of
    /// two histories is kept.
    async fn hold_against(
        &self,
        peer: PartyId,
        known: &SignedCheckpoint,
        shown: &SignedCheckpoint,
        proof: &[u8],
        keys: &KeyRing,
    ) -> Result<(), Error> {
        let (old, new) = (known.checkpoint(), shown.checkpoint());
        let proof = message::read_hashes(proof).ok_or_else(|| Error::lie(peer, "its proof cannot be read"))?;
        if new.size < old.size {
            let what = format!(
                "it shows {} entries of the log {:?} and has signed {}: it hides some, or has an old copy",
                new.size, new.origin, old.size
            );
            return Err(Error::lie(peer, &what));
        }
        if verify_consistency(old.size, &old.root, new.size, &new.root, &proof).is_ok() {
            return Ok(());
        }
        let evidence = ForkEvidence { known: known.clone(), offered: shown.clone(), proof };
        if evidence.verify(keys).is_ok() {
            self.witnessing.keep_fork(evidence).await?;
        }
        let what = format!("the log {:?} that it shows does not go on from the one that it has signed", new.origin);
        Err(Error::lie(peer, &what))
    }

    /// A peer asks what our log holds of its jobs with us; nothing while another one is shown something.
    ///
    /// # Errors
    /// [`Error`] of the log.
    pub(super) async fn show(&self, to: PartyId, asked: pb::EntriesFrom) -> Result<Option<Answer>, Error> {
        // One at a time: looking through a log is work, and whoever waits asks again.
        let Ok(_one) = self.showing.try_lock() else { return Ok(None) };
        let log = self.log.clone();
        let known = if asked.origin == log.origin() { asked.size } else { 0 };
        let page = spawn_blocking(move || page(&log, to, asked.from, known)).await;
        let page = page.map_err(|_| Error::internal("the log was left while it was read"))??;
        Ok(Some(Answer::Entries(page)))
    }
}

fn unwitnessed(peer: PartyId, origin: &str) -> Error {
    let text = format!("{peer} shows the log {origin:?}, which it has not had us witness yet: ask again in a while");
    Error::new(codes::PEER_FAILED, text).with(peer)
}

/// What our log holds of jobs with that party from an index on, and the proof that it goes on from the tree of `known`
/// entries.
fn page(log: &Log, to: PartyId, from: u64, known: u64) -> Result<pb::Entries, ChainError> {
    let Some(checkpoint) = log.checkpoint() else { return Ok(pb::Entries::default()) };
    let size = checkpoint.checkpoint().size;
    let mut page = pb::Entries { checkpoint: checkpoint.encode().into(), next: from, ..pb::Entries::default() };
    let mut bytes = 0;
    let until = size.min(from.saturating_add(LOOKED_THROUGH));
    log.each_between(from, until, |index, entry| {
        page.next = index + 1;
        if let Some(signed) = concerning(entry, to) {
            let path = log.inclusion(index, size)?;
            let path = message::write_hashes(&path);
            bytes += entry.len() + path.len();
            page.entries.push(pb::LogEntry { index, entry: signed.encode().into(), path });
        }
        Ok(bytes < ENOUGH_BYTES)
    })?;
    if 0 < known && known < size {
        page.proof = message::write_hashes(&log.consistency(known, size)?);
    }
    Ok(page)
}

fn own_entries(log: &Log, with: PartyId) -> Result<Vec<Placed>, ChainError> {
    let mut entries = Vec::new();
    log.each_between(0, log.head().size, |index, bytes| {
        entries.extend(concerning(bytes, with).map(|entry| Placed { index, entry }));
        Ok(entries.len() <= MOST)
    })?;
    Ok(entries)
}

/// The entry, if it says something about a job with that party. Most do not, and are not even read.
fn concerning(bytes: &[u8], with: PartyId) -> Option<SignedEntry> {
    let name = format!("\"{with}\"");
    memchr::memmem::find(bytes, name.as_bytes())?;
    SignedEntry::parse(bytes).ok().filter(|entry| concerns(entry, with))
}
