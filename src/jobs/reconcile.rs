//! Our log held against a peer's: the peer shows, with proofs, what it recorded of the jobs it did with us.

use std::time::Duration;

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::entry::SignedEntry;
use tacitly_attestation::hash::{Hash, leaf_hash};
use tacitly_attestation::note::{KeyRing, KeyUse, VerifierKey};
use tacitly_attestation::tree::verify_inclusion;
use tacitly_core::PartyId;
use tokio::task::spawn_blocking;

use super::message::{Answer, Ask, generated as pb};
use super::office::Jobs;
use super::trouble::internal;
use crate::chain::{ChainError, Log, Placed, Reconciled, concerns, reconcile};
use crate::codes::{self, Trouble};

/// Entries that are looked through for one answer, and the bytes after which an answer is long enough.
const LOOKED_THROUGH: u64 = 4096;
const ENOUGH_BYTES: usize = 64 << 10;

/// Entries that are compared at most, on either side.
const MOST: usize = 1 << 20;

impl Jobs {
    /// Compares what we recorded of our jobs with `peer` with what it recorded. Entries younger than `grace` may be
    /// missing on one side.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::LINK_DOWN`]; [`codes::PROTOCOL_VIOLATION`] if the peer shows entries that its
    /// log does not hold; trouble of the log.
    pub async fn reconcile(&self, peer: &str, grace: Duration) -> Result<Reconciled, Trouble> {
        let unknown = || Trouble::new(codes::PEER_UNKNOWN, "there is no such peer");
        let peer: PartyId = peer.parse().map_err(|_| unknown())?;
        let known = self.store.peer(peer).await?;
        let theirs = self.entries_of(peer, known.signing_key.as_bytes()).await?;
        let log = self.log.clone();
        let ours = spawn_blocking(move || own_entries(&log, peer)).await;
        let ours = ours.map_err(|_| internal("the log was left while it was read"))??;
        let now = u64::try_from(self.store.now().as_millisecond()).unwrap_or_default();
        let settled = now.saturating_sub(u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        Ok(reconcile(self.settings.me, &ours, peer, &theirs, settled))
    }

    /// All that the peer's log holds of its jobs with us, every entry proven to be in the log.
    async fn entries_of(&self, peer: PartyId, key: &[u8; 32]) -> Result<Vec<Placed>, Trouble> {
        let lie = |what: &str| Trouble::new(codes::PROTOCOL_VIOLATION, format!("{peer}: {what}")).with(peer);
        let (mut entries, mut from) = (Vec::new(), 0);
        loop {
            let Answer::Entries(page) = self.ask(peer, Ask::Entries(pb::EntriesFrom { from })).await? else {
                return Err(Trouble::new(codes::PEER_FAILED, format!("{peer} cannot show its log at the moment")));
            };
            if page.checkpoint.is_empty() {
                return Ok(entries);
            }
            let checkpoint =
                SignedCheckpoint::parse(&page.checkpoint).map_err(|_| lie("its checkpoint cannot be read"))?;
            let stated = checkpoint.checkpoint();
            let key = VerifierKey::new(&stated.origin, KeyUse::Text, key).map_err(|_| lie("its log has no name"))?;
            if !checkpoint.verify(&KeyRing::from_iter([key])).is_ok_and(|signed| !signed.is_empty()) {
                return Err(lie("its checkpoint is not signed by its key"));
            }
            for shown in &page.entries {
                let (path, rest) = shown.path.as_chunks();
                let path: Vec<Hash> = path.iter().copied().map(Hash).collect();
                let leaf = leaf_hash(&shown.entry);
                let held = verify_inclusion(&leaf, shown.index, stated.size, &path, &stated.root);
                if !rest.is_empty() || held.is_err() || shown.index < from {
                    return Err(lie("it shows an entry that its log does not hold"));
                }
                let entry = SignedEntry::parse(&shown.entry).map_err(|_| lie("an entry cannot be read"))?;
                entries.push(Placed { index: shown.index, entry });
            }
            if page.next >= stated.size {
                return Ok(entries);
            }
            if page.next <= from || entries.len() > MOST {
                return Err(lie("its log does not come to an end"));
            }
            from = page.next;
        }
    }

    /// A peer asks what our log holds of its jobs with us.
    pub(super) async fn show_entries(&self, to: PartyId, asked: &pb::EntriesFrom) -> Result<Answer, Trouble> {
        // One at a time: looking through a log is work, and whoever waits asks again.
        let Ok(_one) = self.showing.try_lock() else { return Ok(Answer::Busy(pb::Busy {})) };
        let (log, from) = (self.log.clone(), asked.from);
        let page = spawn_blocking(move || page(&log, to, from)).await;
        Ok(Answer::Entries(page.map_err(|_| internal("the log was left while it was read"))??))
    }
}

fn page(log: &Log, to: PartyId, from: u64) -> Result<pb::Entries, ChainError> {
    let Some(checkpoint) = log.checkpoint() else { return Ok(pb::Entries::default()) };
    let size = checkpoint.checkpoint().size;
    let mut page = pb::Entries { checkpoint: checkpoint.encode().into(), next: from, ..pb::Entries::default() };
    let mut bytes = 0;
    let until = size.min(from.saturating_add(LOOKED_THROUGH));
    log.each_between(from, until, |index, entry| {
        page.next = index + 1;
        if let Some(signed) = concerning(entry, to) {
            let path = log.inclusion(index, size)?;
            let path: Vec<u8> = path.iter().flat_map(|hash| hash.0).collect();
            bytes += entry.len() + path.len();
            page.entries.push(pb::LogEntry { index, entry: signed.encode().into(), path: path.into() });
        }
        Ok(bytes < ENOUGH_BYTES)
    })?;
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
