//! The daemon: one process that serves one party, from start to drain.

pub mod attestation;
mod config;
pub mod doctor;
mod finding;
pub mod home;
mod malformed;
mod metrics;
mod serve;
mod start;
mod witness;

pub use config::{
    Attestation, Config, ConfigError, Control, Limits, Log, LogFormat, Metrics, Network, StoreConfig, WitnessConfig,
};
pub use serve::{Daemon, ServeError, serve, serve_with, start_log};
pub use start::lost_socket;
pub use witness::{Card, StandAlone};
