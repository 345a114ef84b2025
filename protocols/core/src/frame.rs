//! Numbered messages bound to one session.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{TermsHash, Violation, code};

/// Names the session a frame belongs to: 16 bytes derived from the agreed terms and a label.
///
/// Two sessions never share a tag, so a frame recorded in one is refused in every other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionTag(pub [u8; 16]);

impl SessionTag {
    /// The tag of the session that runs `label` (a protocol's phase or bucket) under the agreed terms.
    #[must_use]
    pub fn of(terms: &TermsHash, label: &str) -> Self {
        let digest = Sha256::new().chain_update(b"tacitly-session-1\n").chain_update(terms.0).chain_update(label);
        let mut tag = [0; 16];
        tag.copy_from_slice(&digest.finalize()[..16]);
        Self(tag)
    }
}

/// One message of a protocol session on its way to one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The session it belongs to.
    pub session: SessionTag,
    /// Its place among the frames of this session in this direction, from 0 without gaps.
    pub sequence: u64,
    /// The protocol's own encoding.
    pub body: Bytes,
}

impl Frame {
    /// The largest body that any protocol sends, so that every transport can hold its frames below 1 MiB.
    pub const MAX_BODY: usize = 1_000_000;
}

/// Both directions of one session with one peer: numbers what leaves and checks what arrives.
///
/// Links deliver in order and at most once, so a repeated, skipped, swapped or foreign frame is the peer's doing.
#[derive(Debug)]
pub struct Channel {
    session: SessionTag,
    next_out: u64,
    next_in: u64,
}

impl Channel {
    /// A channel on which nothing has been sent.
    #[must_use]
    pub fn new(session: SessionTag) -> Self {
        Self { session, next_out: 0, next_in: 0 }
    }

    /// The next outgoing frame.
    pub fn pack(&mut self, body: impl Into<Bytes>) -> Frame {
        let sequence = self.next_out;
        self.next_out += 1;
        Frame { session: self.session, sequence, body: body.into() }
    }

    /// Checks an incoming frame's session, place and size and hands out its body.
    ///
    /// # Errors
    /// A [`Violation`] with [`code::FRAME_SESSION`], [`code::FRAME_ORDER`] or [`code::FRAME_SIZE`], `round` as
    /// given and the frame's sequence number as index.
    pub fn unpack(&mut self, frame: Frame, round: u32) -> Result<Bytes, Violation> {
        let refuse = |code| Err(Violation { code, round, index: Some(frame.sequence) });
        if frame.session != self.session {
            return refuse(code::FRAME_SESSION);
        }
        if frame.sequence != self.next_in {
            return refuse(code::FRAME_ORDER);
        }
        if frame.body.len() > Frame::MAX_BODY {
            return refuse(code::FRAME_SIZE);
        }
        self.next_in += 1;
        Ok(frame.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Terms;

    fn pair(label: &str) -> (Channel, Channel) {
        let tag = SessionTag::of(&Terms::new().hash(), label);
        (Channel::new(tag), Channel::new(tag))
    }

    #[test]
    fn frames_in_order_come_out_as_they_went_in() {
        let (mut a, mut b) = pair("x");
        for body in ["one", "two", ""] {
            let frame = a.pack(body.as_bytes().to_vec());
            assert_eq!(b.unpack(frame, 1).unwrap(), body.as_bytes());
        }
    }

    #[test]
    fn a_repeated_skipped_foreign_or_huge_frame_is_refused_by_its_code() {
        let (mut a, mut b) = pair("x");
        let (mut stranger, _) = pair("y");
        let first = a.pack(vec![1]);
        let second = a.pack(vec![2]);
        assert_eq!(b.unpack(second, 1).unwrap_err().code, code::FRAME_ORDER);
        b.unpack(first.clone(), 1).unwrap();
        assert_eq!(b.unpack(first, 1).unwrap_err().code, code::FRAME_ORDER);
        assert_eq!(b.unpack(stranger.pack(vec![]), 1).unwrap_err().code, code::FRAME_SESSION);
        let mut huge = a.pack(vec![0; Frame::MAX_BODY + 1]);
        huge.sequence = 1;
        assert_eq!(b.unpack(huge, 1).unwrap_err().code, code::FRAME_SIZE);
    }
}
