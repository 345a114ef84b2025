//! What goes out on the connection in use, chosen at the moment at which there is room for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::Stream;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::link::Link;
use crate::transport::envelope::Envelope;
use crate::transport::streams::Which;

/// The envelopes that go out on one stream of a connection. It ends when another connection has taken over, or when we are closing
/// and everything has been said.
pub(super) struct Outbound {
    link: Arc<Link>,
    generation: u64,
    which: Which,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    alarm: Pin<Box<Sleep>>,
    /// When the alarm rings, if it is set.
    set: Option<Instant>,
    /// Gone with us.
    _ended: oneshot::Sender<()>,
}

impl Outbound {
    /// The stream, and what is there once it has ended or was dropped.
    pub(super) fn new(link: Arc<Link>, generation: u64, which: Which) -> (Self, oneshot::Receiver<()>) {
        let (sender, ended) = oneshot::channel();
        let closing = Box::pin(link.closing.clone().cancelled_owned());
        let alarm = Box::pin(sleep(std::time::Duration::ZERO));
        (Self { link, generation, which, closing, alarm, set: None, _ended: sender }, ended)
    }
}

impl Stream for Outbound {
    type Item = Envelope;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Envelope>> {
        let this = self.get_mut();
        loop {
            let closing = this.closing.as_mut().poll(context).is_ready();
            let set = {
                let (mut state, now) = (this.link.locked(), Instant::now());
                if !state.is_current(this.generation) {
                    return Poll::Ready(None);
                }
                let next = match this.which {
                    Which::Sessions => state.outbound(now),
                    Which::Requests => state.outbound_requests(),
                };
                if next.is_some() || closing {
                    return Poll::Ready(next);
                }
                match this.which {
                    Which::Sessions => state.sender_waits(context.waker(), now),
                    Which::Requests => {
                        state.asker_waits(context.waker());
                        None
                    }
                }
            };
            let Some(moment) = set else { return Poll::Pending };
            if this.set != set {
                this.alarm.as_mut().reset(moment);
                this.set = set;
            }
            if this.alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            this.set = None;
        }
    }
}
