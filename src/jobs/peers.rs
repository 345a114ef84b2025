//! Partners: who is pinned, how one joins, and what the network asks about them.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tacitly_core::PartyId;

use crate::codes::{self, Trouble};
use crate::session::Network;
use crate::store::{InviteToken, NewPeer, Peer, PublicKey, Signature, Signer, Store, StoreError};
use crate::transport::{
    Application, EnrolError, Enroller, Grpc, Inviter, LinkState, PeerDirectory, Pending, Pin, Welcome,
};

/// What every invitation code begins with: its version.
const PREFIX: &str = "tacitly1-";
/// What the signature under an application to join is made for.
pub const ENROLMENT_CONTEXT: &str = "tacitly enrolment 1";
/// What the signature under a welcome is made for.
const WELCOME_CONTEXT: &str = "tacitly welcome 1";
/// Bytes of checksum in a code, so that a mistyped one is told from a refused one.
const CHECKSUM: usize = 4;

/// Partners of one party.
pub struct Peers {
    store: Arc<Store>,
    network: Network,
    transport: Grpc,
    directory: Arc<Directory>,
    signer: Arc<dyn Signer>,
    /// Where others reach us, if they can.
    address: Option<String>,
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

/// What an invitation code carries.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    party: PartyId,
    address: String,
    pin: String,
    token: String,
}

impl Peers {
    /// The partners in this store, reached over this network. `address` is where others reach us, if they can.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        network: Network,
        transport: Grpc,
        directory: Arc<Directory>,
        signer: Arc<dyn Signer>,
        address: Option<String>,
    ) -> Self {
        Self { store, network, transport, directory, signer, address }
    }

    /// Makes a code with which one party can join within `valid`.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] if this party cannot be dialled, or trouble of the store.
    pub async fn invite(&self, valid: Duration, by: &str) -> Result<Invitation, Trouble> {
        let Some(address) = self.address.clone() else {
            let text = "this party has no address to be dialled at: let the other side invite, or set network.listen";
            return Err(Trouble::new(codes::BAD_REQUEST, text));
        };
        let token = InviteToken::fresh()?;
        let expires = self.store.now() + valid.min(Duration::from_secs(30 * 86_400));
        let invite = self.store.create_invite(&token, expires, by).await?;
        self.directory.refresh().await?;
        let identity = self.transport.identity();
        let code = Code {
            party: identity.party(),
            address,
            pin: identity.pin().to_string(),
            token: BASE64URL_NOPAD.encode(token.expose()),
        };
        Ok(Invitation { code: code.to_text()?, expires: invite.expires_at })
    }

    /// Joins with a code: each side pins the other's key.
    ///
    /// # Errors
    /// [`codes::INVITATION`] for a code that is mistyped, void or refused, or of somebody with another signing key than
    /// the peer of its name; [`codes::LINK_DOWN`] if the inviter cannot be reached, or trouble of the store.
    pub async fn join(&self, code: &str, by: &str) -> Result<PeerView, Trouble> {
        let refuse = |text: &str| Trouble::new(codes::INVITATION, text);
        let (inviter, token) =
            read_invitation(code).ok_or_else(|| refuse("the code is incomplete, mistyped or of another version"))?;
        let Inviter { party, pin, .. } = inviter;
        if party == self.transport.identity().party() {
            return Err(refuse("this is our own invitation; the other party joins with it"));
        }
        let identity = self.transport.identity();
        let words = enrolment_words(identity.party(), party, identity.pin());
        let signature = self.signer.sign(ENROLMENT_CONTEXT, &words);
        let expected = welcome_words(party, identity.party(), identity.pin(), &token);
        let application = Application {
            token,
            identity_key: Bytes::from(self.signer.public_key().to_string()),
            address: self.address.clone(),
            signature: signature.map_err(|error| Trouble::internal(error.to_string()))?.to_string().into(),
        };
        let welcome = self.transport.enrol(&inviter, application).await.map_err(|error| match error {
            EnrolError::Link(error) => Trouble::new(codes::LINK_DOWN, error.to_string()),
            other => refuse(&other.to_string()),
        })?;
        let signing_key =
            key_of(&welcome.identity_key).ok_or_else(|| refuse("the inviter's signing key cannot be read"))?;
        if !is_signed(&signing_key, WELCOME_CONTEXT, &expected, &welcome.signature) {
            return Err(refuse("the inviter does not hold the signing key it names").with(party));
        }
        let peer = NewPeer { id: party, address: Some(inviter.address), signing_key, pins: vec![pin.to_string()] };
        match self.store.add_peer(peer, by).await {
            Ok(_) => {}
            // The inviter has a new TLS key, or we were locked out, and an operator of ours took its code.
            Err(StoreError::AlreadyExists { .. }) => {
                let known = self.store.peer(party).await?;
                // A code makes a new peer, and never another one in the place of a peer.
                if known.signing_key != signing_key {
                    let text = format!(
                        "{party} is pinned here with another signing key; if it really has a new one, \
                         `tacitly peer remove {party}` first, then join with a fresh invitation"
                    );
                    return Err(refuse(&text).with(party));
                }
                if !known.pins.iter().any(|known| known.pin == pin.to_string()) {
                    self.store.add_pin(party, &pin.to_string(), by).await?;
                }
            }
            Err(error) => return Err(error.into()),
        }
        self.directory.refresh().await?;
        self.network.refresh();
        let peer = self.store.peer(party).await?;
        Ok(self.view(&peer))
    }

    /// All partners with the state of their links.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn list(&self) -> Result<Vec<PeerView>, Trouble> {
        Ok(self.store.peers().await?.iter().map(|peer| self.view(peer)).collect())
    }

    /// Forgets a partner: its key and its rules.
    ///
    /// # Errors
    /// [`codes::PEER_UNKNOWN`], [`codes::PEER_IN_USE`] or trouble of the store.
    pub async fn remove(&self, party: &str, by: &str) -> Result<(), Trouble> {
        let unknown = || Trouble::new(codes::PEER_UNKNOWN, "there is no such peer");
        let id: PartyId = party.parse().map_err(|_| unknown())?;
        self.store.remove_peer(id, by).await?;
        self.directory.refresh().await?;
        self.network.refresh();
        Ok(())
    }

    /// Lets what the store says about partners hold for the network.
    ///
    /// # Errors
    /// Trouble of the store.
    pub(super) async fn refresh(&self) -> Result<(), Trouble> {
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

/// The bytes under that signature: who joins whom with which pin.
#[must_use]
pub fn enrolment_words(joiner: PartyId, inviter: PartyId, pin: Pin) -> Vec<u8> {
    format!("{joiner}\n{inviter}\n{pin}").into_bytes()
}

/// The bytes under the inviter's: who welcomes whom with which pin, and the invitation that it is the answer to.
fn welcome_words(inviter: PartyId, joiner: PartyId, pin: Pin, token: &[u8]) -> Vec<u8> {
    format!("{inviter}\n{joiner}\n{pin}\n{}", BASE64URL_NOPAD.encode(token)).into_bytes()
}

fn is_signed(key: &PublicKey, context: &str, words: &[u8], signature: &[u8]) -> bool {
    let signature = std::str::from_utf8(signature).ok().and_then(|text| text.parse::<Signature>().ok());
    signature.is_some_and(|signature| key.verify(context, words, &signature).is_ok())
}

impl Code {
    fn to_text(&self) -> Result<String, Trouble> {
        let mut bytes = serde_json::to_vec(self).map_err(|error| Trouble::internal(error.to_string()))?;
        bytes.extend_from_slice(&checksum(&bytes));
        Ok(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes)))
    }

    fn from_text(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.trim().strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
        if checksum(body) == sum { serde_json::from_slice(body).ok() } else { None }
    }
}

/// What an invitation code carries: who invites, and the one-time secret for the [`Application`]. `None` if it is
/// incomplete, mistyped or of another version.
#[must_use]
pub fn read_invitation(code: &str) -> Option<(Inviter, Bytes)> {
    let code = Code::from_text(code)?;
    let token = BASE64URL_NOPAD.decode(code.token.as_bytes()).ok()?;
    let inviter = Inviter { party: code.party, address: code.address, proxy: None, pin: code.pin.parse().ok()? };
    Some((inviter, token.into()))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let digest = Sha256::digest(bytes);
    [digest[0], digest[1], digest[2], digest[3]]
}

fn key_of(bytes: &[u8]) -> Option<PublicKey> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

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
    /// Trouble of the store.
    pub async fn new(me: PartyId, store: Arc<Store>, signer: Arc<dyn Signer>) -> Result<Self, Trouble> {
        let open_until = AtomicI64::new(i64::MIN);
        let directory = Self { me, store, signer, peers: RwLock::default(), open_until };
        directory.refresh().await?;
        Ok(directory)
    }

    /// Reads the store again.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn refresh(&self) -> Result<(), Trouble> {
        let peers = self.store.peers().await?;
        let invites = self.store.invites().await?;
        let unused = invites.iter().filter(|invite| invite.used.is_none());
        let until = unused.map(|invite| invite.expires_at.as_second()).max().unwrap_or(i64::MIN);
        *self.peers.write().unwrap_or_else(PoisonError::into_inner) = peers;
        self.open_until.store(until, Ordering::Relaxed);
        Ok(())
    }

    async fn admit(&self, party: PartyId, pin: Pin, application: Application) -> Result<Welcome, Trouble> {
        let refuse = || Trouble::new(codes::INVITATION, "the application cannot be read");
        let words = welcome_words(self.me, party, pin, &application.token);
        let token: [u8; 16] = application.token.as_ref().try_into().map_err(|_| refuse())?;
        let token = InviteToken::from_bytes(token);
        let welcome = self.signer.sign(WELCOME_CONTEXT, &words);
        let welcome = welcome.map_err(|error| Trouble::internal(error.to_string()))?;
        let signing_key = key_of(&application.identity_key).ok_or_else(refuse)?;
        let words = enrolment_words(party, self.me, pin);
        if !is_signed(&signing_key, ENROLMENT_CONTEXT, &words, &application.signature) {
            return Err(Trouble::new(codes::INVITATION, "the applicant does not hold the signing key it names"));
        }
        if let Ok(known) = self.store.peer(party).await {
            // Whoever holds an invitation may become a peer, and may not take the place of one.
            if known.signing_key != signing_key {
                let text = "a peer of this name has another signing key: `tacitly peer remove` it first";
                return Err(Trouble::new(codes::INVITATION, text).with(party));
            }
            self.store.consume_invite(&token, party).await?;
            if !known.pins.iter().any(|known| known.pin == pin.to_string()) {
                self.store.add_pin(party, &pin.to_string(), party.as_str()).await?;
            }
        } else {
            let peer = NewPeer { id: party, address: application.address, signing_key, pins: vec![pin.to_string()] };
            self.store.admit_by_invite(&token, peer).await?;
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
            match &admitted {
                Ok(_) => tracing::info!(%party, "joined with an invitation"),
                Err(trouble) => tracing::warn!(%party, code = trouble.code.name, "an enrolment was refused"),
            }
            admitted.map_err(|trouble| trouble.code.name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_reads_back_and_a_mistyped_one_does_not() {
        let code = Code {
            party: "bank".parse().unwrap(),
            address: "bank.example:7100".to_owned(),
            pin: "spki-sha256:x".to_owned(),
            token: "AAAA".to_owned(),
        };
        let text = code.to_text().unwrap();
        assert_eq!(Code::from_text(&format!(" {text}\n")).unwrap().address, code.address);
        for at in 0..text.len() {
            let mut typo = text.clone().into_bytes();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            assert!(Code::from_text(std::str::from_utf8(&typo).unwrap()).is_none(), "position {at}");
            assert!(Code::from_text(&text[..at]).is_none(), "cut at {at}");
        }
    }
}
