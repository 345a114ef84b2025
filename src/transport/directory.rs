//! Who the peers are: asked anew for every connection, so that changes need no restart.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use tacitly_core::PartyId;

use super::identity::Pin;

/// Knows the peers of this party. Answers must come from memory: it is asked in the middle of handshakes.
pub trait PeerDirectory: Send + Sync + 'static {
    /// Every peer.
    fn peers(&self) -> Vec<PartyId>;

    /// The keys that `party` may connect with: one, or several while it rotates its key; none for a stranger.
    fn pins(&self, party: PartyId) -> Vec<Pin>;

    /// Where `party` can be dialled, as `host:port`.
    fn address(&self, party: PartyId) -> Option<String>;

    /// The HTTP proxy through which `party` is dialled, as `http://host:port`.
    fn proxy(&self, party: PartyId) -> Option<String> {
        let _ = party;
        None
    }

    /// Whether an invitation is open, so that a party with an unknown key may connect to enrol, and only to enrol.
    fn admits_strangers(&self) -> bool;
}

/// What a [`Roster`] knows of one peer.
#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The keys it may connect with.
    pub pins: Vec<Pin>,
    /// Where it can be dialled.
    pub address: Option<String>,
    /// The proxy on the way there.
    pub proxy: Option<String>,
}

/// A directory held in memory.
#[derive(Debug, Default)]
pub struct Roster {
    entries: RwLock<BTreeMap<PartyId, Entry>>,
    admits_strangers: std::sync::atomic::AtomicBool,
}

impl Roster {
    /// A directory without peers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what is known of a peer.
    pub fn set(&self, party: PartyId, entry: Entry) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(party, entry);
    }

    /// Forgets a peer.
    pub fn remove(&self, party: PartyId) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(&party);
    }

    /// Opens or closes the door to strangers who want to enrol.
    pub fn admit_strangers(&self, admitted: bool) {
        self.admits_strangers.store(admitted, std::sync::atomic::Ordering::Relaxed);
    }

    fn read<T>(&self, of: impl FnOnce(&BTreeMap<PartyId, Entry>) -> T) -> T {
        of(&self.entries.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl PeerDirectory for Roster {
    fn peers(&self) -> Vec<PartyId> {
        self.read(|entries| entries.keys().copied().collect())
    }

    fn pins(&self, party: PartyId) -> Vec<Pin> {
        self.read(|entries| entries.get(&party).map(|entry| entry.pins.clone()).unwrap_or_default())
    }

    fn address(&self, party: PartyId) -> Option<String> {
        self.read(|entries| entries.get(&party).and_then(|entry| entry.address.clone()))
    }

    fn proxy(&self, party: PartyId) -> Option<String> {
        self.read(|entries| entries.get(&party).and_then(|entry| entry.proxy.clone()))
    }

    fn admits_strangers(&self) -> bool {
        self.admits_strangers.load(std::sync::atomic::Ordering::Relaxed)
    }
}
