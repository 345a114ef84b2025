//! The daemon: one process that serves one party, from start to drain.

mod config;
pub mod doctor;
pub mod home;
mod metrics;
mod serve;

pub use config::{Config, ConfigError, Control, Limits, Log, LogFormat, Metrics, Network, StoreConfig};
pub use serve::{Daemon, ServeError, serve, start_log};
