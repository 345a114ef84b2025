//! What two parties say to each other, as values.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tacitly_core::text::{is_plain, is_printable};
use tacitly_core::{Frame, PartyId, SessionTag};

/// One message between two parties: requests and responses on a stream of their own, all others on that of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// First in each direction.
    Hello(Hello),
    /// Nothing to say, still here.
    Heartbeat,
    /// The sender is ready for the frames of a session, under its own `channel` number.
    SessionOpen {
        /// The session.
        session: SessionTag,
        /// The sender's number for it.
        channel: u64,
        /// How much of it the sender holds unconsumed.
        window: Window,
    },
    /// A protocol's message.
    SessionFrame {
        /// The receiver's number for the session.
        channel: u64,
        /// The message.
        frame: Frame,
        /// How many frames of the session the sender's protocol has consumed, as far as it tells.
        consumed: u64,
    },
    /// How many frames of a session the sender's protocol has consumed.
    SessionAcknowledgement {
        /// The receiver's number for the session.
        channel: u64,
        /// Frames consumed since the session began.
        consumed: u64,
    },
    /// The sender's part in a session is over.
    SessionEnd {
        /// The session.
        session: SessionTag,
        /// The sender's number for it, 0 if it never opened it.
        channel: u64,
        /// Why.
        notice: Notice,
    },
    /// A question outside any session.
    Request {
        /// The asker's number for it.
        id: u64,
        /// Which service of the receiver is asked: a code.
        service: String,
        /// The question.
        body: Bytes,
    },
    /// The answer to a question.
    Response {
        /// The asker's number.
        id: u64,
        /// The answer, or the code of why there is none.
        outcome: Result<Bytes, String>,
    },
    /// Last on a connection that is closed on purpose.
    Bye(CloseReason),
}

/// How a party introduces itself on a fresh connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its clock, if it says.
    pub clock: Option<Timestamp>,
    /// The wire versions it speaks.
    pub wire: WireRange,
    /// Abilities beyond the wire version.
    pub features: BTreeSet<String>,
    /// Its build, for people.
    pub software: String,
    /// Its name.
    pub party: PartyId,
    /// Its process.
    pub boot: BootId,
    /// The dialler's number for this connection.
    pub connection: u64,
    /// The last connection with the receiver that it has lost, 0 if none.
    pub lost: u64,
    /// Which of the pair's connections this is.
    pub lane: Lane,
}

/// A connection between two parties is known by both and its lane. Only [`Lane::ONLY`] is used: the others are for
/// shards and workers, so that what goes over the wire need not change for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lane(u8);

impl Lane {
    /// The one that is used.
    pub const ONLY: Self = Self(0);
    /// How many there can be.
    pub const MOST: u8 = 16;

    /// The lane of this number, if there can be such a one.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| *number < Self::MOST).map(Self)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The wire versions a build speaks, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireRange {
    /// The oldest.
    pub oldest: u32,
    /// The newest.
    pub newest: u32,
}

impl WireRange {
    /// What this build speaks.
    pub const OURS: Self = Self { oldest: 1, newest: 1 };

    /// The newest version that both speak.
    #[must_use]
    pub fn common(self, other: Self) -> Option<u32> {
        let newest = self.newest.min(other.newest);
        (newest >= self.oldest.max(other.oldest)).then_some(newest)
    }
}

impl std::fmt::Display for WireRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.oldest == self.newest {
            write!(f, "{}", self.newest)
        } else {
            write!(f, "{} to {}", self.oldest, self.newest)
        }
    }
}

/// Names one run of a party's process: a peer that shows another one has restarted and forgotten its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

/// How much of one session and direction may be under way: sent, and not yet consumed by the receiver's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Frames.
    pub frames: u32,
    /// Bytes of bodies. The last frame may reach beyond it.
    pub bytes: u32,
}

impl Window {
    /// Whether one more frame may be under way when `frames` of together `bytes` already are.
    #[must_use]
    pub fn has_room(self, frames: usize, bytes: usize) -> bool {
        frames < self.frames as usize && bytes < self.bytes as usize
    }

    /// What fits into both.
    #[must_use]
    pub fn smaller(self, other: Self) -> Self {
        Self { frames: self.frames.min(other.frames), bytes: self.bytes.min(other.bytes) }
    }
}

/// Why a party's part in a session is over, as far as its peers are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    code: String,
    stage: String,
}

impl Notice {
    /// The code of a session that came to its answer.
    pub const COMPLETE: &str = "complete";
    /// The code of a session that ended because a link was not restored in time.
    pub const PEER_LOST: &str = "peer-lost";
    /// The code of a session that ended because a peer's process restarted.
    pub const PEER_RESTARTED: &str = "peer-restarted";
    /// The code of a session that a peer never opened.
    pub const NEVER_OPENED: &str = "never-opened";
    /// The code of a session in which a peer moved nothing for too long.
    pub const NO_PROGRESS: &str = "no-progress";
    /// The code of a session that was ended by whoever runs the sender's process.
    pub const CANCELLED: &str = "cancelled";
    /// The code of a session that did not end in time.
    pub const DEADLINE: &str = "deadline";
    /// The code of a session that ended because the sender's process stops.
    pub const SHUTDOWN: &str = "shutdown";
    /// The code of a session whose owner dropped it without a word.
    pub const ABANDONED: &str = "abandoned";
    /// The code of a session that the receiver cannot take because it runs too many already.
    pub const TOO_MANY_SESSIONS: &str = "too-many-sessions";

    /// The longest code, in bytes.
    pub const MAX_CODE: usize = 64;
    /// The longest stage, in bytes.
    pub const MAX_STAGE: usize = 96;

    /// A notice of ours. What does not fit is cut, and a code that is none becomes `other`.
    #[must_use]
    pub fn new(code: &str, stage: &str) -> Self {
        let code = if is_code(code) { code } else { "other" };
        let stage = stage.get(..stage.floor_char_boundary(Self::MAX_STAGE)).unwrap_or_default();
        let stage = stage.chars().map(|c| if is_printable(c) { c } else { ' ' }).collect();
        Self { code: code.to_owned(), stage }
    }

    /// A peer's notice, or `None` if it is not fit to be shown.
    #[must_use]
    pub fn parse(code: String, stage: String) -> Option<Self> {
        (is_code(&code) && stage.len() <= Self::MAX_STAGE && is_plain(&stage)).then_some(Self { code, stage })
    }

    /// What went wrong, or [`Notice::COMPLETE`].
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// What was being done.
    #[must_use]
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Whether the session came to its answer.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.code == Self::COMPLETE
    }
}

/// Whether `text` is a stable code: 1 to 64 characters of `a-z`, `0-9` and `-`.
pub(crate) fn is_code(text: &str) -> bool {
    (1..=Notice::MAX_CODE).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// Why a stream is closed on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The sender's process stops.
    #[error("it is shutting down")]
    ShuttingDown,
    /// Another connection between the two is used instead.
    #[error("another connection is used instead")]
    Superseded,
    /// No wire version in common.
    #[error("it speaks no wire version that we speak")]
    Version,
    /// The Hello names another party than the certificate.
    #[error("it says that our greeting and our certificate name different parties")]
    WrongParty,
    /// The receiver broke the rules of the stream.
    #[error("it says that we broke the rules of the stream")]
    Violation,
    /// The receiver is no longer a peer.
    #[error("it no longer takes us for a peer; ask its operator")]
    NoLongerAPeer,
    /// The Hello names a lane that the sender does not use.
    #[error("it uses one connection with us only, and we wanted another")]
    Lane,
    /// A reason that this build does not know.
    #[error("for a reason that this version does not know")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_builds_use_the_newest_version_that_both_speak_or_none() {
        let range = |oldest, newest| WireRange { oldest, newest };
        assert_eq!(range(1, 3).common(range(2, 5)), Some(3));
        assert_eq!(range(2, 2).common(range(1, 2)), Some(2));
        assert_eq!(range(1, 1).common(range(2, 3)), None);
    }

    #[test]
    fn our_notices_always_pass_the_check_that_peers_make() {
        let long = "é".repeat(80);
        for (code, stage) in [("complete", ""), ("Not A Code", "a\nb"), ("x", long.as_str())] {
            let notice = Notice::new(code, stage);
            assert_eq!(Notice::parse(notice.code.clone(), notice.stage.clone()), Some(notice));
        }
        assert_eq!(Notice::parse("x".into(), "a\u{1b}[2J".into()), None);
        assert_eq!(Notice::parse("x".repeat(65), String::new()), None);
    }
}
