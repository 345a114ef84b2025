//! What others see of a link and of the sessions on it.

use std::collections::BTreeSet;

use jiff::SignedDuration;
use tokio::time::Instant;

use crate::transport::envelope::Notice;
use crate::transport::error::LinkError;

/// Whether a link is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Both sides have introduced themselves and hear each other.
    Up {
        /// Since when.
        since: Instant,
        /// The wire version in use.
        wire: u32,
        /// The abilities that both have.
        features: BTreeSet<String>,
        /// The peer's build.
        software: String,
        /// How far the peer's clock was ahead of ours when it introduced itself, if it says.
        clock_ahead: Option<SignedDuration>,
    },
    /// Nothing goes through.
    Down {
        /// Since when.
        since: Instant,
        /// Why, as far as is known by now.
        reason: LinkError,
    },
}

impl LinkState {
    /// Whether the link is up.
    #[must_use]
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }

    pub(super) fn since(&self) -> Instant {
        let (Self::Up { since, .. } | Self::Down { since, .. }) = self;
        *since
    }
}

/// Why a session with a peer goes no further, although our own side has not ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The link did not come back in time.
    Lost,
    /// The peer's process restarted and knows nothing of the session.
    Restarted,
    /// The peer never opened the session.
    NeverOpened,
    /// The link is up, and the peer moved nothing for as long as our patience lasts.
    Stuck,
    /// The peer ended its part, well or badly.
    Ended(Notice),
    /// The peer broke the rules of the stream in this session.
    Violation {
        /// Which rule.
        rule: &'static str,
        /// The sequence number of the frame, where there is one.
        sequence: Option<u64>,
    },
    /// Our own process stops.
    ShuttingDown,
}

impl Departure {
    /// Whether the peer came to its answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Ended(notice) if notice.is_complete())
    }
}
