//! A connection between two parties, however it came about.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::envelope::{CloseReason, Envelope};
use super::error::LinkError;
use super::identity::Pin as KeyPin;

/// How long a parting may take until the connection is cut.
const PARTING: Duration = Duration::from_secs(1);

/// A future behind a pointer, so that traits with asynchronous methods can be objects.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Moves envelopes between two authenticated parties; knows no protocol.
///
/// A connection delivers in order and at most once, and attributes what it delivers to a party whose identity it has
/// checked. It does not promise delivery: what is under way when it breaks is lost.
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

/// Envelopes that wait before a connection takes them: few, so that what is urgent soon gets its turn.
const QUEUE: usize = 2;

type Envelopes = Pin<Box<dyn Stream<Item = Envelope> + Send>>;

/// What is sent over a connection.
enum ToSend {
    One(Envelope),
    /// As many as come, each asked for when there is room for it.
    Stream(Envelopes),
}

/// Where envelopes for a connection go in.
pub(super) struct Sender(mpsc::Sender<ToSend>);

/// Where a transport takes them out. Without a task in between, so that an envelope is chosen when it is sent.
pub(super) struct Outgoing {
    queue: mpsc::Receiver<ToSend>,
    current: Option<Envelopes>,
}

/// Both ends of the way out of a connection.
pub(super) fn outgoing() -> (Sender, Outgoing) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Sender(sender), Outgoing { queue, current: None })
}

impl Sender {
    async fn send(&self, envelope: Envelope) -> bool {
        self.0.send(ToSend::One(envelope)).await.is_ok()
    }

    /// Sends everything that comes out of `envelopes`, and then what is sent after it.
    pub(super) async fn send_all(&self, envelopes: impl Stream<Item = Envelope> + Send + 'static) {
        // A connection that takes nothing more drops the stream.
        let _ended = self.0.send(ToSend::Stream(Box::pin(envelopes))).await;
    }
}

impl Stream for Outgoing {
    type Item = Envelope;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Envelope>> {
        loop {
            if let Some(current) = &mut self.current {
                if let Some(envelope) = ready!(current.as_mut().poll_next(context)) {
                    return Poll::Ready(Some(envelope));
                }
                self.current = None;
            }
            match ready!(self.queue.poll_recv(context)) {
                Some(ToSend::One(envelope)) => return Poll::Ready(Some(envelope)),
                Some(ToSend::Stream(envelopes)) => self.current = Some(envelopes),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// A stream of envelopes in both directions with one party. Dropping it cuts it.
pub struct Connection {
    pub(super) peer: PartyId,
    pub(super) dialler: PartyId,
    pub(super) pin: Option<KeyPin>,
    pub(super) outgoing: Sender,
    pub(super) incoming: Pin<Box<dyn Stream<Item = Result<Envelope, LinkError>> + Send>>,
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

    /// Sends an envelope, once there is room for it.
    ///
    /// # Errors
    /// [`LinkError::Broken`] if the connection has ended; [`Connection::receive`] knows why.
    pub async fn send(&mut self, envelope: Envelope) -> Result<(), LinkError> {
        if self.outgoing.send(envelope).await { Ok(()) } else { Err(broken_off(self.peer)) }
    }

    /// The next envelope. Cancel-safe.
    ///
    /// # Errors
    /// The [`LinkError`] with which the connection ended.
    pub async fn receive(&mut self) -> Result<Envelope, LinkError> {
        self.incoming.next().await.unwrap_or_else(|| Err(broken_off(self.peer)))
    }

    /// Ends the connection on purpose, with a last word if one is given.
    pub async fn part(self, close_reason: Option<CloseReason>) {
        let Self { outgoing, mut incoming, cut, .. } = self;
        // Cutting at once could overtake the last word, so the other side gets a moment to hang up first.
        let _ = timeout(PARTING, async move {
            if let Some(close_reason) = close_reason {
                outgoing.send(Envelope::Bye(close_reason)).await;
            }
            drop(outgoing);
            while let Some(Ok(_)) = incoming.next().await {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_of_envelopes_takes_its_turn_among_single_ones() {
        let (sender, outgoing) = outgoing();
        let close = CloseReason::ShuttingDown;
        let sending = async move {
            assert!(sender.send(Envelope::Bye(CloseReason::Version)).await);
            sender.send_all(tokio_stream::iter(vec![Envelope::Heartbeat; 5])).await;
            assert!(sender.send(Envelope::Bye(close)).await);
        };
        let (sent, ()) = tokio::join!(outgoing.collect::<Vec<Envelope>>(), sending);
        assert_eq!((&sent[0], sent.len()), (&Envelope::Bye(CloseReason::Version), 7));
        assert!(sent[1..6].iter().all(|envelope| *envelope == Envelope::Heartbeat));
        assert_eq!(sent[6], Envelope::Bye(close));
    }
}
