//! Partners: who is pinned, how one joins, and asking their daemons, for as long as it may take.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use tacitly_core::{MalformedPartyId, PartyId};
use tokio::sync::watch;
use tokio::time::Instant;

use super::directory::Directory;
use super::invitation::{
    Code, ENROLMENT_CONTEXT, ReadInvitation, WELCOME_CONTEXT, enrolment_words, is_signed, read_invitation, read_key,
    welcome_words,
};
use super::message::{self, Reply};
use crate::codes::{self, Error};
use crate::session::Network;
use crate::store::{InviteToken, NewPeer, Peer, PublicKey, Signer, Store, StoreError};
use crate::transport::{Application, EnrolError, Grpc, Inviter, LinkError, LinkState, TlsIdentity};

/// How long a peer may take to answer whoever does not ask again.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to answer whoever does.
const LONG_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before a peer is asked again that did not answer. A link that breaks under a question is noticed within two
/// heartbeats; a peer that cannot answer yet is just starting.
const PAUSE: Duration = Duration::from_millis(200);

/// Partners of one party, and the network on which they are reached.
pub struct Peers {
    store: Arc<Store>,
    network: Network,
    transport: Grpc,
    directory: Arc<Directory>,
    signer: Arc<dyn Signer>,
    /// Where others reach us, if they can.
    address: Option<String>,
    /// How long a lost link is waited for.
    window: Duration,
    /// Keys that count no more, as the store knows them: asked for every question of a service.
    revoked: RwLock<BTreeSet<[u8; 32]>>,
}

/// A fresh invitation.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// What the other party joins with. It holds a one-time secret.
    pub code: String,
    /// When it is void.
    pub expires: Timestamp,
}

/// A partner as its operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// Its name.
    pub party: PartyId,
    /// Where we dial it; none if it dials us.
    pub address: Option<String>,
    /// Whether the link is up.
    pub link_up: bool,
    /// Why it is not, in words.
    pub link_detail: String,
    /// How many seconds its clock was ahead of ours when the link came up; below 0, behind.
    pub clock_ahead: i64,
    /// Its signing key.
    pub key: String,
}

impl Peers {
    /// The partners in this store, reached over this network. `address` is where others reach us, if they can; `window` is
    /// how long a lost link is waited for.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        network: Network,
        transport: Grpc,
        directory: Arc<Directory>,
        signer: Arc<dyn Signer>,
        address: Option<String>,
        window: Duration,
    ) -> Self {
        Self { store, network, transport, directory, signer, address, window, revoked: RwLock::default() }
    }

    /// This party.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.network.me()
    }

    /// The TLS key and certificate that new connections show.
    #[must_use]
    pub fn identity(&self) -> Arc<TlsIdentity> {
        self.transport.identity()
    }

    /// The network on which peers are reached.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// The state of the link with every peer, now and whenever one changes.
    #[must_use]
    pub fn links(&self) -> watch::Receiver<BTreeMap<PartyId, LinkState>> {
        self.network.links()
    }

    /// The signing key of a party: ours, or the one that we have pinned with a peer or a roster.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::KEY_REVOKED`] or an error of the store.
    pub async fn key_of(&self, party: PartyId) -> Result<PublicKey, Error> {
        if party == self.me() {
            let key = self.signer.public_key();
            return match self.store.revocations().get(&key).await? {
                Some(_) => Err(StoreError::Revoked { party }.into()),
                None => Ok(key),
            };
        }
        Ok(self.store.parties().key_of(party).await?)
    }

    /// Reads again which keys count no more: at the start, and when one more does.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn learn_revocations(&self) -> Result<(), Error> {
        let all = self.store.revocations().all().await?;
        let keys = all.iter().map(|revoked| *revoked.key.as_bytes()).collect();
        *self.revoked.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    /// Refuses the key of a party that counts no more.
    ///
    /// # Errors
    /// [`codes::KEY_REVOKED`].
    pub fn refuse_revoked(&self, party: PartyId, key: &PublicKey) -> Result<(), Error> {
        let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner).contains(key.as_bytes());
        if revoked { Err(StoreError::Revoked { party }.into()) } else { Ok(()) }
    }

    /// Refuses a party that cannot be asked because it is no peer, although it may be a member of a consortium.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`] or an error of the store.
    pub async fn require_peer(&self, party: PartyId) -> Result<(), Error> {
        match self.store.peers().get(party).await {
            Ok(_) => Ok(()),
            Err(StoreError::NotFound { .. }) if self.store.parties().key_of(party).await.is_ok() => {
                let text = format!(
                    "{party} is a member of a consortium and no peer of ours, so it cannot be asked from here; become peers \
                     with it, or let a party lead that is a peer of all"
                );
                Err(Error::new(codes::PEER_UNKNOWN, text).with(party))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the link with a peer is down. A party that is no peer has none.
    #[must_use]
    pub fn link_is_down(&self, peer: PartyId) -> bool {
        self.links().borrow().get(&peer).is_some_and(|link| !link.is_up())
    }

    /// Asks a service of the peer's daemon, once.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::LINK_DOWN`]; [`codes::PEER_FAILED`] if the peer cannot answer at the moment, or
    /// its answer cannot be read.
    pub async fn ask(&self, peer: PartyId, service: &'static str, body: Bytes) -> Result<Bytes, Error> {
        let reply = self.network.request(peer, service, body, PATIENCE).await.map_err(|error| {
            let code = match error {
                LinkError::UnknownPeer { .. } => codes::PEER_UNKNOWN,
                LinkError::Declined { .. } => codes::PEER_FAILED,
                _ => codes::LINK_DOWN,
            };
            Error::new(code, error.to_string()).with(peer)
        })?;
        let what = match message::decode_reply(reply) {
            Some(Reply::Body(body)) => return Ok(body),
            Some(Reply::Busy(_)) => "cannot answer at the moment",
            None => "gave an answer that cannot be read",
        };
        Err(Error::new(codes::PEER_FAILED, format!("{peer} {what}")).with(peer))
    }

    /// Asks a service of the peer's daemon, once; nothing if there is no answer, after a pause.
    pub async fn ask_once(&self, peer: PartyId, service: &'static str, body: Bytes) -> Option<Bytes> {
        self.put(peer, service, body).await
    }

    /// Asks a service of the peer's daemon, however long it is away.
    pub async fn ask_until_answered(&self, peer: PartyId, service: &'static str, body: Bytes) -> Bytes {
        loop {
            self.link_up(peer).await;
            if let Some(answer) = self.put(peer, service, body.clone()).await {
                return answer;
            }
        }
    }

    /// Asks a service of the peer's daemon, waiting for its link no longer than the reconnect window.
    ///
    /// # Errors
    /// [`codes::PEER_LOST`] once the link is given up.
    pub async fn ask_within_window(&self, peer: PartyId, service: &'static str, body: Bytes) -> Result<Bytes, Error> {
        tokio::select! {
            answer = self.ask_until_answered(peer, service, body) => Ok(answer),
            error = self.link_given_up(peer) => Err(error),
        }
    }

    /// One try, and a pause if it fails.
    async fn put(&self, peer: PartyId, service: &'static str, body: Bytes) -> Option<Bytes> {
        if let Ok(reply) = self.network.request(peer, service, body, LONG_PATIENCE).await
            && let Some(Reply::Body(body)) = message::decode_reply(reply)
        {
            return Some(body);
        }
        tokio::time::sleep(PAUSE).await;
        None
    }

    async fn link_is(&self, peer: PartyId, up: bool) {
        let mut links = self.links();
        let reached = links.wait_for(|links| links.get(&peer).is_some_and(LinkState::is_up) == up);
        if reached.await.is_err() {
            // The network is gone, and this process with it.
            std::future::pending::<()>().await;
        }
    }

    /// Whether there is a link with this party, up or down: whether it is a peer.
    #[must_use]
    pub fn has_link(&self, party: PartyId) -> bool {
        self.links().borrow().contains_key(&party)
    }

    /// Returns once the link to the peer is up.
    pub async fn link_up(&self, peer: PartyId) {
        self.link_is(peer, true).await;
    }

    /// Since when the link to the peer is up, if it is.
    #[must_use]
    pub fn link_up_since(&self, peer: PartyId) -> Option<Instant> {
        up_since(self.links().borrow().get(&peer))
    }

    /// Since when the link to the peer is down, if there is one and it is.
    #[must_use]
    pub fn link_down_since(&self, peer: PartyId) -> Option<Instant> {
        match self.links().borrow().get(&peer) {
            Some(LinkState::Down { since, .. }) => Some(*since),
            Some(LinkState::Up { .. }) | None => None,
        }
    }

    /// Returns once the link to the peer is up again: not since `before`, but later. It may have been down so shortly
    /// that nobody saw it, or before we began to look.
    pub async fn link_restored(&self, peer: PartyId, before: Option<Instant>) {
        let mut links = self.links();
        let again = |since: Option<Instant>| since.is_some() && since != before;
        if links.wait_for(|links| again(up_since(links.get(&peer)))).await.is_err() {
            // The network is gone, and this process with it.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the link to the peer has been down for the whole reconnect window, with what to say of it.
    pub async fn link_given_up(&self, peer: PartyId) -> Error {
        loop {
            self.link_is(peer, false).await;
            tokio::select! {
                () = tokio::time::sleep(self.window) => break,
                () = self.link_is(peer, true) => {}
            }
        }
        let seconds = self.window.as_secs_f64();
        Error::new(codes::PEER_LOST, format!("the link to {peer} was down for {seconds} s")).with(peer)
    }

    /// Makes a code with which one party, and nobody under another name, can join within `valid`. A peer joins anew with
    /// one, after it has moved or was locked out.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] if `party` is no name of another party or this party cannot be dialled, or an error of the
    /// store.
    pub async fn invite(&self, party: &str, valid: Duration, by: &str) -> Result<Invitation, Error> {
        let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
        let invited: PartyId = party.parse().map_err(|error: MalformedPartyId| bad(error.to_string()))?;
        if invited == self.me() {
            return Err(bad(format!("{invited} is what this party itself is called; name the party that is invited")));
        }
        let Some(address) = self.address.clone() else {
            let text = "this party has no address to be dialled at: let the other side invite, or set network.listen";
            return Err(bad(text.to_owned()));
        };
        let token = InviteToken::fresh()?;
        let expires = self.store.now() + valid.min(Duration::from_secs(30 * 86_400));
        let invite = self.store.invites().create(&token, invited, expires, by).await?;
        self.directory.refresh().await?;
        let identity = self.transport.identity();
        let code = Code {
            party: identity.party(),
            invited,
            address,
            pin: identity.pin().to_string(),
            token: BASE64URL_NOPAD.encode(token.expose()),
        };
        Ok(Invitation { code: code.to_text()?, expires: invite.expires_at })
    }

    /// Joins with a code: each side pins the other's key.
    ///
    /// # Errors
    /// [`codes::INVITATION`] for a code that is mistyped, void, refused or for another party, or of somebody with another
    /// signing key than the peer of its name; [`codes::LINK_DOWN`] if the inviter cannot be reached, or an error of the store.
    pub async fn join(&self, code: &str, by: &str) -> Result<PeerView, Error> {
        let refuse = |text: &str| Error::new(codes::INVITATION, text);
        let read = read_invitation(code);
        let ReadInvitation { inviter, invited, token } =
            read.ok_or_else(|| refuse("the code is incomplete, mistyped or of another version"))?;
        let Inviter { party, pin, .. } = inviter;
        if party == self.me() {
            return Err(refuse("this is our own invitation; the other party joins with it"));
        }
        if invited != self.me() {
            return Err(refuse(&format!("{party} invites {invited} with it, and this is {}", self.me())).with(party));
        }
        let identity = self.transport.identity();
        let words = enrolment_words(identity.party(), party, identity.pin());
        let signature = self.signer.sign(ENROLMENT_CONTEXT, &words);
        let expected = welcome_words(party, identity.party(), identity.pin(), &token);
        let application = Application {
            token,
            identity_key: Bytes::from(self.signer.public_key().to_string()),
            address: self.address.clone(),
            signature: signature.map_err(|error| Error::internal(error.to_string()))?.to_string().into(),
        };
        let welcome = self.transport.enrol(&inviter, application).await.map_err(|error| match error {
            EnrolError::Link(error) => Error::new(codes::LINK_DOWN, error.to_string()),
            other => refuse(&other.to_string()),
        })?;
        let signing_key =
            read_key(&welcome.identity_key).ok_or_else(|| refuse("the inviter's signing key cannot be read"))?;
        if !is_signed(&signing_key, WELCOME_CONTEXT, &expected, &welcome.signature) {
            return Err(refuse("the inviter does not hold the signing key it names").with(party));
        }
        let address = Some(inviter.address);
        let peer = NewPeer { id: party, address: address.clone(), signing_key, pins: vec![pin.to_string()] };
        match self.store.peers().add(peer, by).await {
            Ok(_) => {}
            // The inviter has moved or has a new TLS key, or we were locked out, and an operator of ours took its code.
            Err(StoreError::AlreadyExists { .. }) => {
                let known = self.store.peers().get(party).await?;
                // A code makes a new peer, and never another one in the place of a peer.
                if known.signing_key != signing_key {
                    let text = format!(
                        "{party} is pinned here with another signing key; if it really has a new one, \
                         `tacitly peer remove {party}` first, then join with a fresh invitation"
                    );
                    return Err(refuse(&text).with(party));
                }
                self.key_of(party).await?;
                if known.address != address {
                    self.store.peers().set_address(party, address.as_deref(), by).await?;
                }
                if !known.pins.iter().any(|known| known.pin == pin.to_string()) {
                    self.store.peers().add_pin(party, &pin.to_string(), by).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.refreshed(party).await
    }

    /// Dials a peer at another address from now on, or waits for it to dial us. Its rules, pins and jobs stay.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::BAD_REQUEST`] for what is no address, or an error of the store.
    pub async fn set_address(&self, party: &str, address: Option<&str>, by: &str) -> Result<PeerView, Error> {
        let party: PartyId = party.parse().map_err(|_| no_such_peer())?;
        let is_place = |address: &str| {
            address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<NonZeroU16>().is_ok())
        };
        if let Some(address) = address.filter(|address| !is_place(address)) {
            let text = format!("{address:?} is no address: give a host and a port, such as shop.example:7100");
            return Err(Error::new(codes::BAD_REQUEST, text));
        }
        self.store.peers().set_address(party, address, by).await?;
        self.refreshed(party).await
    }

    /// The peer as it now stands in the store, for the network as well.
    async fn refreshed(&self, party: PartyId) -> Result<PeerView, Error> {
        self.refresh().await?;
        let peer = self.store.peers().get(party).await?;
        Ok(self.view(&peer))
    }

    /// All partners with the state of their links.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn list(&self) -> Result<Vec<PeerView>, Error> {
        Ok(self.store.peers().all().await?.iter().map(|peer| self.view(peer)).collect())
    }

    /// Forgets a partner: its key and its rules, unless it is a member of a consortium.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::PEER_IN_USE`] or an error of the store.
    pub async fn remove(&self, party: &str, by: &str) -> Result<(), Error> {
        let id: PartyId = party.parse().map_err(|_| no_such_peer())?;
        self.store.peers().remove(id, by).await?;
        self.directory.refresh().await?;
        self.network.refresh();
        Ok(())
    }

    /// Lets what the store says about partners hold for the network.
    ///
    /// # Errors
    /// An error of the store.
    pub(super) async fn refresh(&self) -> Result<(), Error> {
        self.directory.refresh().await?;
        self.network.refresh();
        Ok(())
    }

    fn view(&self, peer: &Peer) -> PeerView {
        let (link_up, link_detail, clock_ahead) = match self.network.links().borrow().get(&peer.id) {
            Some(LinkState::Up { clock_ahead, .. }) => {
                (true, String::new(), clock_ahead.map_or(0, |ahead| ahead.as_secs()))
            }
            Some(LinkState::Down { reason, .. }) => (false, reason.to_string(), 0),
            None => (false, "there has been no connection yet".to_owned(), 0),
        };
        PeerView {
            party: peer.id,
            address: peer.address.clone(),
            link_up,
            link_detail,
            clock_ahead,
            key: peer.signing_key.to_string(),
        }
    }
}

fn no_such_peer() -> Error {
    Error::new(codes::PEER_UNKNOWN, "there is no such peer")
}

fn up_since(link: Option<&LinkState>) -> Option<Instant> {
    match link {
        Some(LinkState::Up { since, .. }) => Some(*since),
        _ => None,
    }
}
