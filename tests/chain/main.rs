//! The attestation log as operators meet it: commands beside a running daemon, witnesses, old copies, forks.

#[path = "../support/mod.rs"]
mod support;

mod commands;
mod mirrors;
mod missing;
mod reconcile;
mod stand_alone;
mod witnesses;
mod world;
