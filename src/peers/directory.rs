//! What the network asks about partners, and how one joins by an invitation of ours.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use tacitly_core::PartyId;

use super::invitation::{ENROLMENT_CONTEXT, WELCOME_CONTEXT, enrolment_words, is_signed, read_key, welcome_words};
use crate::codes::{self, Error};
use crate::store::{InviteToken, NewPeer, Peer, Signer, Store, StoreError};
use crate::transport::{Application, Enroller, PeerDirectory, Pending, Pin, Welcome};

/// The network's view of the partners: kept in memory, since it is asked in the middle of handshakes, and read anew
/// from the store whenever that changes.
pub struct Directory {
    me: PartyId,
    store: Arc<Store>,
    /// Our own signing key, shown to those who enrol.
    signer: Arc<dyn Signer>,
    peers: RwLock<Vec<Peer>>,
    /// The moment (seconds) until which an unused invitation is open.
    open_until: AtomicI64,
}

impl Directory {
    /// The partners in this store.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn new(me: PartyId, store: Arc<Store>, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        let open_until = AtomicI64::new(i64::MIN);
        let directory = Self { me, store, signer, peers: RwLock::default(), open_until };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Reads the store again.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn refresh(&self) -> Result<(), Error> {
        let peers = self.store.peers().all().await?;
        let invites = self.store.invites().all().await?;
        let unused = invites.iter().filter(|invite| invite.used.is_none());
        let until = unused.map(|invite| invite.expires_at.as_second()).max().unwrap_or(i64::MIN);
        *self.peers.write().unwrap_or_else(PoisonError::into_inner) = peers;
        self.open_until.store(until, Ordering::Relaxed);
        Ok(())
    }

    async fn admit(&self, party: PartyId, pin: Pin, application: Application) -> Result<Welcome, Error> {
        let refuse = || Error::new(codes::INVITATION, "the application cannot be read");
        let words = welcome_words(self.me, party, pin, &application.token);
        let token: [u8; 16] = application.token.as_ref().try_into().map_err(|_| refuse())?;
        let token = InviteToken::from_bytes(token);
        let welcome = self.signer.sign(WELCOME_CONTEXT, &words);
        let welcome = welcome.map_err(|error| Error::internal(error.to_string()))?;
        let signing_key = read_key(&application.identity_key).ok_or_else(refuse)?;
        let words = enrolment_words(party, self.me, pin);
        if !is_signed(&signing_key, ENROLMENT_CONTEXT, &words, &application.signature) {
            return Err(Error::new(codes::INVITATION, "the applicant does not hold the signing key it names"));
        }
        if let Ok(known) = self.store.peers().get(party).await {
            // Whoever holds an invitation may become a peer, and may not take the place of one.
            if known.signing_key != signing_key {
                let text = "a peer of this name has another signing key: `tacitly peer remove` it first";
                return Err(Error::new(codes::INVITATION, text).with(party));
            }
            self.store.parties().key_of(party).await?;
            self.store.invites().consume(&token, party).await?;
            if application.address.is_some() && known.address != application.address {
                self.store.peers().set_address(party, application.address.as_deref(), party.as_str()).await?;
            }
            if !known.pins.iter().any(|known| known.pin == pin.to_string()) {
                self.store.peers().add_pin(party, &pin.to_string(), party.as_str()).await?;
            }
        } else {
            let peer = NewPeer { id: party, address: application.address, signing_key, pins: vec![pin.to_string()] };
            self.store.invites().admit(&token, peer).await.map_err(|error| match error {
                StoreError::Roster(refusal) => Error::new(codes::INVITATION, refusal.to_string()).with(party),
                error => error.into(),
            })?;
        }
        self.refresh().await?;
        let identity_key = Bytes::from(self.signer.public_key().to_string());
        Ok(Welcome { identity_key, signature: welcome.to_string().into() })
    }

    fn read<T>(&self, party: PartyId, of: impl FnOnce(&Peer) -> T) -> Option<T> {
        let peers = self.peers.read().unwrap_or_else(PoisonError::into_inner);
        peers.iter().find(|peer| peer.id == party).map(of)
    }
}

impl PeerDirectory for Directory {
    fn peers(&self) -> Vec<PartyId> {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).iter().map(|peer| peer.id).collect()
    }

    fn pins(&self, party: PartyId) -> Vec<Pin> {
        let now = self.store.now();
        let valid = |peer: &Peer| {
            let pins = peer.pins.iter().filter(|pin| peer.accepts(&pin.pin, now));
            pins.filter_map(|pin| pin.pin.parse().ok()).collect()
        };
        self.read(party, valid).unwrap_or_default()
    }

    fn address(&self, party: PartyId) -> Option<String> {
        self.read(party, |peer| peer.address.clone()).flatten()
    }

    fn admits_strangers(&self) -> bool {
        self.store.now().as_second() < self.open_until.load(Ordering::Relaxed)
    }
}

impl Enroller for Directory {
    fn enrol(&self, party: PartyId, pin: Pin, application: Application) -> Pending<'_, Result<Welcome, &'static str>> {
        Box::pin(async move {
            let admitted = self.admit(party, pin, application).await;
            if admitted.is_ok() {
                tracing::info!(%party, %pin, "joined with an invitation");
            }
            admitted.map_err(|error| error.code.name)
        })
    }
}
