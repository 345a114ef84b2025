//! Waiting for the link to a peer: up, restored, or given up.

use tacitly_core::PartyId;
use tokio::time::Instant;

use super::office::Jobs;
use crate::codes::{self, Trouble};
use crate::transport::LinkState;

impl Jobs {
    async fn link_is(&self, peer: PartyId, up: bool) {
        let mut links = self.network.links();
        let reached = links.wait_for(|links| links.get(&peer).is_some_and(LinkState::is_up) == up);
        if reached.await.is_err() {
            // The network is gone, and this process with it.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the link to the peer is up.
    pub(super) async fn link_up(&self, peer: PartyId) {
        self.link_is(peer, true).await;
    }

    /// Since when the link to the peer is up, if it is.
    pub(super) fn link_up_since(&self, peer: PartyId) -> Option<Instant> {
        up_since(self.network.links().borrow().get(&peer))
    }

    /// Returns once the link to the peer is up again: not since `before`, but later. It may have been down so shortly
    /// that nobody saw it, or before we began to look.
    pub(super) async fn link_restored(&self, peer: PartyId, before: Option<Instant>) {
        let mut links = self.network.links();
        let again = |since: Option<Instant>| since.is_some() && since != before;
        if links.wait_for(|links| again(up_since(links.get(&peer)))).await.is_err() {
            // The network is gone, and this process with it.
            std::future::pending::<()>().await;
        }
    }

    /// Returns once the link to the peer has been down for the whole reconnect window.
    pub(super) async fn link_given_up(&self, peer: PartyId) -> Trouble {
        let window = self.settings.reconnect_window;
        loop {
            self.link_is(peer, false).await;
            tokio::select! {
                () = tokio::time::sleep(window) => break,
                () = self.link_is(peer, true) => {}
            }
        }
        let seconds = window.as_secs_f64();
        Trouble::new(codes::PEER_LOST, format!("the link to {peer} was down for {seconds} s")).with(peer)
    }
}

fn up_since(link: Option<&LinkState>) -> Option<Instant> {
    match link {
        Some(LinkState::Up { since, .. }) => Some(*since),
        _ => None,
    }
}
