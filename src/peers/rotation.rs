//! A new TLS key without a restart: peers learn it before it is used, and forget the old one after.
//!
//! 1. The new key and certificate are written beside the ones in use.
//! 2. Every peer is told the new pin, signed with the identity key, and accepts both. If one does not answer, the
//!    rotation is given up and nothing has changed, unless the operator insists.
//! 3. The files take their places, and new connections show the new certificate.
//! 4. Every peer is told that the pins before this one end after a grace; who is away hears it at its next link-up.
//!
//! A process that ends anywhere in between starts with a certificate that every peer accepts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tacitly_core::PartyId;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::background::Background;
use super::inbox::Handler;
use super::message::{self, Request, generated as pb};
use super::peers::Peers;
use crate::codes::{self, Error};
use crate::store::{NewEvent, Signature, Signer, Store};
use crate::transport::{Grpc, Pending, Pin, TlsIdentity};

/// The name under which peers ask for this service.
const SERVICE: &str = "peers";

/// What a signature under a pin is a signature for.
const CONTEXT: &str = "tacitly tls pin 1";
/// How long the pins before the present one hold on after a link-up.
const GRACE: Duration = Duration::from_secs(600);
/// The longest grace that a peer is granted.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);
/// Pins that are kept of one peer, ended ones included; more come only with an invitation.
const MAX_PINS: usize = 256;

/// Where a party keeps its TLS key and certificate.
pub trait IdentityFiles: Send + Sync {
    /// Makes a fresh key and certificate and keeps them beside those in use.
    ///
    /// # Errors
    /// [`codes::DISK_FULL`] or [`codes::STORE`].
    fn prepare(&self) -> Result<TlsIdentity, Error>;

    /// Lets what was prepared take the place of what is in use.
    ///
    /// # Errors
    /// [`codes::STORE`].
    fn adopt(&self) -> Result<(), Error>;
}

/// A rotation that took place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotated {
    /// The new pin.
    pub pin: String,
    /// When the new certificate expires.
    pub certificate_expires: String,
    /// Peers that could not be told; they refuse the new key until they join again.
    pub untold: Vec<PartyId>,
}

/// Changes of our TLS key, and word of our peers' changes.
pub struct Rotation {
    store: Arc<Store>,
    signer: Arc<dyn Signer>,
    transport: Grpc,
    peers: Arc<Peers>,
    background: Background,
    one_at_a_time: Mutex<()>,
}

impl Rotation {
    /// The key that this transport shows to these peers. `signer` is the party's.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        signer: Arc<dyn Signer>,
        transport: Grpc,
        peers: Arc<Peers>,
        background: Background,
    ) -> Self {
        Self { store, signer, transport, peers, background, one_at_a_time: Mutex::default() }
    }

    /// Changes the TLS key and certificate. `grace` is how long peers accept the old key after that.
    ///
    /// # Errors
    /// [`codes::LINK_DOWN`] naming the peers that could not be told, unless `force`; then nothing has changed. Error
    /// of the files or the store.
    pub async fn rotate(
        self: &Arc<Self>,
        files: &dyn IdentityFiles,
        force: bool,
        grace: Duration,
    ) -> Result<Rotated, Error> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let next = files.prepare()?;
        let (pin, expires) = (next.pin(), next.not_after());
        let peers: Vec<PartyId> = self.store.peers().all().await?.iter().map(|peer| peer.id).collect();
        let mut answers = JoinSet::new();
        for peer in peers.clone() {
            let this = self.clone();
            answers.spawn(async move { (peer, this.notify_pin(peer, pin, None).await) });
        }
        let told = answers.join_all().await;
        let mut untold: Vec<PartyId> = told.into_iter().filter(|(_, told)| !told).map(|(peer, _)| peer).collect();
        untold.sort_unstable();
        if !untold.is_empty() && !force {
            let names = untold.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let text = format!(
                "the key was not changed, since {names} could not be told of the new one; wait for the link, or rotate \
                 with --force and have {names} join again with an invitation"
            );
            return Err(Error::new(codes::LINK_DOWN, text));
        }
        files.adopt()?;
        if self.transport.replace_identity(next).is_err() {
            return Err(Error::internal("the new certificate names another party"));
        }
        let detail = json!({ "pin": pin.to_string(), "expires": expires.to_string(), "untold": untold });
        let event = NewEvent { job: None, actor: "operator".to_owned(), kind: "identity-rotated".to_owned(), detail };
        self.store.events().append(event).await?;
        tracing::info!(%pin, %expires, "new connections show the new certificate");
        for peer in peers {
            let this = self.clone();
            self.background.spawn(async move { this.notify_pin(peer, pin, Some(grace)).await });
        }
        Ok(Rotated { pin: pin.to_string(), certificate_expires: expires.to_string(), untold })
    }

    /// Tells a peer whose link has come up which pin is ours, in case it was away when an older one was replaced.
    fn announce_pin(self: &Arc<Self>, peer: PartyId) {
        let (this, pin) = (self.clone(), self.transport.identity().pin());
        self.background.spawn(async move { this.notify_pin(peer, pin, Some(GRACE)).await });
    }

    /// Returns whether the peer has noted the pin.
    async fn notify_pin(&self, peer: PartyId, pin: Pin, grace: Option<Duration>) -> bool {
        let mut rotate = pb::Rotate {
            pin: pin.to_string(),
            replaces: grace.is_some(),
            grace_seconds: grace.unwrap_or_default().as_secs(),
            signature: String::new(),
        };
        match self.signer.sign(CONTEXT, &signed(self.peers.me(), peer, &rotate)) {
            Ok(signature) => rotate.signature = signature.to_string(),
            Err(error) => {
                tracing::error!(%error, "our pin could not be signed");
                return false;
            }
        }
        let request = message::encode_request(Request::Rotate(rotate));
        self.peers.ask(peer, SERVICE, request).await.is_ok()
    }

    /// A peer says which pin is its own. Said again, nothing changes.
    async fn take(&self, from: PartyId, rotate: &pb::Rotate) -> Result<(), Error> {
        let refuse = |text: &str| Error::new(codes::BAD_REQUEST, text).with(from);
        let pin: Pin = rotate.pin.parse().map_err(|_| refuse("the pin cannot be read"))?;
        let signature: Signature = rotate.signature.parse().map_err(|_| refuse("the signature cannot be read"))?;
        let peer = self.store.peers().get(from).await?;
        let key = self.store.parties().key_of(from).await?;
        key.verify(CONTEXT, &signed(from, self.peers.me(), rotate), &signature)
            .map_err(|_| refuse("the signature under the pin is not the peer's"))?;
        let pin = pin.to_string();
        let since = match peer.pins.iter().find(|known| known.pin == pin) {
            Some(known) if known.until.is_some() => return Err(refuse("a pin that was ended does not come back")),
            Some(known) => known.since,
            None if peer.pins.len() >= MAX_PINS => return Err(refuse("too many pins; join again with an invitation")),
            None => {
                let since = self.store.now();
                self.store.peers().add_pin(from, &pin, from.as_str()).await?;
                tracing::info!(peer = %from, pin, "the peer has a new key");
                since
            }
        };
        if rotate.replaces {
            let until = self.store.now() + Duration::from_secs(rotate.grace_seconds).min(LONGEST_GRACE);
            let older = peer.pins.iter().filter(|known| known.pin != pin && known.since < since);
            for known in older.filter(|known| known.until.is_none_or(|end| end > until)) {
                self.store.peers().end_pin(from, &known.pin, until, from.as_str()).await?;
            }
        }
        self.peers.refresh().await
    }
}

impl Handler for Rotation {
    fn service(&self) -> &'static str {
        SERVICE
    }

    fn answer(self: Arc<Self>, from: PartyId, body: Bytes) -> Pending<'static, Option<Bytes>> {
        Box::pin(async move {
            let Request::Rotate(rotate) = message::decode_request(body)?;
            match self.take(from, &rotate).await {
                Ok(()) => Some(message::noted()),
                Err(error) => {
                    tracing::warn!(peer = %from, code = error.code.name, "a peer's new pin was not noted");
                    None
                }
            }
        })
    }

    fn link_changed(self: Arc<Self>, peer: PartyId, up: bool) {
        if up {
            self.announce_pin(peer);
        }
    }
}

/// The bytes under the signature: who says to whom that which pin is its own, and what becomes of older ones.
fn signed(from: PartyId, to: PartyId, rotate: &pb::Rotate) -> Vec<u8> {
    let pb::Rotate { pin, replaces, grace_seconds, .. } = rotate;
    format!("{from}\n{to}\n{pin}\n{replaces}\n{grace_seconds}").into_bytes()
}
