//! The attestation log as operators meet it: commands beside a running daemon, witnesses, old copies, forks.

#[path = "../daemons/support/mod.rs"]
mod support;

mod commands;
mod mirrors;
mod missing;
mod reconcile;
mod stand_alone;
mod witnesses;
mod world;
