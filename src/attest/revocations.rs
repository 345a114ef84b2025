//! Signing keys that count no more: ours, if we revoke it, and those of others, of which we hear.
//!
//! A revocation is an entry that is signed with the key itself: it needs no other word, and whoever has it may hand it on. It
//! goes on record, then to every peer; who is away hears it when its link comes up. From then on nothing is agreed with
//! that key, no checkpoint of its logs is cosigned, and the policies that certificates carry say since when it does not
//! count. An identity has one key, so its owner begins a new one.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use tacitly_attestation::entry::{Body, RevocationEntry, SignedEntry, Time};
use tacitly_core::PartyId;
use tokio::task::JoinSet;

use super::asking::ask;
use super::message::{Answer, Ask, generated as pb};
use super::profile::Profile;
use super::recorder::{Recorder, entry_key, unfit};
use crate::codes::{self, Error};
use crate::peers::{Background, Peers};
use crate::store::{PublicKey, Revocation, Signer, Store};

/// What the entry about our own key stands under.
const SUBJECT: &str = "revocation";

/// Our own key, revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The entry's hash as a leaf.
    pub leaf: String,
    /// From when on the key counts no more.
    pub since: String,
    /// Peers that know.
    pub told: Vec<PartyId>,
    /// Peers that hear it when their link is up.
    pub untold: Vec<PartyId>,
}

/// Revocations of one party, and those that it hears.
pub struct Revocations {
    store: Arc<Store>,
    signer: Arc<dyn Signer>,
    peers: Arc<Peers>,
    recorder: Arc<Recorder>,
    profile: Arc<Profile>,
    background: Background,
}

impl Revocations {
    pub(super) fn new(
        store: Arc<Store>,
        signer: Arc<dyn Signer>,
        peers: Arc<Peers>,
        recorder: Arc<Recorder>,
        profile: Arc<Profile>,
        background: Background,
    ) -> Self {
        Self { store, signer, peers, recorder, profile, background }
    }

    /// Revokes our own signing key: on record first, then to every peer. `since` is from when on it counts no more, a
    /// moment that is not ahead; empty: from now on. Said again, the first word stands and is told again.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a moment that is none or lies ahead, or an error of the store or the log.
    pub async fn revoke(self: &Arc<Self>, since: &str, by: &str) -> Result<Revoked, Error> {
        let bad = |text: &str| Error::new(codes::BAD_REQUEST, text);
        let (me, key, now) = (self.peers.me(), self.signer.public_key(), self.store.now());
        let since: Timestamp = match since {
            "" => now,
            moment => moment.parse().map_err(|_| bad("write date, time and zone, as in 2027-01-01T08:00:00+08:00"))?,
        };
        if since > now {
            return Err(bad("a key is revoked from a moment on that is not ahead"));
        }
        let entry = match self.recorder.recorded(SUBJECT, SUBJECT).await? {
            Some(known) => known.entry,
            None => {
                let since = u64::try_from(since.as_millisecond()).unwrap_or_default();
                let body = RevocationEntry { key: entry_key(me, &key)?, since: Time::new(since).map_err(unfit)? };
                let entry = self.recorder.sign_entry(self.recorder.header(Vec::new())?, body)?;
                self.recorder.record(SUBJECT, entry).await?.entry
            }
        };
        let revocation = read(&entry).ok_or_else(|| Error::internal("our own revocation can be read"))?;
        self.store.revocations().add(&revocation, by).await?;
        self.peers.learn_revocations().await?;
        self.profile.renew_policy();
        tracing::warn!(since = %revocation.since, "our signing key is revoked");
        let (mut told, mut untold) = (Vec::new(), Vec::new());
        let mut answers = JoinSet::new();
        for peer in self.store.peers().all().await? {
            let (this, note) = (self.clone(), revocation.note.clone());
            answers.spawn(async move { (peer.id, this.tell(peer.id, note).await) });
        }
        for (peer, heard) in answers.join_all().await {
            if heard { told.push(peer) } else { untold.push(peer) }
        }
        told.sort_unstable();
        untold.sort_unstable();
        Ok(Revoked { leaf: entry.leaf().to_string(), since: revocation.since.to_string(), told, untold })
    }

    /// Tells a peer whose link has come up of every key that counts no more.
    pub(super) fn tell_all(self: &Arc<Self>, peer: PartyId) {
        let this = self.clone();
        self.background.spawn(async move {
            for revocation in this.store.revocations().all().await.unwrap_or_default() {
                this.tell(peer, revocation.note).await;
            }
        });
    }

    async fn tell(&self, peer: PartyId, note: Vec<u8>) -> bool {
        let revoked = Ask::Revoked(pb::Revoked { entry: Bytes::from(note) });
        matches!(ask(&self.peers, peer, revoked).await, Ok(Answer::Noted(_)))
    }

    /// Somebody says that a key counts no more. Of a party that is not known here by that key it is nothing to us.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for what is no revocation or not signed with the key itself, or an error of the store.
    pub(super) async fn hear(self: &Arc<Self>, from: PartyId, revoked: &pb::Revoked) -> Result<Answer, Error> {
        let refuse = |text: &str| Error::new(codes::BAD_REQUEST, text).with(from);
        let entry = SignedEntry::parse(&revoked.entry).map_err(|_| refuse("a revocation that cannot be read"))?;
        let revocation = read(&entry).ok_or_else(|| refuse("an entry that revokes nothing"))?;
        let Revocation { party, key, .. } = &revocation;
        if !entry.is_signed_by(&entry_key(*party, key)?) {
            return Err(refuse("a revocation that is not signed with the key itself"));
        }
        let is_known = self.store.parties().all().await?.get(party) == Some(key);
        if is_known && self.store.revocations().add(&revocation, from.as_str()).await? {
            tracing::warn!(%party, since = %revocation.since, "a signing key is revoked");
            self.peers.learn_revocations().await?;
            self.profile.renew_policy();
            let peers: Vec<PartyId> = self.peers.links().borrow().keys().copied().collect();
            peers.into_iter().filter(|peer| *peer != from).for_each(|peer| self.tell_all(peer));
        }
        Ok(Answer::Noted(pb::Noted {}))
    }
}

/// What an entry says about a key of who recorded it.
fn read(entry: &SignedEntry) -> Option<Revocation> {
    let Body::Revocation(body) = entry.entry().body() else { return None };
    Some(Revocation {
        party: entry.entry().header().by,
        key: PublicKey::from_bytes(body.key.public()).ok()?,
        since: Timestamp::from_millisecond(i64::try_from(body.since.get()).ok()?).ok()?,
        note: entry.encode(),
    })
}
