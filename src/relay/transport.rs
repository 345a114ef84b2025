//! The network of a member, as far as it goes through the leader.

use std::sync::Arc;

use tacitly_core::PartyId;

use super::member::Member;
use crate::transport::{Connection, LinkError, Pending, Pin, Transport};

/// Connections with members that one has no link with.
pub(super) struct RelayTransport(pub(super) Arc<Member>);

impl Transport for RelayTransport {
    fn me(&self) -> PartyId {
        self.0.me()
    }

    fn can_dial(&self, peer: PartyId) -> bool {
        self.0.is_fellow(peer)
    }

    fn dial(&self, peer: PartyId) -> Pending<'_, Result<Connection, LinkError>> {
        Box::pin(async move {
            let dialled = self.0.closing.run_until_cancelled(self.0.dial(peer)).await;
            dialled.unwrap_or(Err(LinkError::ShuttingDown))
        })
    }

    fn accept(&self) -> Pending<'_, Option<Result<Connection, LinkError>>> {
        Box::pin(async move { self.0.accept().await.map(Ok) })
    }

    fn still_admits(&self, peer: PartyId, _: Option<Pin>) -> bool {
        // The keys stand in the terms, for as long as the attempt runs.
        self.0.is_fellow(peer)
    }

    fn close(&self) {
        self.0.closing.cancel();
    }
}
