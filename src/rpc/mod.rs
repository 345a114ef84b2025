//! What a party's own operators and applications ask of their daemon, over a local socket. Peers never reach it.

pub mod service;
pub mod status;
mod view;

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod control {
    include!("generated/tacitly.control.v1.rs");
}
