//! The stream of requests of a connection. It is called for once both sides have introduced themselves; until then
//! nothing comes on it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tacitly_core::PartyId;
use tokio::sync::oneshot;
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::received::{broken, received};
use crate::transport::envelope::Envelope;
use crate::transport::error::LinkError;
use crate::transport::generated as pb;
use crate::transport::generated::exchange_client::ExchangeClient;
use crate::transport::streams::{Heard, Outgoing};
use crate::transport::wire;

type Call = Result<Streaming<pb::Envelope>, LinkError>;

/// The accepting side's half of a stream that the dialler has still to call for.
pub(super) struct Offered {
    outgoing: Outgoing,
    called: oneshot::Sender<Call>,
}

impl Offered {
    /// What the half sends, now that the dialler has called and sends `requests`; `None` if the connection is gone.
    pub(super) fn connect(self, requests: Streaming<pb::Envelope>) -> Option<Outgoing> {
        self.called.send(Ok(requests)).is_ok().then_some(self.outgoing)
    }

    /// The dialler calls: what comes back is what its half hears. It ends with the connection.
    pub(super) fn call(self, peer: PartyId, client: ExchangeClient<Channel>, cut: CancellationToken) {
        let Self { outgoing, called } = self;
        tokio::spawn(cut.run_until_cancelled_owned(async move {
            let mut client = client;
            let answer = client.ask(outgoing.map(wire::to_wire)).await;
            // Nobody may be listening any more.
            let _ = called.send(answer.map(tonic::Response::into_inner).map_err(|status| broken(peer, &status)));
        }));
    }
}

/// A half of the stream that is still to be called for, and what will be heard on it.
pub(super) fn offered(peer: PartyId, outgoing: Outgoing) -> (Offered, Heard) {
    let (called, waiting) = oneshot::channel();
    (Offered { outgoing, called }, Box::pin(Requests { peer, state: State::Waiting(waiting) }))
}

/// What is heard on a stream that is called for later.
struct Requests {
    peer: PartyId,
    state: State,
}

enum State {
    Waiting(oneshot::Receiver<Call>),
    Open(Box<Streaming<pb::Envelope>>),
    Over,
}

impl Stream for Requests {
    type Item = Result<Envelope, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let peer = self.peer;
        loop {
            match &mut self.state {
                State::Waiting(call) => match ready!(Pin::new(call).poll(context)) {
                    Ok(Ok(requests)) => self.state = State::Open(Box::new(requests)),
                    Ok(Err(error)) => {
                        self.state = State::Over;
                        return Poll::Ready(Some(Err(error)));
                    }
                    Err(_) => self.state = State::Over,
                },
                State::Open(requests) => {
                    let item: Option<Result<pb::Envelope, Status>> =
                        ready!(Pin::new(requests.as_mut()).poll_next(context));
                    if item.is_none() {
                        self.state = State::Over;
                    }
                    return Poll::Ready(item.map(|item| received(peer, item)));
                }
                State::Over => return Poll::Ready(None),
            }
        }
    }
}
