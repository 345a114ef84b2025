//! The bytes under HTTP/2: heard, and cut when told.

use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::Status;
use tonic::transport::server::Connected;

use super::callers::ConnectionPlace;
use super::requests::Offered;
use crate::transport::connection::LastSeen;
use crate::transport::tls::Caller;

/// What is known about the other end of a byte stream.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) caller: Caller,
    /// Where it called from; `None` if we dialled.
    pub(super) from: Option<IpAddr>,
    pub(super) last_seen: LastSeen,
    pub(super) cut: CancellationToken,
    opened: Arc<AtomicBool>,
    requests: Arc<Mutex<Option<Offered>>>,
}

impl Visitor {
    pub(super) fn new(caller: Caller, from: Option<IpAddr>, cut: CancellationToken) -> Self {
        Self { caller, from, last_seen: LastSeen::new(), cut, opened: Arc::default(), requests: Arc::default() }
    }

    /// The visitor that makes this gRPC call.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Status::unauthenticated("no certificate"))
    }

    /// Opens the one exchange stream of the connection; false if it has been opened before.
    pub(super) fn open(&self) -> bool {
        !self.opened.swap(true, Ordering::Relaxed)
    }

    /// From now on it may open the stream of requests.
    pub(super) fn offer_requests(&self, offered: Offered) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner) = Some(offered);
    }

    /// Opens the one stream of requests of the connection; `None` before the greeting, and if it has been opened before.
    pub(super) fn take_requests(&self) -> Option<Offered> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn has_opened(&self) -> bool {
        self.opened.load(Ordering::Relaxed)
    }
}

/// A byte stream that notes when it hears something and ends when it is cut.
pub(super) struct Watched<S> {
    inner: S,
    visitor: Visitor,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// What was read before HTTP/2 took over.
    ahead: Bytes,
    /// One of the places for callers, given back when the stream is gone.
    _place: Option<ConnectionPlace>,
}

impl<S> Watched<S> {
    /// The stream of a connection that we dialled; `ahead` was read from it already.
    pub(super) fn dialled(inner: S, visitor: Visitor, ahead: Bytes) -> Self {
        Self::new(inner, visitor, ahead, None)
    }

    /// The stream of a caller, who holds a place.
    pub(super) fn accepted(inner: S, visitor: Visitor, place: ConnectionPlace) -> Self {
        Self::new(inner, visitor, Bytes::new(), Some(place))
    }

    fn new(inner: S, visitor: Visitor, ahead: Bytes, place: Option<ConnectionPlace>) -> Self {
        visitor.last_seen.beat();
        let cut = Box::pin(visitor.cut.clone().cancelled_owned());
        Self { inner, visitor, cut, ahead, _place: place }
    }

    fn has_been_cut(&mut self, context: &mut Context<'_>) -> bool {
        self.visitor.cut.is_cancelled() || self.cut.as_mut().poll(context).is_ready()
    }
}

fn cut_error<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the connection was cut on this side")))
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.has_been_cut(context) {
            return cut_error();
        }
        if !self.ahead.is_empty() {
            let taken = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.visitor.last_seen.beat();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.has_been_cut(context) {
            return cut_error();
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_been_cut(context) {
            return cut_error();
        }
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_been_cut(context) {
            return cut_error();
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S> Connected for Watched<S> {
    type ConnectInfo = Visitor;

    fn connect_info(&self) -> Visitor {
        self.visitor.clone()
    }
}
