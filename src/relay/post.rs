//! How pieces reach the relay of another party.

use bytes::Bytes;
use tacitly_core::PartyId;

use super::message::SERVICE;
use crate::peers::Peers;
use crate::transport::Pending;

/// Asks the relays of parties with which we have a link.
pub trait Post: Send + Sync + 'static {
    /// Whether the link with this party is up.
    fn reaches(&self, party: PartyId) -> bool;

    /// Asks its relay once; nothing if there is no answer.
    fn put(&self, party: PartyId, body: Bytes) -> Pending<'_, Option<Bytes>>;
}

impl Post for Peers {
    fn reaches(&self, party: PartyId) -> bool {
        self.link_up_since(party).is_some()
    }

    fn put(&self, party: PartyId, body: Bytes) -> Pending<'_, Option<Bytes>> {
        Box::pin(async move { self.ask(party, SERVICE, body).await.ok() })
    }
}
