//! The network in memory: every protocol's honest runs and its adversary, deterministic from one seed.
//!
//! A [`Network`] polls its parties and carries their frames over first-in-first-out links with bounded credit, in an
//! order that a seed decides. Three things can go wrong in it:
//!
//! - a [`Tap`] sits on every link and decides what is delivered; [`Tamper`] is the fault table that every protocol runs;
//! - an [`Incident`] ends a process, begins it again from what it has made durable, or keeps two parties apart;
//!   [`incidents`] draws lists of them;
//! - whoever cannot reach a party any more is told so, and nobody else is.
//!
//! Each party ends in an [`Ending`], and [`Report::check`] says whether every ending is one that its party may have: the
//! right answer, a fault with its culprit, or a stall that names somebody whom this party has lost. A deadlock and a
//! livelock are endings, too, and never legal.

mod attempt;
mod incident;
mod network;
mod report;
mod tamper;
mod world;

pub use incident::{Event, Incident, incidents};
pub use network::{Birth, Network};
pub use report::{Ending, Illegal, Report, Sent, Stuck};
pub use tamper::{Tamper, Tap};
