//! What a transport is made of, whoever dials: its identity, its peers, its calls.

use std::sync::{Arc, PoisonError, RwLock};

use tacitly_core::PartyId;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::dial::{self, Target};
use crate::transport::connection::{Connection, outgoing};
use crate::transport::directory::PeerDirectory;
use crate::transport::enrolment::Enroller;
use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;
use crate::transport::generated as pb;
use crate::transport::identity::TlsIdentity;
use crate::transport::settings::Settings;
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
        let (sender, outgoing) = outgoing();
        let calls = outgoing.map(wire::to_wire);
        let answers = line.client.open(calls).await.map_err(|status| broken(peer, &status))?.into_inner();
        // The client is kept with the stream: its connection lives as long as the stream is read.
        let client = line.client;
        let incoming = answers.map(move |item| {
            let _ = &client;
            received(peer, item)
        });
        Ok(Connection {
            peer,
            dialler: self.me,
            pin: Some(line.pin),
            outgoing: sender,
            incoming: Box::pin(incoming),
            last_seen: line.last_seen,
            cut: line.cut,
        })
    }
}

/// An item of a gRPC stream as an envelope.
pub(super) fn received(peer: PartyId, item: Result<pb::Envelope, Status>) -> Result<Envelope, LinkError> {
    item.map_err(|status| broken(peer, &status))
        .and_then(|envelope| wire::from_wire(envelope).map_err(|rule| LinkError::Violation { peer, rule }))
}

/// A gRPC status as what it means for the link.
pub(super) fn broken(peer: PartyId, status: &Status) -> LinkError {
    match status.code() {
        Code::OutOfRange => LinkError::Violation { peer, rule: "envelope-size" },
        _ => LinkError::Broken { peer, detail: in_one_line(status) },
    }
}

/// The innermost cause is what a person can act on; the layers above it only say that there was one.
fn in_one_line(status: &Status) -> String {
    let first = std::error::Error::source(status);
    let mut causes = std::iter::successors(first, |cause| cause.source());
    let ended = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
    };
    let text = match causes.clone().last() {
        _ if causes.any(ended) => "it ended without a word, as when a process is killed".to_owned(),
        Some(cause) => cause.to_string(),
        None => format!("{:?}: {}", status.code(), status.message()),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect()
}
