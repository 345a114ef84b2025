//! What all links of one party share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tacitly_core::PartyId;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::link_state::LinkState;
use crate::transport::connection::{Pending, Transport};
use crate::transport::envelope::BootId;
use crate::transport::error::LinkError;
use crate::transport::settings::{Pace, Settings};

/// Handles what peers ask outside any session, and hears of their links.
pub trait Inbox: Send + Sync + 'static {
    /// How fast a peer may ask this service; `None`: nobody of this name answers here now.
    fn pace(&self, service: &str) -> Option<Pace>;

    /// Answers a question of `from`, whose identity has been checked, to a service that has a pace. Several run at a time.
    fn request(&self, from: PartyId, service: &str, body: Bytes) -> Pending<'_, Bytes>;

    /// The link with `peer` has gone up or down, or is down for another reason. Changes that follow each other
    /// quickly may be told as one.
    fn link_changed(&self, peer: PartyId, state: &LinkState) {
        let _ = (peer, state);
    }

    /// A call was refused before it belonged to anybody's link.
    fn call_refused(&self, error: &LinkError) {
        let _ = error;
    }
}

/// The states of all links.
type LinkStates = watch::Sender<BTreeMap<PartyId, LinkState>>;

/// What all links of one party share.
pub(crate) struct Common {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) inbox: Arc<dyn Inbox>,
    pub(crate) settings: Settings,
    pub(crate) boot: BootId,
    pub(crate) states: LinkStates,
    /// Ends every task.
    pub(crate) closing: CancellationToken,
    /// Where the tasks run, whichever thread asks for them.
    pub(crate) runtime: Handle,
    connections: AtomicU64,
}

impl Common {
    pub(crate) fn new(
        transport: Arc<dyn Transport>,
        inbox: Arc<dyn Inbox>,
        settings: Settings,
        boot: BootId,
        runtime: Handle,
    ) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = boot.0;
        Self {
            transport,
            inbox,
            settings,
            boot,
            states: watch::Sender::new(BTreeMap::new()),
            closing: CancellationToken::new(),
            runtime,
            connections: AtomicU64::new(u64::from_be_bytes([a, b, c, d, e, f, g, h])),
        }
    }

    /// A number for a connection that we dial, unlike any that the peer has seen. Not 0.
    pub(super) fn number(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed).max(1)
    }
}
