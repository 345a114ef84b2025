//! Why a proof does not hold.

/// A proof that does not hold.
///
/// It says what was missed, never the bytes: a caller who wants to keep them as evidence has them already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFault {
    /// The index or the smaller size does not lie in the tree.
    #[error("the place lies outside the tree")]
    OutsideTree,
    /// More or fewer hashes than a tree of that shape needs.
    #[error("the proof has the wrong number of hashes")]
    WrongLength,
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    WrongRoot,
}
