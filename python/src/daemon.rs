//! A party's daemon in this process, and the folder it lives in.

use std::net::SocketAddr;
use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use tacitly::daemon::{self, Config, home};

use crate::failure::Failure;
use crate::runtime::wait;

/// A party's daemon in this process.
#[pyclass(frozen, module = "tacitly._core")]
pub(crate) struct Daemon {
    party: String,
    socket: PathBuf,
    running: std::sync::Mutex<Option<daemon::Daemon>>,
}

#[pymethods]
impl Daemon {
    /// Starts the party in this folder. `log` writes its log to standard error.
    #[staticmethod]
    fn start(py: Python<'_>, home: PathBuf, log: bool) -> PyResult<Self> {
        let config = Config::load(&home).map_err(|error| Failure::plain(error, ""))?;
        if log {
            daemon::start_log(&config);
        }
        let party = config.party.to_string();
        let started = wait(py, async move { daemon::Daemon::start(&home, config).await })?;
        let running = started.map_err(Failure::from)?;
        Ok(Self { party, socket: running.socket().to_owned(), running: Some(running).into() })
    }

    /// The party's name.
    #[getter]
    fn party(&self) -> &str {
        &self.party
    }

    /// Where it is reached.
    #[getter]
    fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    /// Lets running jobs finish for a while, then ends it.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        match running {
            Some(running) => Ok(wait(py, running.stop())?.map_err(Failure::from)?),
            None => Ok(()),
        }
    }
}

/// Makes a party's folder: configuration, identity key, certificate, sealing key. `listen` is the port for peers, none
/// to dial only; `frame_mib` is the memory for frames, 0 to take none.
fn bad_value(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

#[pyfunction]
pub(crate) fn create_home(
    home: PathBuf,
    party: &str,
    listen: Option<&str>,
    frame_mib: u64,
    heartbeat_seconds: f64,
    reconnect_window_seconds: f64,
) -> PyResult<()> {
    let name = party.parse().map_err(bad_value)?;
    let listen = listen.map(str::parse::<SocketAddr>).transpose();
    let listen = listen.map_err(|_| PyValueError::new_err("listen is an address and a port, such as 0.0.0.0:7100"))?;
    let mut config = Config::new(name, listen, None);
    config.limits.frame_mib = frame_mib;
    config.network.heartbeat_seconds = heartbeat_seconds;
    config.network.reconnect_window_seconds = reconnect_window_seconds;
    home::create(&home, &config).map_err(|error| Failure::plain(error, ""))?;
    Ok(())
}

/// The party that lives in this folder, and its control socket.
#[pyfunction]
pub(crate) fn party_of(home: PathBuf) -> PyResult<(String, PathBuf)> {
    let config = Config::load(&home).map_err(|error| Failure::plain(error, ""))?;
    Ok((config.party.to_string(), home.join(&config.control.socket)))
}
