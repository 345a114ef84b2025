//! Proofs of logging that verify offline: C2SP tlog-proof files.

use std::fmt;

use crate::checkpoint::{MalformedCheckpoint, SignedCheckpoint};
use crate::encoding::{base64, from_base64, from_decimal};
use crate::hash::Hash;
use crate::tree::{HashSource, ProofFault, ProveError, prove_inclusion, verify_inclusion};

/// The first line of every proof.
const SCHEMA: &str = "c2sp.org/tlog-proof@v1";

/// That an entry stands at an index of a log whose tree the log signed and witnesses cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogProof {
    /// Opaque bytes that the proof carries and that nothing authenticates.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry.
    pub index: u64,
    /// The hashes from the leaf's sibling up to the root's child.
    pub path: Vec<Hash>,
    /// The tree, signed.
    pub checkpoint: SignedCheckpoint,
}

/// The bytes are not a proof of logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedProof {
    /// Longer than any proof.
    #[error("a proof of {0} bytes, at most {max} are read", max = LogProof::MAX_BYTES)]
    TooLong(usize),
    /// Not UTF-8, or another first line.
    #[error("a proof is text and begins with \"{SCHEMA}\"")]
    Schema,
    /// The extra bytes are not base64.
    #[error("the extra line is not base64")]
    Extra,
    /// No index, or not a whole number.
    #[error("the index line is missing, or not a whole number without leading zeros")]
    Index,
    /// A line of the path is not the base64 of 32 bytes, or there are more than 63.
    #[error("line {0} of the path is not the base64 of 32 bytes, or a path line too many")]
    Path(usize),
    /// No blank line before the checkpoint.
    #[error("there is no blank line before the checkpoint")]
    NoCheckpoint,
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] MalformedCheckpoint),
}

impl LogProof {
    /// The longest proof that is read, in bytes.
    pub const MAX_BYTES: usize = 128 << 10;

    /// The longest path: no tree is higher.
    pub const MAX_PATH: usize = 63;

    /// Proves that the entry at `index` belongs to the tree of `checkpoint`, whose hashes `source` hands out.
    ///
    /// # Errors
    /// [`ProveError`] if the index lies outside the tree, or what the source refuses.
    pub fn prove<S: HashSource + ?Sized>(
        source: &mut S,
        index: u64,
        checkpoint: SignedCheckpoint,
    ) -> Result<Self, ProveError<S::Error>> {
        let path = prove_inclusion(source, index, checkpoint.checkpoint().size)?;
        Ok(Self { extra: None, index, path, checkpoint })
    }

    /// Reads a proof, usually a stranger's. What is read writes back as the same bytes.
    ///
    /// # Errors
    /// [`MalformedProof`]. Nothing is verified.
    pub fn parse(bytes: &[u8]) -> Result<Self, MalformedProof> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(MalformedProof::TooLong(bytes.len()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MalformedProof::Schema)?;
        let rest = text.strip_prefix(SCHEMA).and_then(|rest| rest.strip_prefix('\n')).ok_or(MalformedProof::Schema)?;
        let (head, checkpoint) = rest.split_once("\n\n").ok_or(MalformedProof::NoCheckpoint)?;
        let mut lines = head.split('\n').peekable();
        let extra = match lines.next_if(|line| line.starts_with("extra ")) {
            Some(line) => Some(from_base64(&line["extra ".len()..]).ok_or(MalformedProof::Extra)?),
            None => None,
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(from_decimal);
        let index = index.ok_or(MalformedProof::Index)?;
        let mut path = Vec::new();
        for line in lines {
            let hash = Hash::from_base64(line).filter(|_| path.len() < Self::MAX_PATH);
            path.push(hash.ok_or(MalformedProof::Path(path.len() + 1))?);
        }
        Ok(Self { extra, index, path, checkpoint: SignedCheckpoint::parse(checkpoint.as_bytes())? })
    }

    /// Writes it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_string().into_bytes()
    }

    /// Checks that the leaf stands at the index of the checkpoint's tree. Whether the checkpoint counts is for a
    /// [policy](crate::policy::Policy::judge) to say.
    ///
    /// # Errors
    /// A [`ProofFault`] if it does not, or if nothing shows it.
    pub fn verify(&self, leaf: &Hash) -> Result<(), ProofFault> {
        let tree = self.checkpoint.checkpoint();
        verify_inclusion(leaf, self.index, tree.size, &self.path, &tree.root)
    }
}

impl fmt::Display for LogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{SCHEMA}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        self.path.iter().try_for_each(|hash| writeln!(f, "{hash}"))?;
        write!(f, "\n{}", self.checkpoint)
    }
}
