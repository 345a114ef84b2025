//! The two streams of a connection: one of sessions, and everything about the connection; one of requests and
//! responses. Each has its own queue at both ends, so that neither waits for the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::sync::mpsc;
use tokio_stream::Stream;

use super::envelope::Envelope;
use super::error::LinkError;

/// Envelopes that wait before a stream takes them: few, so that what is urgent soon gets its turn.
const QUEUE: usize = 2;

type Envelopes = Pin<Box<dyn Stream<Item = Envelope> + Send>>;

/// What comes in on one stream, until it ends.
pub(super) type Heard = Pin<Box<dyn Stream<Item = Result<Envelope, LinkError>> + Send>>;

/// Which of the two streams of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Sessions,
    Requests,
}

impl Which {
    /// The stream on which an envelope belongs.
    pub(super) fn of(envelope: &Envelope) -> Self {
        match envelope {
            Envelope::Request { .. } | Envelope::Response { .. } => Self::Requests,
            _ => Self::Sessions,
        }
    }
}

/// What is sent on a stream.
enum ToSend {
    One(Envelope),
    /// As many as come, each asked for when there is room for it.
    Stream(Envelopes),
}

/// Where envelopes for one stream go in.
pub(super) struct Sender(mpsc::Sender<ToSend>);

/// Where a transport takes them out. Without a task in between, so that an envelope is chosen when it is sent.
pub(super) struct Outgoing {
    queue: mpsc::Receiver<ToSend>,
    current: Option<Envelopes>,
}

/// Both ends of the way out on one stream.
pub(super) fn outgoing() -> (Sender, Outgoing) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Sender(sender), Outgoing { queue, current: None })
}

impl Sender {
    /// Sends an envelope, once there is room for it; false if nothing is taken any more.
    pub(super) async fn send(&self, envelope: Envelope) -> bool {
        self.0.send(ToSend::One(envelope)).await.is_ok()
    }

    /// Sends everything that comes out of `envelopes`, and then what is sent after it.
    pub(super) async fn send_all(&self, envelopes: impl Stream<Item = Envelope> + Send + 'static) {
        // A stream that takes nothing more drops the envelopes.
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

/// The way out on both streams.
pub(super) struct Senders {
    pub(super) sessions: Sender,
    pub(super) requests: Sender,
}

/// The way in on both streams.
pub(super) struct Incoming {
    sessions: Heard,
    requests: Heard,
    /// Whether whoever reads all that comes reads requests: once the peer has introduced itself, until they end.
    pub(super) reads_requests: bool,
    /// Who is looked at first this time: a flood on one of them does not keep the other waiting.
    turn: Which,
}

impl Incoming {
    pub(super) fn new(sessions: Heard, requests: Heard) -> Self {
        Self { sessions, requests, reads_requests: false, turn: Which::Requests }
    }

    /// The next item of those streams that are to be read, and on which of them it came; `None`: that one has ended.
    /// Waits for ever if neither is to be read. Cancel-safe.
    pub(super) async fn next(
        &mut self,
        sessions: bool,
        requests: bool,
    ) -> (Which, Option<Result<Envelope, LinkError>>) {
        poll_fn(|context| {
            let order = match self.turn {
                Which::Sessions => [Which::Sessions, Which::Requests],
                Which::Requests => [Which::Requests, Which::Sessions],
            };
            for which in order {
                let (stream, read, other) = match which {
                    Which::Sessions => (&mut self.sessions, sessions, Which::Requests),
                    Which::Requests => (&mut self.requests, requests, Which::Sessions),
                };
                if read && let Poll::Ready(item) = stream.as_mut().poll_next(context) {
                    self.turn = other;
                    return Poll::Ready((which, item));
                }
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio_stream::StreamExt as _;

    use super::*;
    use crate::transport::CloseReason;

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

    #[tokio::test]
    async fn two_floods_are_read_in_turn_and_one_that_is_not_read_holds_nobody_up() {
        let flood = |envelope: Envelope| -> Heard { Box::pin(tokio_stream::iter(vec![Ok(envelope); 10])) };
        let answer = Envelope::Response { id: 1, outcome: Ok(Bytes::new()) };
        let mut incoming = Incoming::new(flood(Envelope::Heartbeat), flood(answer));
        let mut requests = 0;
        for _ in 0..6 {
            let (which, item) = incoming.next(true, true).await;
            assert_eq!(Which::of(&item.unwrap().unwrap()), which);
            requests += u32::from(which == Which::Requests);
        }
        assert_eq!(requests, 3);
        for _ in 0..7 {
            assert_eq!(incoming.next(true, false).await.0, Which::Sessions);
        }
        assert_eq!(incoming.next(true, false).await, (Which::Sessions, None), "it has ended");
        assert_eq!(incoming.next(false, true).await.0, Which::Requests);
    }
}
