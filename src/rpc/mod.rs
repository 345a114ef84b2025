//! What a party's own operators and applications ask of their daemon: over a local socket, or over a loopback port with
//! a token, in gRPC or, for questions to services, HTTP and JSON. Peers never reach it.

pub mod admin;
pub mod client;
mod frames;
pub mod gate;
pub mod http;
mod openapi;
mod pages;
mod problem;
pub mod reflection;
pub mod service;
pub mod status;
pub mod tokens;
mod view;

pub use view::job_states;

/// The generated contract.
#[allow(missing_docs, clippy::pedantic, unreachable_pub)]
pub mod control {
    include!("generated/tacitly.control.v1.rs");
}
