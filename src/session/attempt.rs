//! A session that is run again: the same frames under another tag.

use tacitly_core::{Checkpoint, Fault, Frame, Party, PartyId, Progress, SessionTag, Stall};

/// A party in one attempt at its session.
///
/// Everything secret of a party is bound to its own session, so that another attempt sends the same bytes again or
/// nothing. What goes over the link is bound to the attempt as well, so that no frame of an earlier attempt is taken for
/// one of this.
pub struct Attempt<P> {
    party: P,
    own: SessionTag,
    shown: SessionTag,
}

impl<P> Attempt<P> {
    /// `party`, whose frames carry the tag `own`, in the attempt whose frames carry the tag `shown`.
    #[must_use]
    pub fn new(party: P, own: SessionTag, shown: SessionTag) -> Self {
        Self { party, own, shown }
    }
}

impl<P: Party> Party for Attempt<P> {
    type Output = P::Output;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        self.party.poll_send(to).map(|frame| Frame { session: self.shown, ..frame })
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        // A frame of any other session goes on under its own tag, and is refused for it.
        let session = if frame.session == self.shown { self.own } else { self.shown };
        self.party.receive(from, Frame { session, ..frame })
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        self.party.lost(who)
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.party.poll_checkpoint()
    }

    fn stored(&mut self) {
        self.party.stored();
    }

    fn progress(&self) -> Progress {
        self.party.progress()
    }

    fn output(&mut self) -> Option<Self::Output> {
        self.party.output()
    }
}
