//! The endings that are not an answer. A fault names who broke which rule; a stall names whom we waited for.

use std::fmt;

use crate::{PartyId, TermsMismatch};

/// Codes of violations that any protocol can report. Each protocol adds its own in `violation.rs`.
pub mod code {
    /// A frame of another session.
    pub const FRAME_SESSION: &str = "frame-session";
    /// A frame repeated, skipped or out of order.
    pub const FRAME_ORDER: &str = "frame-order";
    /// A frame larger than agreed.
    pub const FRAME_SIZE: &str = "frame-size";
    /// A frame from someone who takes no part in the session.
    pub const NOT_A_PARTY: &str = "not-a-party";
    /// A message that cannot be decoded.
    pub const MALFORMED: &str = "malformed";
    /// A well-formed message in the wrong round, or after the last one.
    pub const UNEXPECTED: &str = "unexpected";
    /// More messages ahead of their round than are held.
    pub const BACKLOG: &str = "backlog";
}

/// How a peer broke the rules. It prints without secrets: a code, a round and a place, never the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule; stable across versions.
    pub code: &'static str,
    /// The round in which it was seen, from 1; 0 where both sides show their terms before the first round.
    pub round: u32,
    /// The place within the message or list, where there is one.
    pub index: Option<u64>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in round {}", self.code, self.round)?;
        self.index.map_or(Ok(()), |index| write!(f, " at index {index}"))
    }
}

/// Our own caller asked for something that no peer can be blamed for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// More rows than one session holds in memory.
    #[error("{found} rows in one session, at most {limit} are taken")]
    TooManyRows {
        /// Rows given.
        found: u64,
        /// Rows allowed.
        limit: u64,
    },
    /// Our caller's input does not fit the agreed terms, or the session.
    #[error("the input does not match the agreed terms: {0}")]
    Input(&'static str),
    /// The machine has already ended.
    #[error("the session is over")]
    Over,
}

/// A session ended because somebody broke the rules or two honest sides disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A peer broke the rules.
    #[error("{who} broke the protocol: {violation}")]
    Peer {
        /// Who.
        who: PartyId,
        /// Which rule, where.
        violation: Violation,
    },
    /// What two parties say excludes each other, and it cannot be told from here which of them broke the rules.
    #[error("{a} and {b} contradict each other ({code}), and it cannot be told which of them broke the protocol")]
    Dispute {
        /// One of them.
        a: PartyId,
        /// The other.
        b: PartyId,
        /// Which rule one of them broke; stable across versions.
        code: &'static str,
    },
    /// A peer opens with other terms than ours; caught before round 1. Two honest sides that never compared their terms may
    /// just mean different things, so this alone blames nobody. Where both have signed the terms, one of the two broke its
    /// word.
    #[error("{mismatch}")]
    Terms {
        /// Whose opening it is.
        who: PartyId,
        /// Where the terms differ.
        mismatch: TermsMismatch,
    },
    /// Our caller's mistake; never reachable from network bytes.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

impl Fault {
    /// Blames `who` for a violation; made to be curried into `map_err`.
    pub fn of(who: PartyId) -> impl Fn(Violation) -> Self {
        move |violation| Self::Peer { who, violation }
    }

    /// Who is to blame, if it is one peer and no other. Of a dispute it is nobody: whoever asks must not take one of
    /// the two for the culprit.
    #[must_use]
    pub fn culprit(&self) -> Option<PartyId> {
        // Exhaustive on purpose: a new kind of fault must decide whom it blames.
        match self {
            Self::Peer { who, .. } => Some(*who),
            Self::Dispute { .. } | Self::Terms { .. } | Self::Misuse(_) => None,
        }
    }
}

/// A session that cannot go on although nobody broke a rule: a link was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("lost {who} while {stage}")]
pub struct Stall {
    /// Whom the session cannot do without.
    pub who: PartyId,
    /// What it was doing, as in [`Progress::stage`](crate::Progress::stage).
    pub stage: &'static str,
}

/// Why a party ended without its answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Somebody broke the rules, or two honest sides disagree.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Somebody it cannot do without is lost.
    #[error(transparent)]
    Stalled(#[from] Stall),
}

impl From<Misuse> for Halt {
    fn from(misuse: Misuse) -> Self {
        Self::Fault(misuse.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dispute_names_both_and_blames_neither() {
        let [a, b] = ["bank", "shop"].map(|name| name.parse().unwrap());
        let fault = Fault::Dispute { a, b, code: "share-digest" };
        assert_eq!(fault.culprit(), None);
        let text = fault.to_string();
        assert!(text.starts_with("bank and shop contradict each other (share-digest)"), "{text}");
    }
}
