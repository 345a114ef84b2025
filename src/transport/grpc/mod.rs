//! The real network: HTTP/2 over pinned TLS, one port, dialled by either side.

pub(crate) mod bare;
mod callers;
mod dial;
mod listen;
mod proxy;
mod received;
mod requests;
mod service;
mod shared;
mod stream;
#[cfg(test)]
mod tests;
mod windows;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tacitly_core::PartyId;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::callers::Lines;
use self::dial::Target;
use self::received::broken;
use self::shared::{Arrival, Shared};
use super::connection::{Connection, Pending, Transport};
use super::directory::PeerDirectory;
use super::enrolment::{self, Application, EnrolError, Enroller, Inviter, Welcome};
use super::error::LinkError;
use super::identity::{IdentityError, Pin, TlsIdentity};
use super::settings::Settings;

/// The transport over TCP, TLS 1.3 and gRPC. A clone is the same transport.
#[derive(Clone)]
pub struct Grpc {
    shared: Arc<Shared>,
}

impl Grpc {
    /// A transport that shows `identity`, knows the peers of `directory`, and lets `enroller` decide on strangers
    /// (without one, nobody enrols).
    #[must_use]
    pub fn new(
        identity: TlsIdentity,
        directory: Arc<dyn PeerDirectory>,
        enroller: Option<Arc<dyn Enroller>>,
        settings: Settings,
    ) -> Self {
        let (arrived, arrivals) = mpsc::channel(16);
        Self {
            shared: Arc::new(Shared {
                me: identity.party(),
                identity: RwLock::new(Arc::new(identity)),
                directory,
                enroller,
                settings,
                arrivals: Mutex::new(arrivals),
                arrived,
                lines: Lines::default(),
                closing: CancellationToken::new(),
            }),
        }
    }

    /// Takes calls on `address` until closed, and returns the address in use (its port, if 0 was asked for).
    ///
    /// # Errors
    /// What the system says when the address cannot be listened on.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<SocketAddr> {
        listen::listen(self.shared.clone(), address).await
    }

    /// The certificate shown at present.
    #[must_use]
    pub fn identity(&self) -> Arc<TlsIdentity> {
        self.shared.identity()
    }

    /// Shows another certificate from the next connection on; connections that are up stay up.
    ///
    /// # Errors
    /// [`IdentityError::OtherParty`] if it is not this party's.
    pub fn replace_identity(&self, identity: TlsIdentity) -> Result<(), IdentityError> {
        let (ours, found) = (self.shared.me, identity.party());
        if found != ours {
            return Err(IdentityError::OtherParty { ours, found });
        }
        *self.shared.identity.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
        Ok(())
    }

    /// Answers an invitation: dials the inviter, which need not know our key yet, and hands `application` in.
    ///
    /// # Errors
    /// [`EnrolError`]
    pub async fn enrol(&self, inviter: &Inviter, application: Application) -> Result<Welcome, EnrolError> {
        let party = inviter.party;
        let target =
            Target { party, address: inviter.address.clone(), proxy: inviter.proxy.clone(), pins: vec![inviter.pin] };
        let exchange = async {
            let mut line = dial::dial(&self.shared.identity(), &target, &self.shared.closing).await?;
            let answer = line.client.enrol(enrolment::application_to_wire(application)).await;
            let reply = answer.map_err(|status| broken(party, &status))?.into_inner();
            enrolment::answer_from_wire(party, reply)
        };
        let window = self.shared.settings.greeting_window;
        timeout(window, exchange).await.map_err(|_| LinkError::TimedOut { peer: party, after: window })?
    }
}

impl Transport for Grpc {
    fn me(&self) -> PartyId {
        self.shared.me
    }

    fn can_dial(&self, peer: PartyId) -> bool {
        self.shared.directory.address(peer).is_some()
    }

    fn dial(&self, peer: PartyId) -> Pending<'_, Result<Connection, LinkError>> {
        Box::pin(self.shared.dial(peer))
    }

    fn accept(&self) -> Pending<'_, Option<Arrival>> {
        Box::pin(async {
            let mut arrivals = self.shared.arrivals.lock().await;
            self.shared.closing.run_until_cancelled(arrivals.recv()).await.flatten()
        })
    }

    fn still_admits(&self, peer: PartyId, pin: Option<Pin>) -> bool {
        pin.is_some_and(|pin| self.shared.directory.pins(peer).contains(&pin))
    }

    fn close(&self) {
        self.shared.closing.cancel();
    }
}
