//! What the two parties say to each other, once bytes have become values.

use std::fmt;

use bytes::Bytes;

/// Bytes of one encoded point.
pub const POINT_BYTES: usize = 32;

/// Consecutive entries of one party's list, each item masked once. Every entry is a number below 2^255 - 19.
#[derive(Clone, PartialEq, Eq)]
pub struct BlindedPoints(pub(crate) Bytes);

impl BlindedPoints {
    /// The encoded points.
    #[must_use]
    pub fn as_points(&self) -> &[[u8; POINT_BYTES]] {
        self.0.as_chunks().0
    }
}

impl fmt::Debug for BlindedPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BlindedPoints({})", self.as_points().len())
    }
}

/// Consecutive tags of a list that was masked twice, of the length that the terms fix.
#[derive(Clone, PartialEq, Eq)]
pub struct Tags {
    pub(crate) bytes: Bytes,
    pub(crate) tag_bytes: usize,
}

impl Tags {
    /// The tags in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.tag_bytes)
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tags({})", self.iter().len())
    }
}

/// The digest of one whole list of points or tags, bound to the session and its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListDigest(pub [u8; 32]);

/// How many rows a party has aligned, and the digest of their common order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderDigest {
    /// Rows in the common order.
    pub count: u64,
    /// The digest of their tags in that order, bound to the session.
    pub digest: [u8; 32],
}
