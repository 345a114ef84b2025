//! The one shape of every protocol.

use std::fmt;

use crate::{Fault, Frame, Halt, PartyId, Stall};

/// A protocol role as a deterministic state machine, polled by a driver.
///
/// Its input, terms and [`Seed`](crate::Seed) are given at birth. It never blocks, logs, reads a clock or allocates
/// by a number that a peer chose. `poll_send` and `receive` may compute for long: drivers call them on a compute pool.
///
/// It serves bulk streams between two parties, many parties around a coordinator, hundreds of small rounds and
/// single request/answer pairs alike; the driver needs to know none of this.
///
/// After a fault the machine is over: it sends nothing and every `receive` fails.
pub trait Party: Send {
    /// What this role learns.
    type Output: Send;

    /// The next frame for `to`, or `None` while there is nothing to send.
    ///
    /// Called only while the link to `to` has credit, so a slow peer slows this party down and fills no memory.
    /// Whoever drives asks again after every `receive`, `stored` and `lost`.
    fn poll_send(&mut self, to: PartyId) -> Option<Frame>;

    /// Takes a frame that the link attributes to `from`.
    ///
    /// # Errors
    /// A [`Fault`] that ends the session.
    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault>;

    /// The driver gave the link to `who` up. Returns if the session goes on without it.
    ///
    /// # Errors
    /// The [`Stall`] that ends the session.
    fn lost(&mut self, who: PartyId) -> Result<(), Stall>;

    /// Whether this party waits for a message of `who`. A driver that has waited for `who` long enough calls
    /// [`Party::lost`], so a party that waits for one of several peers says for which.
    fn waits_for(&self, who: PartyId) -> bool {
        let _ = who;
        true
    }

    /// Something that must be durable before this party sends more. The driver stores it, then calls
    /// [`Party::stored`]. Protocols that release nothing twice-sensitive need none.
    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        None
    }

    /// The last checkpoint is durable.
    fn stored(&mut self) {}

    /// An ending without an answer that came up elsewhere than in [`Party::receive`] and [`Party::lost`], once: after a
    /// checkpoint, while making a frame, or because a party lost long ago is needed now. Whoever drives asks whenever it
    /// asks for the answer.
    fn poll_halt(&mut self) -> Option<Halt> {
        None
    }

    /// Where the session stands.
    fn progress(&self) -> Progress;

    /// The answer, once, when it is there. A party may have frames left to send after its answer is out: the session
    /// is over for it when it has given its output and `poll_send` returns `None` for every peer.
    fn output(&mut self) -> Option<Self::Output>;
}

/// A party whose role is chosen at run time.
impl<P: Party + ?Sized> Party for Box<P> {
    type Output = P::Output;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        (**self).poll_send(to)
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        (**self).receive(from, frame)
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        (**self).lost(who)
    }

    fn waits_for(&self, who: PartyId) -> bool {
        (**self).waits_for(who)
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        (**self).poll_checkpoint()
    }

    fn stored(&mut self) {
        (**self).stored();
    }

    fn poll_halt(&mut self) -> Option<Halt> {
        (**self).poll_halt()
    }

    fn progress(&self) -> Progress {
        (**self).progress()
    }

    fn output(&mut self) -> Option<Self::Output> {
        (**self).output()
    }
}

/// What a party asks its driver to make durable: opaque bytes in a slot, for the party that resumes after a crash.
///
/// A later checkpoint takes the place of an earlier one in the same slot and touches no other: a coordinator has a slot
/// for every party it talks to, a protocol that keeps one thing has one slot. A party that resumes gets the last of
/// every slot.
#[derive(Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which of the party's checkpoints this is; a name that the protocol chose.
    pub slot: String,
    /// What to keep.
    pub bytes: Vec<u8>,
}

impl Checkpoint {
    /// The bytes to keep in a slot.
    pub fn new(slot: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { slot: slot.into(), bytes: bytes.into() }
    }
}

/// The slot and the length, for the bytes may be secret.
impl fmt::Debug for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Checkpoint({:?}, {} bytes)", self.slot, self.bytes.len())
    }
}

/// How far a session is, in units that a person can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done, in a few words.
    pub stage: &'static str,
    /// Units done.
    pub done: u64,
    /// Units in all, 0 if unknown.
    pub total: u64,
}
