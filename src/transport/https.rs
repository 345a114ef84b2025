//! HTTPS with somebody who is no peer: a witness that anybody may ask, known by its name and the pin of its key.

use std::future::poll_fn;
use std::pin::Pin as Pinned;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tacitly_core::PartyId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::identity::{Pin, TlsIdentity, dns_name};
use super::tls;

/// Connections served at the same time, and how long each may take.
const CONNECTIONS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(20);

/// The longest body that is read, of a request or an answer.
const MAX_BODY: usize = 256 << 10;

/// Where somebody answers, and how it proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Host and port.
    pub address: String,
    /// The name in its certificate.
    pub party: PartyId,
    /// Its key.
    pub pin: Pin,
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {why}")]
pub struct NoAnswer {
    address: String,
    why: String,
}

/// Posts `body` to `path` and returns status and body of the answer.
///
/// # Errors
/// [`NoAnswer`] if it cannot be reached in time, proves to be somebody else, or answers with more than is read.
pub async fn post(place: &Place, path: &str, body: String) -> Result<(u16, Vec<u8>), NoAnswer> {
    let failed = |why: String| NoAnswer { address: place.address.clone(), why };
    match tokio::time::timeout(PATIENCE, exchange(place, path, body)).await {
        Ok(answer) => answer.map_err(|error| failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(place: &Place, path: &str, body: String) -> Result<(u16, Vec<u8>), Failed> {
    let stream = TcpStream::connect(&place.address).await?;
    let connector = TlsConnector::from(tls::asking(place.party, place.pin)?);
    let name = ServerName::try_from(dns_name(place.party))?;
    let stream = connector.connect(name, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let host = HeaderValue::from_str(&place.address)?;
    let request = Request::builder().method(Method::POST).uri(path).header(HOST, host).body(body)?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    let body = read(answer.into_body()).await.ok_or("the answer is too long, or broke off")?;
    connection.abort();
    Ok((status, body))
}

/// What answers a POST: path and body in, status and body out. It may block.
pub type Answer = Arc<dyn Fn(&str, &[u8]) -> Reply + Send + Sync>;

/// The answer to a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body.
    pub kind: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A status with a line for people.
    #[must_use]
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

/// Answers on this port, in the name of `identity`, until the process ends.
///
/// # Errors
/// If the identity cannot be used for TLS.
pub async fn serve(listener: TcpListener, identity: &TlsIdentity, answer: Answer) -> Result<(), rustls::Error> {
    let acceptor = TlsAcceptor::from(tls::answering(identity)?);
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(permit) = room.clone().acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, say: it passes.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let _gone_or_slow = tokio::time::timeout(PATIENCE, converse(stream, acceptor, answer)).await;
        });
    }
    Ok(())
}

async fn converse(stream: TcpStream, acceptor: TlsAcceptor, answer: Answer) -> Result<(), Failed> {
    let stream = acceptor.accept(stream).await?;
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = answer.clone();
        async move { Ok::<_, std::convert::Infallible>(respond(request, answer).await) }
    });
    let mut serving = hyper::server::conn::http1::Builder::new();
    serving.keep_alive(false);
    Ok(serving.serve_connection(TokioIo::new(stream), service).await?)
}

async fn respond(request: Request<Incoming>, answer: Answer) -> Response<String> {
    let path = request.uri().path().to_owned();
    let reply = if request.method() == Method::POST {
        match read(request.into_body()).await {
            Some(body) => {
                let answered = tokio::task::spawn_blocking(move || answer(&path, &body)).await;
                answered.unwrap_or_else(|_| Reply::text(500, "no answer came about\n"))
            }
            None => Reply::text(413, "the request is too long\n"),
        }
    } else {
        Reply::text(405, "POST only\n")
    };
    let mut response = Response::new(reply.body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(reply.kind));
    response
}

/// The whole body; `None` if it breaks off or is too long.
async fn read(mut body: Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pinned::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            if bytes.len() + data.len() > MAX_BODY {
                return None;
            }
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes)
}
