//! From an address to a gRPC client whose other end has proved who it is.

use std::io;

use bytes::BytesMut;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tacitly_core::PartyId;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::{Channel, Endpoint, Uri};

use super::proxy;
use super::stream::{Visitor, Watched};
use super::windows::{CONNECTION_WINDOW, HTTP2_FRAME, STREAM_WINDOW};
use crate::transport::connection::{LastSeen, cut_of};
use crate::transport::error::LinkError;
use crate::transport::generated::exchange_client::ExchangeClient;
use crate::transport::identity::{Pin, TlsIdentity, dns_name};
use crate::transport::tls::{self, Verdict};
use crate::transport::wire::MAX_ENVELOPE;

/// Whom to dial, where, and who must answer.
pub(super) struct Target {
    pub(super) party: PartyId,
    pub(super) address: String,
    pub(super) proxy: Option<String>,
    pub(super) pins: Vec<Pin>,
}

/// An open line to a party.
pub(super) struct Line {
    pub(super) client: ExchangeClient<Channel>,
    pub(super) pin: Pin,
    pub(super) last_seen: LastSeen,
    /// Cancelled when the line is cut.
    pub(super) token: CancellationToken,
    pub(super) cut: DropGuard,
}

pub(super) async fn dial(
    identity: &TlsIdentity,
    target: &Target,
    closing: &CancellationToken,
) -> Result<Line, LinkError> {
    let peer = target.party;
    let unreachable =
        |error: io::Error| LinkError::Unreachable { peer, address: target.address.clone(), detail: error.to_string() };
    let tcp = match &target.proxy {
        None => TcpStream::connect(&target.address).await,
        Some(proxy) => proxy::connect(proxy, &target.address).await,
    }
    .map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;

    let handshake = |detail: String| LinkError::Handshake { who: peer.to_string(), detail };
    let name = ServerName::try_from(dns_name(peer)).map_err(|_| handshake("its name fits no DNS label".to_owned()))?;
    let (config, verdict) =
        tls::dialling(identity, peer, target.pins.clone()).map_err(|error| handshake(error.to_string()))?;
    let failed = |error: io::Error| refused(target, &verdict, &error);
    let mut tls = TlsConnector::from(config).connect(name, tcp).await.map_err(failed)?;

    // In TLS 1.3 the dialler is done before the other side has judged its certificate. The other side's first bytes
    // (HTTP/2 settings, which it sends unasked) or its alert tell how that went.
    let mut ahead = BytesMut::with_capacity(4096);
    if tls.read_buf(&mut ahead).await.map_err(failed)? == 0 {
        return Err(handshake("it hung up".to_owned()));
    }
    let caller = match verdict.get() {
        Some(Ok(caller)) => *caller,
        _ => return Err(handshake("it showed no certificate".to_owned())),
    };

    let (token, cut) = cut_of(closing);
    let visitor = Visitor::new(caller, None, token.clone());
    let last_seen = visitor.last_seen.clone();
    let mut stream = Some(TokioIo::new(Watched::dialled(tls, visitor, ahead.freeze())));
    // HTTP/2 reconnects by calling this again; a broken link must not come back without our handshake.
    let once = tower::service_fn(move |_: Uri| {
        let stream = stream.take();
        async move { stream.ok_or_else(|| io::Error::other("the connection has ended")) }
    });
    // The scheme says nothing about this connection: the stream below is TLS already.
    let channel = Endpoint::from_static("http://exchange.party.tacitly")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(HTTP2_FRAME)
        .connect_with_connector(once)
        .await
        .map_err(|error| LinkError::Broken { peer, detail: error.to_string() })?;
    let client = ExchangeClient::new(channel).max_decoding_message_size(MAX_ENVELOPE);
    Ok(Line { client, pin: caller.pin, last_seen, token, cut })
}

/// Why the handshake failed: what we have against them, what they have against us, or something else.
fn refused(target: &Target, verdict: &Verdict, error: &io::Error) -> LinkError {
    let peer = target.party;
    if let Some(Err(refusal)) = verdict.get() {
        return refusal.clone().into();
    }
    match tls::alert(error) {
        Some(alert) => LinkError::RefusedByPeer { peer, alert },
        None => LinkError::Handshake { who: peer.to_string(), detail: tls::explain(error) },
    }
}
