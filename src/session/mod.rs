//! Runs protocols between parties: a [`Network`] of links with every peer, and [`drive`], the one driver of every
//! protocol's [`Party`](tacitly_core::Party).
//!
//! A session that has started ends with the right answer ([`Completed`]) or in one of the ways of [`Ended`], each of
//! which names somebody: it never hangs, and no peer is left waiting without a word. See `README.md` in this folder.

mod attempt_tag;
mod drive;
mod ended;
mod network;
mod session_state;
mod status;
mod transcript;

pub use crate::transport::{Inbox, LinkError, LinkState, SessionLimits, SessionLink, Settings, Window};
pub use attempt_tag::AttemptTag;
pub use drive::{CheckpointSink, Completed, LocalFailure, Options, Settle, drive};
pub use ended::{Absence, Ended};
pub use network::{Network, StartError};
pub use status::{Status, Traffic};
pub use tokio_util::sync::CancellationToken;
pub use transcript::{PeerTranscripts, Transcript};
