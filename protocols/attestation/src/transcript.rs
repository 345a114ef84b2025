//! The running digest of everything that goes over a link in one direction.
//!
//! Both ends compute it; what one side sent is what the other received, or the two results will show it.

use sha2::{Digest, Sha256};

use crate::entry::TranscriptDigest;
use crate::hash::Hash;

/// One direction of one link, from the job's first message to its last.
#[derive(Clone, Debug)]
pub struct Transcript {
    hash: Sha256,
    bytes: u64,
}

impl Transcript {
    /// A link on which nothing has gone yet.
    #[must_use]
    pub fn new() -> Self {
        Self { hash: Sha256::new_with_prefix(b"tacitly-transcript-1\n"), bytes: 0 }
    }

    /// Takes up the next message, as it is on the wire.
    pub fn absorb(&mut self, message: &[u8]) {
        self.hash.update((message.len() as u64).to_be_bytes());
        self.hash.update(message);
        self.bytes += message.len() as u64;
    }

    /// The digest of all messages so far, with their lengths.
    #[must_use]
    pub fn digest(&self) -> TranscriptDigest {
        TranscriptDigest(Hash(self.hash.clone().finalize().into()))
    }

    /// How many bytes the messages had together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Default for Transcript {
    fn default() -> Self {
        Self::new()
    }
}
