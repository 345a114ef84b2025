//! The ways in which a session ends without an answer.

use tacitly_core::{Fault, PartyId};

use crate::transport::Notice;

/// Why a session ended without an answer. It names who broke a rule, who went away, or what was wrong on our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// A peer broke the protocol (or the rules of the stream, as a violation in round 0), two honest sides disagree,
    /// or our caller made a mistake.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A peer went away without a word, and the protocol cannot do without it.
    #[error("{cause} ({who}) while {stage}")]
    Stalled {
        /// Who.
        who: PartyId,
        /// How.
        cause: Absence,
        /// What we were doing.
        stage: &'static str,
    },
    /// A peer said that it cannot go on, and the protocol cannot do without it.
    #[error("{who} failed with `{code}` while {stage}")]
    PeerFailed {
        /// Who.
        who: PartyId,
        /// Its reason, a stable code.
        code: String,
        /// What it was doing.
        stage: String,
    },
    /// It took longer than allowed.
    #[error("the time allowed was over while {stage}")]
    Deadline {
        /// What we were doing.
        stage: &'static str,
    },
    /// Somebody ended it on purpose.
    #[error("{by} cancelled it while {stage}")]
    Cancelled {
        /// Who.
        by: PartyId,
        /// What the canceller was doing.
        stage: String,
    },
    /// Something went wrong on this machine.
    #[error("{detail} (`{code}`) while {stage}")]
    Local {
        /// A stable code.
        code: &'static str,
        /// What, where, how to mend it; for our own operator only.
        detail: String,
        /// What we were doing.
        stage: &'static str,
    },
}

/// How a peer went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// The link did not come back within the reconnect window.
    #[error("the link with a peer did not come back in time")]
    PeerLost,
    /// Its process restarted and has forgotten the session.
    #[error("a peer's process restarted")]
    PeerRestarted,
    /// Its link is up, but it never opened the session.
    #[error("a peer never opened the session")]
    NeverOpened,
    /// Its link is up, but it moved nothing for too long.
    #[error("a peer moved nothing for too long")]
    NoProgress,
}

impl Ended {
    /// The code of a session that ended because a peer said that it failed.
    pub const PEER_FAILED: &str = "peer-failed";
    /// The code of a peer that said it was complete while others still waited for it.
    pub const LEFT_EARLY: &str = "left-early";

    /// A stable code for lists and counters; for a violation, its own.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Fault(Fault::Peer { violation, .. }) => violation.code,
            Self::Fault(Fault::Dispute { code, .. }) => code,
            Self::Fault(Fault::Terms { .. }) => "terms",
            Self::Fault(Fault::Misuse(_)) => "misuse",
            Self::Stalled { cause: Absence::PeerLost, .. } => Notice::PEER_LOST,
            Self::Stalled { cause: Absence::PeerRestarted, .. } => Notice::PEER_RESTARTED,
            Self::Stalled { cause: Absence::NeverOpened, .. } => Notice::NEVER_OPENED,
            Self::Stalled { cause: Absence::NoProgress, .. } => Notice::NO_PROGRESS,
            Self::PeerFailed { .. } => Self::PEER_FAILED,
            Self::Deadline { .. } => Notice::DEADLINE,
            Self::Cancelled { .. } => Notice::CANCELLED,
            Self::Local { code, .. } => code,
        }
    }

    /// Whether another attempt from the last checkpoint may well come to the answer: somebody went away, and nobody
    /// did anything wrong.
    #[must_use]
    pub fn is_resumable(&self) -> bool {
        match self {
            Self::Stalled { .. } => true,
            Self::PeerFailed { code, .. } => matches!(
                code.as_str(),
                Notice::PEER_LOST
                    | Notice::PEER_RESTARTED
                    | Notice::NEVER_OPENED
                    | Notice::NO_PROGRESS
                    | Notice::SHUTDOWN
                    | Notice::ABANDONED
                    | Notice::TOO_MANY_SESSIONS
            ),
            Self::Local { code, .. } => *code == Notice::SHUTDOWN,
            Self::Fault(_) | Self::Deadline { .. } | Self::Cancelled { .. } => false,
        }
    }

    /// Who is to blame, if it is a peer that broke a rule.
    #[must_use]
    pub fn culprit(&self) -> Option<PartyId> {
        if let Self::Fault(fault) = self { fault.culprit() } else { None }
    }

    /// What the peers are told: the code and what we were doing, less than our own log keeps.
    pub(super) fn notice(&self, stage: &str) -> Notice {
        Notice::new(self.code(), stage)
    }
}
