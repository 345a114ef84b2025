//! What an operator can set about links, with defaults for networks between institutions.

use std::collections::BTreeSet;
use std::time::Duration;

use super::envelope::{Window, WireRange};

/// How links behave. All of it may differ between two peers.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A sign of life is sent this often; after two such intervals without a byte the link is down.
    pub heartbeat: Duration,
    /// How long sessions outlive a link that is down.
    pub reconnect_window: Duration,
    /// How long a session waits, on a link that is up, for the peer to open it too.
    pub opening_window: Duration,
    /// How long a connection may take until both sides have introduced themselves.
    pub greeting_window: Duration,
    /// How much of one session we hold unconsumed, and send ahead if the peer holds as much.
    pub window: Window,
    /// The most sessions with one peer at a time.
    pub max_sessions: usize,
    /// The most requests of one peer that are handled at a time, and the most of ours that wait for its answers.
    pub max_requests: usize,
    /// The pause before the second dial; it doubles from dial to dial.
    pub redial_first: Duration,
    /// The longest pause between dials.
    pub redial_most: Duration,
    /// The wire versions to speak; all that this build knows, unless the operator holds it back.
    pub wire: WireRange,
    /// Abilities beyond the wire version.
    pub features: BTreeSet<String>,
    /// How this build introduces itself, at most 64 characters.
    pub software: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(5),
            reconnect_window: Duration::from_secs(30),
            opening_window: Duration::from_secs(300),
            greeting_window: Duration::from_secs(10),
            window: Window { frames: 64, bytes: 8 << 20 },
            max_sessions: 32,
            max_requests: 64,
            redial_first: Duration::from_millis(250),
            redial_most: Duration::from_secs(10),
            wire: WireRange::OURS,
            features: BTreeSet::new(),
            software: concat!("tacitly ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
