//! What an operator can set about links, with defaults for networks between institutions.

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Duration;

use tacitly_core::text::is_plain;

use super::envelope::{Window, WireRange, is_code};

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
    /// How long a peer whose link is up may move nothing in a session while we wait for it; `None`: until the session's
    /// deadline.
    pub patience: Option<Duration>,
    /// The most sessions with one peer at a time.
    pub max_sessions: usize,
    /// The most requests of one peer that one service has at a time, and the most of ours to one service of a peer that
    /// wait for answers.
    pub max_requests: usize,
    /// The usual pace: how many requests of one peer a service takes in a second, unless it has its own [`Pace`]; more
    /// wait for it, or are declined. A request of 16 KiB counts twice. As many announcements of sessions, and requests
    /// that are declined, are read from one peer in a second; more wait in its connection.
    pub requests_per_second: NonZeroU64,
    /// The bytes of frames that go to one peer, and that come from it, in a second; `None`: as fast as the line is.
    pub bytes_per_second: Option<NonZeroU64>,
    /// The pause before the second dial; it doubles from dial to dial.
    pub redial_first: Duration,
    /// The longest pause between dials.
    pub redial_most: Duration,
    /// The pause between dials while sessions wait for the link.
    pub redial_for_sessions: Duration,
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
            patience: None,
            max_sessions: 32,
            max_requests: 64,
            requests_per_second: const { NonZeroU64::new(200).unwrap() },
            bytes_per_second: None,
            redial_first: Duration::from_millis(250),
            redial_most: Duration::from_secs(10),
            redial_for_sessions: Duration::from_millis(500),
            wire: WireRange::OURS,
            features: BTreeSet::new(),
            software: concat!("tacitly ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// How fast one peer may ask a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As is set for this party's links: [`Settings::requests_per_second`], a second's worth of it at once.
    Usual,
    /// A pace of the service's own, for one that is bounded by something else.
    Own {
        /// Requests in a second; one of 16 KiB counts twice.
        per_second: NonZeroU64,
        /// How many of them may come at once.
        at_once: u64,
    },
}

/// Settings under which no link can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the setting {setting} must be {expected}")]
pub struct UnfitSettings {
    /// Which.
    pub setting: &'static str,
    /// What it must be.
    pub expected: &'static str,
}

impl Settings {
    /// The most features that a greeting names, and the longest name of a build.
    pub(super) const MAX_NAMES: usize = 64;

    /// Checks that links can be kept under these settings.
    ///
    /// # Errors
    /// [`UnfitSettings`] naming the first that does not fit.
    pub fn check(&self) -> Result<(), UnfitSettings> {
        let positive = "more than 0";
        for (fits, setting, expected) in [
            (!self.heartbeat.is_zero(), "heartbeat", positive),
            (!self.greeting_window.is_zero(), "greeting_window", positive),
            (!self.redial_first.is_zero(), "redial_first", positive),
            (!self.redial_for_sessions.is_zero(), "redial_for_sessions", positive),
            (self.redial_first <= self.redial_most, "redial_most", "at least redial_first"),
            (self.window.has_room(0, 0), "window", "at least one frame and one byte"),
            (self.patience.is_none_or(|patience| !patience.is_zero()), "patience", positive),
            (self.max_sessions > 0, "max_sessions", positive),
            ((1..=65_536).contains(&self.max_requests), "max_requests", "from 1 to 65536"),
            (self.wire.oldest <= self.wire.newest, "wire", "a range from older to newer"),
            (is_printable_name(&self.software), "software", "at most 64 printable bytes"),
            (are_features(self.features.iter()), "features", "at most 64 names of a-z, 0-9 and '-'"),
        ] {
            if !fits {
                return Err(UnfitSettings { setting, expected });
            }
        }
        Ok(())
    }
}

/// Whether a build may be called so in a greeting.
pub(super) fn is_printable_name(software: &str) -> bool {
    software.len() <= Settings::MAX_NAMES && is_plain(software)
}

/// Whether these may be the features in a greeting.
pub(super) fn are_features<'a>(mut names: impl ExactSizeIterator<Item = &'a String>) -> bool {
    names.len() <= Settings::MAX_NAMES && names.all(|name| is_code(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_fit_and_what_would_break_every_link_is_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let still = Settings { heartbeat: Duration::ZERO, ..Settings::default() };
        assert_eq!(still.check().unwrap_err().to_string(), "the setting heartbeat must be more than 0");
        let shut = Settings { window: Window { frames: 0, bytes: 1 }, ..Settings::default() };
        assert_eq!(shut.check().unwrap_err().setting, "window");
        let shouting = Settings { features: ["LOUD".to_owned()].into(), ..Settings::default() };
        assert_eq!(shouting.check().unwrap_err().setting, "features");
    }
}
