//! Where a session stands, for those who watch it.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

/// A session's progress and its links.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// What is being done, in a few words.
    pub stage: &'static str,
    /// Units done.
    pub done: u64,
    /// Units in all, 0 if unknown.
    pub total: u64,
    /// What goes on with each peer.
    pub peers: BTreeMap<PartyId, Traffic>,
}

/// What goes on with one peer in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Whether the link is up.
    pub up: bool,
    /// Frames that our protocol has sent.
    pub frames_out: u64,
    /// Bytes of their bodies.
    pub bytes_out: u64,
    /// Frames that our protocol has received.
    pub frames_in: u64,
    /// Bytes of their bodies.
    pub bytes_in: u64,
}
