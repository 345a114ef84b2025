//! From a port to connections whose other end has proved who it is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use super::callers::{Addresses, Connections};
use super::service::Service;
use super::shared::Shared;
use super::stream::{Visitor, Watched};
use super::windows::{CONNECTION_WINDOW, HTTP2_FRAME, STREAM_WINDOW};
use crate::transport::error::LinkError;
use crate::transport::generated::exchange_server::{Exchange, ExchangeServer};
use crate::transport::tls;
use crate::transport::wire::MAX_ENVELOPE;

/// The most handshakes at a time.
const MAX_HANDSHAKES: usize = 256;

/// The most handshakes at a time of one address: a peer needs one, and whoever holds more keeps nobody else waiting.
const MAX_OF_ADDRESS: usize = 16;

/// How long a caller may say nothing at all.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// HTTP/2 streams on one connection: the exchange and room for refusals.
const MAX_STREAMS: u32 = 8;

/// How long a refused caller may take to read why.
const SEEING_OFF: Duration = Duration::from_secs(1);

type Arrived = Watched<TlsStream<TcpStream>>;

pub(super) async fn listen(shared: Arc<Shared>, address: SocketAddr) -> io::Result<SocketAddr> {
    let service = Service { shared: shared.clone() };
    serve(shared, address, service).await
}

/// Answers calls on `address` by `service`, once the caller has proved who it is.
pub(super) async fn serve(shared: Arc<Shared>, address: SocketAddr, service: impl Exchange) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let (ready, arrivals) = mpsc::channel(16);
    tokio::spawn(accept(shared.clone(), listener, ready));
    let service = ExchangeServer::new(service).max_decoding_message_size(MAX_ENVELOPE);
    let server = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_with_incoming(service, ReceiverStream::new(arrivals).map(Ok::<Arrived, io::Error>));
    tokio::spawn(async move {
        let closing = shared.closing.clone();
        if let Some(Err(error)) = closing.run_until_cancelled(server).await {
            tracing::error!(%address, error = %error, "the exchange port failed");
        }
    });
    tracing::info!(%address, "listening for peers");
    Ok(address)
}

async fn accept(shared: Arc<Shared>, listener: TcpListener, ready: mpsc::Sender<Arrived>) {
    let handshakes = Arc::new(Semaphore::new(MAX_HANDSHAKES));
    let addresses = Arc::new(Addresses::with(MAX_OF_ADDRESS));
    let connections = Arc::new(Connections::default());
    let closing = shared.closing.clone();
    let run = async {
        while let Ok(permit) = handshakes.clone().acquire_owned().await {
            let (tcp, from) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Usually too many open files: let some close first.
                    tracing::warn!(error = %error, "cannot take a call");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Some(place) = addresses.take(from.ip()) else {
                tracing::debug!(%from, "refused a call: too many handshakes of this address");
                continue;
            };
            let (shared, connections, ready) = (shared.clone(), connections.clone(), ready.clone());
            tokio::spawn(async move {
                if timeout(FIRST_WORD, tcp.peek(&mut [0; 1])).await.is_err() {
                    tracing::debug!(%from, "a caller said nothing");
                    return;
                }
                let window = shared.settings.greeting_window;
                let greeted = timeout(window, greet(&shared, tcp, from)).await;
                match greeted {
                    Ok(Ok((stream, caller))) => {
                        drop((permit, place));
                        admit(&shared, stream, (caller, from.ip()), &connections, &ready).await;
                    }
                    Ok(Err((error, tcp))) => refuse(&shared, error, tcp, from).await,
                    Err(_) => tracing::debug!(%from, "a caller did not finish its handshake"),
                }
            });
        }
    };
    closing.run_until_cancelled(run).await;
}

/// The TLS handshake with one caller.
async fn greet(
    shared: &Shared,
    tcp: TcpStream,
    from: SocketAddr,
) -> Result<(TlsStream<TcpStream>, tls::Caller), (LinkError, Option<TcpStream>)> {
    let handshake = |detail: String| LinkError::Handshake { who: from.to_string(), detail };
    tcp.set_nodelay(true).map_err(|error| (handshake(error.to_string()), None))?;
    let (config, verdict) = tls::accepting(&shared.identity(), shared.directory.clone())
        .map_err(|error| (handshake(error.to_string()), None))?;
    match TlsAcceptor::from(config).accept(tcp).into_fallible().await {
        Ok(stream) => match verdict.get() {
            Some(Ok(caller)) => Ok((stream, *caller)),
            _ => Err((handshake("it showed no certificate".to_owned()), None)),
        },
        Err((error, tcp)) => {
            let error = match (verdict.get(), tls::alert(&error)) {
                (Some(Err(refusal)), _) => refusal.clone().into(),
                (_, Some(alert)) => handshake(format!("it refused our certificate: {alert}")),
                (_, None) => handshake(tls::explain(&error)),
            };
            Err((error, Some(tcp)))
        }
    }
}

/// Reports a caller that failed the handshake, and sees it off.
async fn refuse(shared: &Shared, error: LinkError, tcp: Option<TcpStream>, from: SocketAddr) {
    // Whoever scans the internet fails in the handshake; a certificate means somebody who meant us.
    if matches!(error, LinkError::Refused(_)) && shared.lines.take(from.ip()) {
        tracing::warn!(%from, error = %error, "refused a call");
    } else {
        tracing::debug!(%from, error = %error, "refused a call");
    }
    // If the queue is full, those in it say enough.
    let _ = shared.arrived.try_send(Err(error));
    if let Some(mut tcp) = tcp {
        // Closing with bytes unread would make the system throw away the alert that tells the caller why.
        let mut rest = [0; 1024];
        let _ = timeout(SEEING_OFF, async { while let Ok(1..) = tcp.read(&mut rest).await {} }).await;
    }
}

/// Hands a caller to HTTP/2 and sends it away if it does not come to the point.
async fn admit(
    shared: &Shared,
    stream: TlsStream<TcpStream>,
    (caller, from): (tls::Caller, IpAddr),
    connections: &Connections,
    ready: &mpsc::Sender<Arrived>,
) {
    let Some(place) = connections.take(&caller, from) else {
        if shared.lines.take(from) {
            tracing::warn!(%from, party = %caller.party, known = caller.known, "refused a call: too many connections");
        }
        return;
    };
    let visitor = Visitor::new(caller, Some(from), shared.closing.child_token());
    if ready.send(Watched::accepted(stream, visitor.clone(), place)).await.is_err() {
        return;
    }
    let patience = sleep(shared.settings.greeting_window);
    if visitor.cut.run_until_cancelled(patience).await.is_some() && !visitor.has_opened() {
        visitor.cut.cancel();
    }
}
