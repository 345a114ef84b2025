//! The way from a command to this party's daemon: the control socket in the party's folder.

use std::path::{Path, PathBuf};

use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::Failure;
use crate::daemon::Config;
use crate::rpc::control::control_client::ControlClient;

/// Connects to the daemon that serves the party in `home`.
///
/// # Errors
/// A [`Failure`] that says how to start the daemon if none answers.
pub(crate) async fn connect(home: &Path) -> Result<ControlClient<Channel>, Failure> {
    let config = Config::load(home).map_err(Failure::plain)?;
    let socket = home.join(&config.control.socket);
    connect_socket(socket.clone()).await.map_err(|_| {
        Failure::hinted(
            format!("no daemon answers at {}", socket.display()),
            format!("start it with `tacitly serve --home {}`", home.display()),
        )
    })
}

/// Connects to a control socket.
///
/// # Errors
/// The transport's error if nothing listens there.
pub(crate) async fn connect_socket(socket: PathBuf) -> Result<ControlClient<Channel>, tonic::transport::Error> {
    // The address is never looked up: the connector below ignores it.
    let channel = Endpoint::from_static("http://control.invalid")
        .connect_with_connector(service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
        }))
        .await?;
    Ok(ControlClient::new(channel))
}
