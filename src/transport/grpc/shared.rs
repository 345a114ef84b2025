//! What a transport is made of, whoever dials: its identity, its peers, its calls.

use std::sync::{Arc, PoisonError, RwLock};

use tacitly_core::PartyId;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

use super::callers::Lines;
use super::dial::{self, Target};
use super::received::{broken, received};
use super::requests::offered;
use crate::transport::connection::Connection;
use crate::transport::directory::PeerDirectory;
use crate::transport::enrolment::Enroller;
use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;
use crate::transport::identity::TlsIdentity;
use crate::transport::settings::Settings;
use crate::transport::streams::{Incoming, Senders, outgoing};
use crate::transport::wire;

/// A call that came.
pub(super) type Arrival = Result<Connection, LinkError>;

pub(super) struct Shared {
    pub(super) me: PartyId,
    pub(super) identity: RwLock<Arc<TlsIdentity>>,
    pub(super) directory: Arc<dyn PeerDirectory>,
    pub(super) enroller: Option<Arc<dyn Enroller>>,
    pub(super) settings: Settings,
    pub(super) arrivals: Mutex<mpsc::Receiver<Arrival>>,
    pub(super) arrived: mpsc::Sender<Arrival>,
    /// What callers may make us write.
    pub(super) lines: Lines,
    pub(super) closing: CancellationToken,
}

impl Shared {
    pub(super) fn identity(&self) -> Arc<TlsIdentity> {
        self.identity.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) async fn dial(&self, peer: PartyId) -> Result<Connection, LinkError> {
        let pins = self.directory.pins(peer);
        if pins.is_empty() {
            return Err(LinkError::UnknownPeer { peer });
        }
        let address = self.directory.address(peer).ok_or(LinkError::NoAddress { peer })?;
        let target = Target { party: peer, address, proxy: self.directory.proxy(peer), pins };
        let window = self.settings.greeting_window;
        let detail = format!("no connection within {} s", window.as_secs_f32());
        let dialled = timeout(window, self.open(&target)).await;
        dialled.unwrap_or(Err(LinkError::Unreachable { peer, address: target.address, detail }))
    }

    async fn open(&self, target: &Target) -> Result<Connection, LinkError> {
        let peer = target.party;
        let mut line = dial::dial(&self.identity(), target, &self.closing).await?;
        let (sessions, outgoing_sessions) = outgoing();
        let (requests, outgoing_requests) = outgoing();
        let calls = outgoing_sessions.map(wire::to_wire);
        let answers = line.client.open(calls).await.map_err(|status| broken(peer, &status))?.into_inner();
        let (offer, incoming_requests) = offered(peer, outgoing_requests);
        // The client is kept with the stream: its connection lives as long as the stream is read.
        let (client, token, mut offer) = (line.client, line.token, Some(offer));
        let incoming_sessions = answers.map(move |item| {
            let item = received(peer, item);
            if matches!(item, Ok(Envelope::Hello(_)))
                && let Some(offer) = offer.take()
            {
                offer.call(peer, client.clone(), token.clone());
            }
            item
        });
        Ok(Connection {
            peer,
            dialler: self.me,
            pin: Some(line.pin),
            outgoing: Senders { sessions, requests },
            incoming: Incoming::new(Box::pin(incoming_sessions), incoming_requests),
            last_seen: line.last_seen,
            cut: line.cut,
        })
    }
}
