//! How a sealing key is named where it must not be told.

use std::fmt;

/// The name of a sealing key: a digest of it that does not tell it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SealingKeyId(pub(super) [u8; SealingKeyId::BYTES]);

impl SealingKeyId {
    /// The length of a name.
    pub(super) const BYTES: usize = 8;
}

impl fmt::Display for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "xchacha20poly1305:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SealingKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
