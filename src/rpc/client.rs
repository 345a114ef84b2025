//! The way from a program to a daemon's control API: the socket in the party's folder, or a loopback port with a token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
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
