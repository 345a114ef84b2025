//! Institutions compute on each other's data without showing it.
//!
//! This crate is the façade: it re-exports the protocols and holds everything that touches the world. Protocols compute
//! and know no socket, file or clock; the rooms here do. Arrows point down, and a test checks them:
//!
//! ```text
//! core ← curve25519-batch ← { psi, attestation } ← this crate ← the binary, examples, benches, tests, python
//!
//! main → cli, daemon → { rpc, kinds } → jobs → datasets → attest → peers → session → transport
//!                                            └→ relay ──────────────┘
//!                                                                └→ policy, store, intake, chain
//! ```
//!
//! | room | what it does |
//! |---|---|
//! | [`session`] | drives any protocol party over any transport: deadline, heartbeat, progress, checkpoint, transcript |
//! | [`transport`] | moves envelopes between two authenticated parties: mutual TLS, one connection per pair |
//! | [`kinds`] | what only one kind of job knows, a folder each |
//! | [`jobs`] | a business job of any kind from proposal to sealed result |
//! | [`datasets`] | files registered once and tables for one job; rules about them, openings and erasures |
//! | [`attest`] | what goes on record, and its way into the attestation log; witnesses and mirrors |
//! | [`relay`] | sessions between two members of a job through its leader |
//! | [`peers`] | who is pinned; asking other parties' daemons, and answering them |
//! | [`policy`] | who may ask what of whom, how often |
//! | [`store`] | the ledger, its seals and its signatures |
//! | [`chain`] | the attestation log on disk: durable entries, signed checkpoints, proofs |
//! | [`evidence`] | certificates and openings checked offline; the printable page |
//! | [`intake`] | files in, canonical keys; rows out |
//! | [`rpc`] | the control API for a daemon's own operators |
//! | [`daemon`] | start, configuration, drain |
//! | [`cli`] | the commands |
//! | [`codes`], [`counters`] | every error by its stable code; what this process counts |
//! | [`kernel`] | the curve kernel as operators see it |
//! | [`test_bed`], [`synthetic`] | real parties and invented data for demo, bench and tests |

// Kinds of job that tests define say `tacitly` wherever they are compiled.
#[cfg(test)]
extern crate self as tacitly;

pub mod attest;
pub mod chain;
pub mod cli;
pub mod codes;
pub mod counters;
pub mod daemon;
pub mod datasets;
pub mod evidence;
pub mod intake;
pub mod jobs;
pub mod kernel;
pub mod kinds;
pub mod link_bench;
mod new_file;
pub mod peers;
pub mod policy;
pub mod relay;
pub mod rpc;
pub mod session;
pub mod store;
pub mod synthetic;
pub mod test_bed;
pub mod transport;

pub use tacitly_attestation as attestation;
pub use tacitly_core as core;
pub use tacitly_curve25519_batch as curve25519_batch;
pub use tacitly_psi as psi;
