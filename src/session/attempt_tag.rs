//! One session of a protocol, carried by several sessions of the links.

use tacitly_core::{Checkpoint, Fault, Frame, Halt, Party, PartyId, Progress, SessionTag, Stall};

/// A party whose frames go over the links under another tag than its protocol gives them.
///
/// To a protocol a job is one session: its secrets and its checkpoint are bound to one tag, so that a job that is
/// resumed sends the same bytes again. To the links every attempt is a session of its own, so that nothing of an earlier
/// one can be taken for part of it. This party stands between the two.
pub struct AttemptTag<P> {
    party: P,
    inside: SessionTag,
    outside: SessionTag,
}

impl<P: Party> AttemptTag<P> {
    /// The party whose protocol knows the session as `inside`, for links that know it as `outside`.
    #[must_use]
    pub fn new(party: P, inside: SessionTag, outside: SessionTag) -> Self {
        Self { party, inside, outside }
    }

    /// The tags change places, so a frame that names the protocol's own tag outside is as foreign as any other.
    fn swap(&self, frame: Frame) -> Frame {
        let session = match frame.session {
            tag if tag == self.inside => self.outside,
            tag if tag == self.outside => self.inside,
            other => other,
        };
        Frame { session, ..frame }
    }
}

impl<P: Party> Party for AttemptTag<P> {
    type Output = P::Output;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        let frame = self.party.poll_send(to)?;
        Some(self.swap(frame))
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        let frame = self.swap(frame);
        self.party.receive(from, frame)
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        self.party.lost(who)
    }

    fn waits_for(&self, who: PartyId) -> bool {
        self.party.waits_for(who)
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.party.poll_checkpoint()
    }

    fn stored(&mut self) {
        self.party.stored();
    }

    fn poll_halt(&mut self) -> Option<Halt> {
        self.party.poll_halt()
    }

    fn progress(&self) -> Progress {
        self.party.progress()
    }

    fn output(&mut self) -> Option<P::Output> {
        self.party.output()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    /// Sends what it has received.
    struct Mirror(Vec<Frame>);

    impl Party for Mirror {
        type Output = ();

        fn poll_send(&mut self, _: PartyId) -> Option<Frame> {
            self.0.pop()
        }

        fn receive(&mut self, _: PartyId, frame: Frame) -> Result<(), Fault> {
            self.0.push(frame);
            Ok(())
        }

        fn lost(&mut self, _: PartyId) -> Result<(), Stall> {
            Ok(())
        }

        fn progress(&self) -> Progress {
            Progress { stage: "mirroring", done: 0, total: 0 }
        }

        fn output(&mut self) -> Option<()> {
            None
        }
    }

    #[test]
    fn only_frames_of_this_attempt_reach_the_protocol_as_its_own() {
        let [inside, outside, earlier] = [1, 2, 3].map(|byte| SessionTag([byte; 16]));
        let peer: PartyId = "shop".parse().unwrap();
        let frame = |session| Frame { session, sequence: 0, body: Bytes::from_static(b"body") };
        for (sent, seen) in [(outside, inside), (inside, outside), (earlier, earlier)] {
            let mut party = AttemptTag::new(Mirror(Vec::new()), inside, outside);
            party.receive(peer, frame(sent)).unwrap();
            assert_eq!(party.party.0, [frame(seen)]);
            assert_eq!(party.poll_send(peer), Some(frame(sent)));
        }
    }
}
