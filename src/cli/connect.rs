//! The way from a command to a daemon: the control socket in the party's folder, or a control port with a token.

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

use super::Failure;
use crate::daemon::Config;
use crate::rpc::control::control_client::ControlClient;
use crate::rpc::tokens;

/// A daemon's control service, with whatever the caller shows.
pub(crate) type Daemon = ControlClient<InterceptedService<Channel, Bearer>>;

/// Where a command finds its daemon.
pub(crate) struct Way {
    /// The party's folder.
    pub(crate) home: PathBuf,
    /// A control port and the file with the token for it, instead of the socket in the folder.
    pub(crate) port: Option<(SocketAddr, PathBuf)>,
}

/// Shows a token, if there is one.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

/// Connects to the daemon that the way leads to.
///
/// # Errors
/// A [`Failure`] that says how to start the daemon if none answers, or what is wrong with the token.
pub(crate) async fn connect(way: &Way) -> Result<Daemon, Failure> {
    let (channel, bearer) = open(way).await?;
    Ok(ControlClient::with_interceptor(channel, bearer))
}

/// Connects to the health service of the daemon that the way leads to.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_health(way: &Way) -> Result<HealthClient<InterceptedService<Channel, Bearer>>, Failure> {
    let (channel, bearer) = open(way).await?;
    Ok(HealthClient::with_interceptor(channel, bearer))
}

async fn open(way: &Way) -> Result<(Channel, Bearer), Failure> {
    match &way.port {
        Some((address, token)) => connect_port(*address, token).await,
        None => connect_home(&way.home).await,
    }
}

async fn connect_port(address: SocketAddr, token: &Path) -> Result<(Channel, Bearer), Failure> {
    if !address.ip().is_loopback() {
        let text = "--connect takes a loopback address only: the control port has no TLS, and the token would be seen";
        return Err(Failure::hinted(text, "forward the port, for example with `ssh -L`"));
    }
    let token = tokens::read_secret(token).map_err(Failure::plain)?;
    let mut shown: MetadataValue<Ascii> =
        format!("Bearer {}", token.as_str()).parse().map_err(|_| Failure::plain("the token file holds no token"))?;
    shown.set_sensitive(true);
    let endpoint = Endpoint::from_shared(format!("http://{address}")).map_err(Failure::plain)?;
    let channel = endpoint.connect().await.map_err(|_| {
        Failure::hinted(format!("no daemon answers at {address}"), "check control.listen in its party.toml")
    })?;
    Ok((channel, Bearer(Some(shown))))
}

async fn connect_home(home: &Path) -> Result<(Channel, Bearer), Failure> {
    let config = Config::load(home).map_err(Failure::plain)?;
    let socket = home.join(&config.control.socket);
    let channel = socket_channel(socket.clone()).await.map_err(|_| {
        Failure::hinted(
            format!("no daemon answers at {}", socket.display()),
            format!("start it with `tacitly serve --home {}`", home.display()),
        )
    })?;
    Ok((channel, Bearer(None)))
}

/// Connects to a control socket.
///
/// # Errors
/// The transport's error if nothing listens there.
pub(crate) async fn connect_socket(socket: PathBuf) -> Result<Daemon, tonic::transport::Error> {
    Ok(ControlClient::with_interceptor(socket_channel(socket).await?, Bearer(None)))
}

async fn socket_channel(socket: PathBuf) -> Result<Channel, tonic::transport::Error> {
    // The address is never looked up: the connector below ignores it.
    Endpoint::from_static("http://control.invalid")
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        }))
        .await
}
