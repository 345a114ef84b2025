//! A party whose answer is made into something else.

use crate::{Checkpoint, Fault, Frame, Halt, Party, PartyId, Progress, Stall};

/// A party that says and hears what another one does, and whose answer is made of that one's.
pub struct Mapped<P, F> {
    party: P,
    make: F,
}

impl<P: Party, F> Mapped<P, F> {
    /// The same party; `make` is given its answer, once.
    #[must_use]
    pub fn new<T>(party: P, make: F) -> Self
    where
        F: FnMut(P::Output) -> T,
    {
        Self { party, make }
    }
}

impl<P: Party, T: Send, F: FnMut(P::Output) -> T + Send> Party for Mapped<P, F> {
    type Output = T;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        self.party.poll_send(to)
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
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

    fn output(&mut self) -> Option<T> {
        self.party.output().map(&mut self.make)
    }
}
