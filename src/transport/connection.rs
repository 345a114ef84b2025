//! A connection between two parties, however it came about.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::envelope::{CloseReason, Envelope};
use super::error::LinkError;
use super::identity::Pin as KeyPin;
use super::streams::{Incoming, Senders, Which};

/// How long a parting may take until the connection is cut.
const PARTING: Duration = Duration::from_secs(1);

/// A future behind a pointer, so that traits with asynchronous methods can be objects.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Moves envelopes between two authenticated parties; knows no protocol.
///
/// A connection has two streams, of sessions and of requests. Each delivers in order and at most once, neither waits for
/// the other, and what they deliver is attributed to a party whose identity has been checked. They do not promise delivery: what is under way when it breaks is lost.
pub trait Transport: Send + Sync + 'static {
    /// Whose transport it is.
    fn me(&self) -> PartyId;

    /// Whether there is a way to dial `peer`.
    fn can_dial(&self, peer: PartyId) -> bool;

    /// Dials `peer`.
    ///
    /// The future fails with the [`LinkError`] that says why no connection came about.
    fn dial(&self, peer: PartyId) -> Pending<'_, Result<Connection, LinkError>>;

    /// The next connection that a peer has dialled, or why one came to nothing; `None` once closed.
    fn accept(&self) -> Pending<'_, Option<Result<Connection, LinkError>>>;

    /// Whether `peer` may still use a connection that it opened with this key.
    fn still_admits(&self, peer: PartyId, pin: Option<KeyPin>) -> bool;

    /// Takes no more calls and cuts the connections that are left.
    fn close(&self);
}

/// Envelopes in both directions with one party, on two streams. Dropping it cuts it.
pub struct Connection {
    pub(super) peer: PartyId,
    pub(super) dialler: PartyId,
    pub(super) pin: Option<KeyPin>,
    pub(super) outgoing: Senders,
    pub(super) incoming: Incoming,
    pub(super) last_seen: LastSeen,
    pub(super) cut: DropGuard,
}

impl Connection {
    /// The party at the other end.
    #[must_use]
    pub fn peer(&self) -> PartyId {
        self.peer
    }

    /// Which of the two dialled.
    #[must_use]
    pub fn dialler(&self) -> PartyId {
        self.dialler
    }

    /// When something was last heard.
    #[must_use]
    pub fn last_seen(&self) -> &LastSeen {
        &self.last_seen
    }

    /// Sends an envelope on the stream where it belongs, once there is room for it.
    ///
    /// # Errors
    /// [`LinkError::Broken`] if that stream has ended; [`Connection::receive`] knows why.
    pub async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        let sender = match Which::of(&envelope) {
            Which::Sessions => &self.outgoing.sessions,
            Which::Requests => &self.outgoing.requests,
        };
        if sender.send(envelope).await { Ok(()) } else { Err(broken_off(self.peer)) }
    }

    /// The next envelope, on either stream; before the peer's greeting, of the stream of sessions only. Cancel-safe.
    ///
    /// # Errors
    /// The [`LinkError`] with which the connection ended.
    pub async fn receive(&mut self) -> Result<Envelope, LinkError> {
        loop {
            match self.incoming.next(true, self.incoming.reads_requests).await {
                (_, Some(Ok(envelope))) => {
                    self.incoming.reads_requests |= matches!(envelope, Envelope::Hello(_));
                    return Ok(envelope);
                }
                (Which::Requests, Some(Err(error @ LinkError::Violation { .. }))) => return Err(error),
                // The other stream tells why, or goes on.
                (Which::Requests, _) => self.incoming.reads_requests = false,
                (Which::Sessions, ended) => return ended.unwrap_or_else(|| Err(broken_off(self.peer))),
            }
        }
    }

    /// Ends the connection on purpose, with a last word if one is given.
    pub async fn part(self, close_reason: Option<CloseReason>) {
        let Self { outgoing, mut incoming, cut, .. } = self;
        // Cutting at once could overtake the last word, so the other side gets a moment to hang up first.
        let _ = timeout(PARTING, async move {
            if let Some(close_reason) = close_reason {
                outgoing.sessions.send(Envelope::Bye(close_reason)).await;
            }
            drop(outgoing);
            while let (_, Some(Ok(_))) = incoming.next(true, false).await {}
        })
        .await;
        drop(cut);
    }
}

/// What becomes of a connection that ends without a reason.
pub(super) fn broken_off(peer: PartyId) -> LinkError {
    LinkError::Broken { peer, detail: "it ended without a word".to_owned() }
}

/// When a byte last came in. Counting bytes rather than envelopes keeps a slow link with a large envelope alive.
#[derive(Clone, Debug)]
pub struct LastSeen {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl LastSeen {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), last: Arc::default() }
    }

    /// Something has been heard.
    pub(super) fn beat(&self) {
        let since = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    /// When something was last heard.
    #[must_use]
    pub fn last(&self) -> Instant {
        self.start + Duration::from_nanos(self.last.load(Ordering::Relaxed))
    }
}

/// A token that is cancelled with `parent`, and the guard that cancels it alone.
pub(super) fn cut_of(parent: &CancellationToken) -> (CancellationToken, DropGuard) {
    let token = parent.child_token();
    let guard = token.clone().drop_guard();
    (token, guard)
}
