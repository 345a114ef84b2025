//! The way from a program to a daemon's control API: the socket in the party's folder, or a loopback port with a token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

use super::control::control_client::ControlClient;
use super::tokens;

/// A daemon's control service, with whatever the caller shows.
pub type Client = ControlClient<InterceptedService<Channel, Bearer>>;

/// No daemon was reached.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing listens there.
    #[error("no daemon answers at {0}")]
    NoAnswer(String),
    /// Something else listens there.
    #[error("{address} is no control port of a daemon: {found} answers there")]
    NotControl {
        /// Where.
        address: SocketAddr,
        /// What was found.
        found: &'static str,
    },
    /// The port would show the token to others.
    #[error("the control port has no TLS, so only a loopback address is taken: from elsewhere the token would be seen")]
    NotLoopback,
    /// The token cannot be read or shown.
    #[error("{0}")]
    Token(String),
}

/// Shows a token, if there is one.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// An open way to a daemon.
pub struct Connection {
    channel: Channel,
    bearer: Bearer,
}

impl Connection {
    /// Through the control socket at this path.
    ///
    /// # Errors
    /// [`ConnectError::NoAnswer`].
    pub async fn through_socket(socket: &Path) -> Result<Self, ConnectError> {
        let path: PathBuf = socket.to_owned();
        // The address is never looked up: the connector below ignores it.
        let channel = Endpoint::from_static("http://control.invalid")
            .connect_with_connector(service_fn(move |_: Uri| {
                let path = path.clone();
                async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(path).await?)) }
            }))
            .await
            .map_err(|_| ConnectError::NoAnswer(socket.display().to_string()))?;
        Ok(Self { channel, bearer: Bearer(None) })
    }

    /// Through a control port, showing the token in this file.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn through_port(address: SocketAddr, token: &Path) -> Result<Self, ConnectError> {
        if !address.ip().is_loopback() {
            return Err(ConnectError::NotLoopback);
        }
        let token = tokens::read_secret(token).map_err(|error| ConnectError::Token(error.to_string()))?;
        let unusable = |_| ConnectError::Token("the token file holds no token".to_owned());
        let mut shown: MetadataValue<Ascii> = format!("Bearer {}", token.as_str()).parse().map_err(unusable)?;
        shown.set_sensitive(true);
        let unreachable = |_| ConnectError::NoAnswer(address.to_string());
        recognise(address).await?;
        let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(unreachable)?;
        let channel = endpoint.connect().await.map_err(|_| ConnectError::NoAnswer(address.to_string()))?;
        Ok(Self { channel, bearer: Bearer(Some(shown)) })
    }

    /// The control service.
    #[must_use]
    pub fn control(self) -> Client {
        ControlClient::with_interceptor(self.channel, self.bearer)
    }

    /// The health service.
    #[must_use]
    pub fn health(self) -> HealthClient<InterceptedService<Channel, Bearer>> {
        HealthClient::with_interceptor(self.channel, self.bearer)
    }
}

/// How long what listens at a port may take to show what it is.
const RECOGNISED_WITHIN: Duration = Duration::from_secs(5);
/// What a client of HTTP/2 says first: the preface and empty settings.
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The head of a frame of HTTP/2, of which a server's first is its settings.
const FRAME_HEAD: usize = 9;

/// Looks whether HTTP/2 without TLS is spoken at a port, before a token is shown there.
async fn recognise(address: SocketAddr) -> Result<(), ConnectError> {
    let no_answer = |_| ConnectError::NoAnswer(address.to_string());
    let mut stream = TcpStream::connect(address).await.map_err(no_answer)?;
    let mut answer = Vec::new();
    let talk = async {
        // What hangs up early has shown what it is, too.
        let _hung_up = stream.write_all(GREETING).await;
        let _hung_up = stream.take(FRAME_HEAD as u64).read_to_end(&mut answer).await;
    };
    let in_time = tokio::time::timeout(RECOGNISED_WITHIN, talk).await.is_ok();
    what_answers(&answer, in_time).map_or(Ok(()), |found| Err(ConnectError::NotControl { address, found }))
}

/// What listens, by its first bytes; nothing if it may be a control port.
fn what_answers(answer: &[u8], in_time: bool) -> Option<&'static str> {
    const SETTINGS: u8 = 4;
    match answer {
        [_, _, _, SETTINGS, ..] if answer.len() == FRAME_HEAD => None,
        [b'H', b'T', b'T', b'P', ..] => Some("an HTTP/1 server"),
        [0x15 | 0x16, 3, ..] => Some("a port with TLS, such as the one for peers,"),
        [] if in_time => Some("something that hangs up"),
        [] => Some("something that says nothing"),
        _ => Some("something that does not speak HTTP/2"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_control_port_is_named_by_its_first_bytes() {
        assert_eq!(what_answers(&[0, 0, 18, 4, 0, 0, 0, 0, 0], true), None);
        let found = |answer: &[u8]| what_answers(answer, true).unwrap();
        assert!(found(b"HTTP/1.1 ").contains("HTTP/1"));
        assert!(found(&[0x15, 3, 3, 0, 2, 2, 10]).contains("TLS"));
        assert!(found(b"SSH-2.0-O").contains("does not speak HTTP/2"));
        assert!(found(&[]).contains("hangs up") && what_answers(&[], false).unwrap().contains("says nothing"));
    }
}
