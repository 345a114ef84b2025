//! The proof that a log told two stories.

use std::fmt;

use super::AddCheckpoint;
use crate::checkpoint::SignedCheckpoint;
use crate::hash::Hash;
use crate::note::KeyRing;
use crate::sections::{self, Sections};
use crate::tree::roots_from_consistency;

/// The first line of every fork evidence.
const SCHEMA: &str = "tacitly-fork@v1";

/// Two checkpoints of one log that no single history has, both signed by it. Whoever has the log's key can verify it;
/// nobody without that key can make it.
///
/// They have one size and different roots. Or the second is of a larger tree, and comes with the log's own consistency
/// proof: from it follows the root that this tree had at the first one's size, and that is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkEvidence {
    /// The one that was cosigned.
    pub known: SignedCheckpoint,
    /// The one that was offered afterwards.
    pub offered: SignedCheckpoint,
    /// From the known size to the one offered, in the tree offered; empty if the sizes are equal.
    pub proof: Vec<Hash>,
}

/// The bytes are not fork evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not fork evidence: \"{SCHEMA}\" on a line, then checkpoints in sections named known and offered, perhaps a proof"
)]
pub struct MalformedEvidence;

/// The two checkpoints convict nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForkFault {
    /// Different logs, the same root, or different sizes and no proof that leads to another root.
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
        if known.origin != offered.origin || !self.contradicts() {
            return Err(ForkFault::NoContradiction);
        }
        let signed = |checkpoint: &SignedCheckpoint| checkpoint.verify(keys).is_ok_and(|signed| !signed.is_empty());
        if signed(&self.known) && signed(&self.offered) { Ok(()) } else { Err(ForkFault::NotSigned) }
    }

    fn contradicts(&self) -> bool {
        let (known, offered) = (self.known.checkpoint(), self.offered.checkpoint());
        if self.proof.is_empty() {
            return known.size == offered.size && known.root != offered.root;
        }
        let roots = roots_from_consistency(known.size, offered.size, &self.proof);
        roots.is_ok_and(|(then, now)| now == offered.root && then != known.root)
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
        let (known, offered) = (checkpoint("known")?, checkpoint("offered")?);
        let proof = if sections.is_empty() { Vec::new() } else { read_proof(&mut sections)? };
        if sections.is_empty() { Ok(Self { known, offered, proof }) } else { Err(MalformedEvidence) }
    }
}

/// One hash on each line, at least one.
fn read_proof(sections: &mut Sections<'_>) -> Result<Vec<Hash>, MalformedEvidence> {
    let lines = sections.take("proof").and_then(|lines| lines.strip_suffix('\n')).ok_or(MalformedEvidence)?;
    let mut proof = Vec::new();
    for line in lines.split('\n') {
        let hash = Hash::from_base64(line).filter(|_| proof.len() < AddCheckpoint::MAX_PROOF);
        proof.push(hash.ok_or(MalformedEvidence)?);
    }
    Ok(proof)
}

impl fmt::Display for ForkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{SCHEMA}\n");
        sections::write(&mut text, "known", &self.known.to_string());
        sections::write(&mut text, "offered", &self.offered.to_string());
        if !self.proof.is_empty() {
            let lines: String = self.proof.iter().map(|hash| format!("{hash}\n")).collect();
            sections::write(&mut text, "proof", &lines);
        }
        f.write_str(&text)
    }
}
