//! What went over a session, in one digest per peer and direction.

use sha2::{Digest, Sha256};
use tacitly_core::{Frame, SessionTag};

/// What went to or came from one peer: equal at both ends of a session that both completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transcript {
    /// SHA-256 of `tacitly-transcript-1`, a line feed, the session tag, and per frame its sequence number and length
    /// (8 bytes each, most significant first) and its body.
    pub digest: [u8; 32],
    /// Frames.
    pub frames: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// Both directions between us and one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerTranscripts {
    /// What we sent.
    pub sent: Transcript,
    /// What we received.
    pub received: Transcript,
}

/// A transcript in the making.
pub(super) struct Running {
    digest: Sha256,
    pub(super) frames: u64,
    pub(super) bytes: u64,
}

impl Running {
    pub(super) fn new(session: SessionTag) -> Self {
        let digest = Sha256::new().chain_update(b"tacitly-transcript-1\n").chain_update(session.0);
        Self { digest, frames: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, frame: &Frame) {
        let length = frame.body.len() as u64;
        self.digest.update(frame.sequence.to_be_bytes());
        self.digest.update(length.to_be_bytes());
        self.digest.update(&frame.body);
        self.frames += 1;
        self.bytes += length;
    }

    pub(super) fn so_far(&self) -> Transcript {
        Transcript { digest: self.digest.clone().finalize().into(), frames: self.frames, bytes: self.bytes }
    }
}
