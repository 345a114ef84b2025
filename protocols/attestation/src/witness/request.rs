//! The request to cosign a checkpoint, as it goes over the wire.

use std::fmt;

use crate::checkpoint::{MalformedCheckpoint, SignedCheckpoint};
use crate::encoding::from_decimal;
use crate::hash::Hash;

/// `add-checkpoint`: a log asks its witness to go on from the size it saw last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the witness cosigned last, as far as the log knows; 0 if none.
    pub old: u64,
    /// The proof that the new tree extends the old one.
    pub proof: Vec<Hash>,
    /// The new tree, signed by the log.
    pub checkpoint: SignedCheckpoint,
}

/// The bytes are not such a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedRequest {
    /// Longer than any request.
    #[error("a request of {0} bytes, at most {max} are read", max = AddCheckpoint::MAX_BYTES)]
    TooLong(usize),
    /// Not UTF-8, or without a line `old N`.
    #[error("the first line is \"old\" and a size without leading zeros")]
    Old,
    /// A proof line is not the base64 of 32 bytes, or there are more than 63.
    #[error("line {0} of the proof is not the base64 of 32 bytes, or a proof line too many")]
    Proof(usize),
    /// No blank line before the checkpoint.
    #[error("there is no blank line before the checkpoint")]
    NoCheckpoint,
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] MalformedCheckpoint),
}

impl AddCheckpoint {
    /// The longest request that is read, in bytes.
    pub const MAX_BYTES: usize = 128 << 10;

    /// The most hashes in a consistency proof.
    pub const MAX_PROOF: usize = 63;

    /// Reads a request, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedRequest`]: answer 400.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedRequest> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MalformedRequest::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MalformedRequest::Old)?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(MalformedRequest::NoCheckpoint)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(from_decimal);
        let old = old.ok_or(MalformedRequest::Old)?;
        let mut proof = Vec::new();
        for line in lines {
            let hash = Hash::from_base64(line).filter(|_| proof.len() < Self::MAX_PROOF);
            proof.push(hash.ok_or(MalformedRequest::Proof(proof.len() + 1))?);
        }
        Ok(Self { old, proof, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
