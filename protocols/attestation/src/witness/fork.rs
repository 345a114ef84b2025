//! The proof that a log told two stories.

use std::fmt;

use crate::checkpoint::SignedCheckpoint;
use crate::note::KeyRing;
use crate::sections::{self, Sections};

/// The first line of every fork evidence.
const SCHEMA: &str = "tacitly-fork@v1";

/// Two checkpoints of one log with the same size and different roots, both signed by it. Whoever has the log's key can
/// verify it; nobody without that key can make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkEvidence {
    /// The one that was cosigned.
    pub known: SignedCheckpoint,
    /// The one that was offered afterwards.
    pub offered: SignedCheckpoint,
}

/// The bytes are not fork evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not fork evidence: \"{SCHEMA}\" on a line, then two checkpoints in sections named known and offered")]
pub struct MalformedEvidence;

/// The two checkpoints convict nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkFault {
    /// Different logs, different sizes or the same root.
    #[error("the checkpoints do not contradict each other")]
    NoContradiction,
    /// One of them is not signed by a trusted key of the log.
    #[error("not both checkpoints are signed by a trusted key of the log")]
    NotSigned,
}

impl ForkEvidence {
    /// The size at which the log forked.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.known.checkpoint().size
    }

    /// Checks that the two convict the log whose keys are given.
    ///
    /// # Errors
    /// [`ForkFault`].
    pub fn verify(&self, keys: &KeyRing) -> Result<(), ForkFault> {
        let (known, offered) = (self.known.checkpoint(), self.offered.checkpoint());
        if known.origin != offered.origin || known.size != offered.size || known.root == offered.root {
            return Err(ForkFault::NoContradiction);
        }
        let signed = |checkpoint: &SignedCheckpoint| checkpoint.verify(keys).is_ok_and(|signed| !signed.is_empty());
        if signed(&self.known) && signed(&self.offered) { Ok(()) } else { Err(ForkFault::NotSigned) }
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Reads evidence, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedEvidence`]. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedEvidence> {
        let text = std::str::from_utf8(bytes).map_err(|_| MalformedEvidence)?;
        let rest = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n')).ok_or(MalformedEvidence)?;
        let mut sections = Sections(rest);
        let mut checkpoint = |name| {
            let content = sections.take(name).ok_or(MalformedEvidence)?;
            SignedCheckpoint::parse(content.as_bytes()).map_err(|_| MalformedEvidence)
        };
        let evidence = Self { known: checkpoint("known")?, offered: checkpoint("offered")? };
        if sections.is_empty() { Ok(evidence) } else { Err(MalformedEvidence) }
    }
}

impl fmt::Display for ForkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{SCHEMA}\n");
        sections::write(&mut text, "known", &self.known.to_string());
        sections::write(&mut text, "offered", &self.offered.to_string());
        f.write_str(&text)
    }
}
