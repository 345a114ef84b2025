//! The way from a command to a daemon: the control socket in the party's folder, or a control port with a token.

use std::ffi::OsString;
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
    /// A control port and the file with the token for it, instead of the socket in the folder. What is wrong with them is
    /// told by commands that need a daemon, and by no other.
    port: Option<Result<(SocketAddr, PathBuf), &'static str>>,
}

impl Way {
    /// What the options say counts before the environment: a folder that is named is that of the party that is meant.
    pub(crate) fn of(
        home: Option<PathBuf>,
        connect: Option<SocketAddr>,
        token_file: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        let connect = match connect {
            Some(address) => Some(Ok(address)),
            None if home.is_some() => None,
            None => set("TACITLY_CONNECT").map(|text| address(&text.to_string_lossy())),
        };
        let token_file = token_file.or_else(|| set("TACITLY_TOKEN_FILE").map(Into::into));
        let port = connect.map(|address| {
            let token_file =
                token_file.ok_or("a control port needs a token: --token-file FILE, or TACITLY_TOKEN_FILE")?;
            Ok((
                address.map_err(|_| "TACITLY_CONNECT is an IP address and a port, such as 127.0.0.1:7100")?,
                token_file,
            ))
        });
        let home = home.or_else(|| set("TACITLY_HOME").map(Into::into));
        Self { home: home.unwrap_or_else(|| PathBuf::from(".")), port }
    }
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
        Some(Err(text)) => Err(Failure::plain(text)),
        Some(Ok((address, token))) => Connection::through_port(*address, token).await.map_err(|error| match error {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_named_wins_over_the_environment_and_a_wrong_variable_stops_no_other_command() {
        let address: SocketAddr = "127.0.0.1:7100".parse().unwrap();
        let way = |home: Option<&str>, connect, token: Option<&str>, set: &[(&str, &str)]| {
            let set = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            let way = Way::of(home.map(Into::into), connect, token.map(Into::into), set);
            (
                way.home.display().to_string(),
                way.port.map(|port| port.map(|(address, token)| (address, token.display().to_string()))),
            )
        };
        let port = [("TACITLY_HOME", "h"), ("TACITLY_CONNECT", "127.0.0.1:7100"), ("TACITLY_TOKEN_FILE", "t")];
        assert_eq!(way(None, None, None, &[]), (".".to_owned(), None));
        assert_eq!(way(None, None, None, &port), ("h".to_owned(), Some(Ok((address, "t".to_owned())))));
        assert_eq!(way(Some("bank"), None, None, &port), ("bank".to_owned(), None));
        assert_eq!(way(Some("bank"), Some(address), Some("u"), &port).1, Some(Ok((address, "u".to_owned()))));
        // The token may come from the line and the address from the environment.
        assert_eq!(way(None, None, Some("u"), &port[..2]).1, Some(Ok((address, "u".to_owned()))));
        assert!(way(None, None, None, &port[..2]).1.unwrap().unwrap_err().contains("--token-file"));
        assert!(way(None, None, Some("u"), &[("TACITLY_CONNECT", "bank")]).1.unwrap().unwrap_err().contains("such as"));
    }
}
