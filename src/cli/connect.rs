//! The way from a command to a daemon: the control socket in the party's folder, or a control port with a token.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic_health::pb::health_client::HealthClient;

use super::Failure;
use crate::daemon::{Config, lost_socket};
use crate::rpc::client::{Bearer, Client, ConnectError, Connection};
use crate::rpc::control::StatusRequest;

/// A daemon's control service, with whatever the caller shows.
pub(crate) type Daemon = Client;

/// Where a command finds its daemon.
pub(crate) struct Way {
    /// The party's folder.
    pub(crate) home: PathBuf,
    /// A control port and the file with the token for it, instead of the socket in the folder.
    pub(crate) port: Option<(SocketAddr, PathBuf)>,
}

/// An address as options take it.
///
/// # Errors
/// What it must be.
pub(crate) fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "write an IP address and a port, such as 127.0.0.1:7100; a host's name is not taken")
}

/// Connects to the daemon that the way leads to.
///
/// # Errors
/// A [`Failure`] that says how to start the daemon if none answers, or what is wrong with the token.
pub(crate) async fn connect(way: &Way) -> Result<Daemon, Failure> {
    Ok(open(way).await?.control())
}

/// Connects to the health service of the daemon that the way leads to.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_health(way: &Way) -> Result<HealthClient<InterceptedService<Channel, Bearer>>, Failure> {
    Ok(open(way).await?.health())
}

/// The name of the party whose daemon this is.
///
/// # Errors
/// What the daemon says.
pub(crate) async fn own_name(daemon: &mut Daemon) -> Result<String, Failure> {
    Ok(daemon.status(StatusRequest {}).await?.into_inner().party)
}

async fn open(way: &Way) -> Result<Connection, Failure> {
    match &way.port {
        Some((address, token)) => Connection::through_port(*address, token).await.map_err(|error| match error {
            ConnectError::NotLoopback => {
                Failure::hinted(format!("--connect: {error}"), "forward the port, for example with `ssh -L`")
            }
            ConnectError::NoAnswer(_) | ConnectError::NotControl { .. } => {
                Failure::hinted(error.to_string(), "name what control.listen says in its party.toml")
            }
            ConnectError::Token(_) => Failure::plain(error),
        }),
        None => connect_home(&way.home).await,
    }
}

async fn connect_home(home: &Path) -> Result<Connection, Failure> {
    let config = Config::load(home).map_err(Failure::plain)?;
    let socket = home.join(&config.control.socket);
    Connection::through_socket(&socket).await.map_err(|error| match lost_socket(home, &config) {
        Some((text, hint)) => Failure::hinted(format!("{error}: {text}"), hint),
        None => Failure::hinted(error.to_string(), format!("start it with `tacitly serve --home {}`", home.display())),
    })
}

/// Connects to a control socket.
///
/// # Errors
/// [`ConnectError`] if nothing listens there.
pub(crate) async fn connect_socket(socket: PathBuf) -> Result<Daemon, ConnectError> {
    Ok(Connection::through_socket(&socket).await?.control())
}
