//! The two directions of one session with one peer: numbered frames, acknowledgements, and a bound on what is under
//! way. Nothing here knows a clock, a task or a connection.

use std::collections::VecDeque;

use tacitly_core::{Frame, code};

use crate::transport::envelope::Window;

/// The code of a peer that sends more than the window allows.
pub const BEYOND_WINDOW: &str = "frame-window";
/// The code of a peer that acknowledges what was not sent.
pub const FALSE_ACKNOWLEDGEMENT: &str = "acknowledgement";

/// Frames that our protocol has sent, kept until the peer's has consumed them.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Frames not yet acknowledged, the oldest first.
    kept: VecDeque<Frame>,
    /// Bytes of their bodies.
    kept_bytes: usize,
    /// The sequence number of the oldest one.
    acknowledged: u64,
    /// How many of them have gone out on this connection, and their bytes.
    gone: usize,
    gone_bytes: usize,
    /// The peer will consume no more: its part is complete.
    waived: bool,
}

impl Outgoing {
    /// Whether our protocol may send one more.
    pub(super) fn has_room(&self, ours: Window) -> bool {
        self.waived || ours.has_room(self.kept.len(), self.kept_bytes)
    }

    /// The sequence number that the next frame must have.
    pub(super) fn next_sequence(&self) -> u64 {
        self.acknowledged + self.kept.len() as u64
    }

    pub(super) fn push(&mut self, frame: Frame) {
        if self.waived {
            self.acknowledged += 1;
        } else {
            self.kept_bytes += frame.body.len();
            self.kept.push_back(frame);
        }
    }

    /// The next frame for the connection, if the peer has room for it.
    pub(super) fn next(&mut self, theirs: Window) -> Option<Frame> {
        let frame = self.kept.get(self.gone)?;
        if !theirs.has_room(self.gone, self.gone_bytes) {
            return None;
        }
        self.gone += 1;
        self.gone_bytes += frame.body.len();
        Some(frame.clone())
    }

    /// A new connection: everything not acknowledged goes out again.
    pub(super) fn rewind(&mut self) {
        self.gone = 0;
        self.gone_bytes = 0;
    }

    /// The peer's protocol has consumed the first `consumed` frames of the session.
    pub(super) fn acknowledge(&mut self, consumed: u64) -> Result<(), &'static str> {
        // What is not under way on this connection may still have been, and been consumed, on the one before.
        if consumed > self.next_sequence() {
            return Err(FALSE_ACKNOWLEDGEMENT);
        }
        while self.acknowledged < consumed {
            let Some(frame) = self.kept.pop_front() else { break };
            self.acknowledged += 1;
            self.kept_bytes -= frame.body.len();
            if self.gone > 0 {
                self.gone -= 1;
                self.gone_bytes -= frame.body.len();
            }
        }
        Ok(())
    }

    /// The peer's part is complete: whatever it has not consumed, it does not need.
    pub(super) fn waive(&mut self) {
        self.acknowledged = self.next_sequence();
        self.kept.clear();
        self.kept_bytes = 0;
        self.rewind();
        self.waived = true;
    }

    pub(super) fn is_settled(&self) -> bool {
        self.kept.is_empty()
    }
}

/// Frames that the peer has sent, kept until our protocol has consumed them.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    waiting: VecDeque<Frame>,
    /// Sizes of frames that were handed out and not yet reported consumed.
    taken: VecDeque<usize>,
    /// Bytes of `waiting` and `taken`.
    held_bytes: usize,
    /// The sequence number of the next new frame.
    next: u64,
    /// The least sequence number that may come next on this connection, once one has come.
    next_here: Option<u64>,
    /// An acknowledgement should go out.
    due: bool,
}

impl Incoming {
    /// Takes a frame in, or says which rule it breaks.
    pub(super) fn accept(&mut self, frame: Frame, ours: Window) -> Result<(), &'static str> {
        // On a new connection the peer starts anywhere in the past, and leaves out what it learns that we have. But
        // nothing comes twice on one connection, and nothing new is left out.
        if frame.sequence > self.next || self.next_here.is_some_and(|next| frame.sequence < next) {
            return Err(code::FRAME_ORDER);
        }
        self.next_here = Some(frame.sequence + 1);
        if frame.sequence < self.next {
            self.due = true;
            return Ok(());
        }
        if !ours.has_room(self.waiting.len() + self.taken.len(), self.held_bytes) {
            return Err(BEYOND_WINDOW);
        }
        self.next += 1;
        self.held_bytes += frame.body.len();
        self.waiting.push_back(frame);
        Ok(())
    }

    /// The next frame for our protocol.
    pub(super) fn take(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop_front()?;
        self.taken.push_back(frame.body.len());
        Some(frame)
    }

    /// Our protocol has consumed the oldest frame that it took.
    pub(super) fn consume(&mut self) {
        if let Some(size) = self.taken.pop_front() {
            self.held_bytes -= size;
            self.due = true;
        }
    }

    /// How many frames our protocol has consumed, if the peer should be told.
    pub(super) fn acknowledgement(&mut self) -> Option<u64> {
        std::mem::take(&mut self.due).then(|| self.next - (self.waiting.len() + self.taken.len()) as u64)
    }

    /// A new connection: the peer may repeat itself, and should be told where we are.
    pub(super) fn rewind(&mut self) {
        self.next_here = None;
        self.due = self.next > 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tacitly_core::SessionTag;

    const SMALL: Window = Window { frames: 4, bytes: 100 };

    fn frame(sequence: u64, bytes: usize) -> Frame {
        Frame { session: SessionTag([1; 16]), sequence, body: vec![0; bytes].into() }
    }

    #[test]
    fn a_sender_stops_at_the_window_and_goes_on_when_frames_are_acknowledged() {
        let mut outgoing = Outgoing::default();
        while outgoing.has_room(SMALL) {
            outgoing.push(frame(outgoing.next_sequence(), 10));
        }
        assert_eq!(outgoing.next_sequence(), 4);
        outgoing.acknowledge(1).unwrap();
        assert!(outgoing.has_room(SMALL));
        assert_eq!(outgoing.acknowledge(5), Err(FALSE_ACKNOWLEDGEMENT));
        assert_eq!(outgoing.acknowledge(0), Ok(()), "an old acknowledgement says nothing new");
    }

    #[test]
    fn a_peer_with_a_smaller_window_gets_no_more_than_it_holds() {
        let mut outgoing = Outgoing::default();
        (0..4).for_each(|sequence| outgoing.push(frame(sequence, 10)));
        let theirs = Window { frames: 2, bytes: 100 };
        assert_eq!(std::iter::from_fn(|| outgoing.next(theirs)).count(), 2);
        outgoing.acknowledge(1).unwrap();
        assert_eq!(outgoing.next(theirs).unwrap().sequence, 2);
    }

    #[test]
    fn a_flood_beyond_the_window_is_refused_in_frames_and_in_bytes() {
        let mut incoming = Incoming::default();
        (0..4).for_each(|sequence| incoming.accept(frame(sequence, 1), SMALL).unwrap());
        assert_eq!(incoming.accept(frame(4, 1), SMALL), Err(BEYOND_WINDOW));
        let mut incoming = Incoming::default();
        incoming.accept(frame(0, 100), SMALL).unwrap();
        assert_eq!(incoming.accept(frame(1, 1), SMALL), Err(BEYOND_WINDOW));
    }

    #[test]
    fn taking_a_frame_makes_no_room_until_it_is_consumed() {
        let mut incoming = Incoming::default();
        (0..4).for_each(|sequence| incoming.accept(frame(sequence, 1), SMALL).unwrap());
        incoming.take().unwrap();
        assert_eq!(incoming.acknowledgement(), None);
        incoming.consume();
        assert_eq!(incoming.acknowledgement(), Some(1));
        incoming.accept(frame(4, 1), SMALL).unwrap();
    }

    #[test]
    fn on_one_connection_a_repeated_or_skipped_frame_is_refused() {
        for second in [0, 2] {
            let mut incoming = Incoming::default();
            incoming.accept(frame(0, 1), SMALL).unwrap();
            assert_eq!(incoming.accept(frame(second, 1), SMALL), Err(code::FRAME_ORDER));
        }
        assert_eq!(Incoming::default().accept(frame(1, 1), SMALL), Err(code::FRAME_ORDER));
        assert_eq!(Incoming::default().accept(frame(u64::MAX, 1), SMALL), Err(code::FRAME_ORDER));
    }

    #[test]
    fn a_replay_leaves_out_what_is_acknowledged_in_the_middle_of_it() {
        let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::default());
        (0..4).for_each(|sequence| outgoing.push(frame(sequence, 1)));
        (0..3).for_each(|_| incoming.accept(outgoing.next(SMALL).unwrap(), SMALL).unwrap());
        (0..3).for_each(|_| incoming.take().map(|_| incoming.consume()).unwrap());
        outgoing.rewind();
        incoming.rewind();
        incoming.accept(outgoing.next(SMALL).unwrap(), SMALL).unwrap();
        outgoing.acknowledge(incoming.acknowledgement().unwrap()).unwrap();
        let after = outgoing.next(SMALL).unwrap();
        assert_eq!(after.sequence, 3);
        incoming.accept(after, SMALL).unwrap();
    }

    proptest! {
        #[test]
        fn whatever_breaks_in_between_every_frame_is_consumed_exactly_once_in_order(
            steps in proptest::collection::vec((0u8..12, 0usize..40), 1..400),
        ) {
            let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::default());
            let (mut data, mut acknowledgements) = (VecDeque::new(), VecDeque::new());
            let mut consumed = 0;
            for (step, size) in steps {
                match step {
                    0 | 1 if outgoing.has_room(SMALL) => outgoing.push(frame(outgoing.next_sequence(), size)),
                    2 | 3 => data.extend(outgoing.next(SMALL)),
                    4 | 5 => {
                        if let Some(frame) = data.pop_front() {
                            prop_assert_eq!(incoming.accept(frame, SMALL), Ok(()));
                        }
                    }
                    6 | 7 => {
                        if let Some(frame) = incoming.take() {
                            prop_assert_eq!(frame.sequence, consumed);
                            consumed += 1;
                            incoming.consume();
                        }
                    }
                    8 => acknowledgements.extend(incoming.acknowledgement()),
                    9 | 10 => {
                        if let Some(count) = acknowledgements.pop_front() {
                            prop_assert_eq!(outgoing.acknowledge(count), Ok(()));
                        }
                    }
                    _ => {
                        data.clear();
                        acknowledgements.clear();
                        outgoing.rewind();
                        incoming.rewind();
                    }
                }
                prop_assert!(outgoing.kept_bytes < 140 && incoming.held_bytes < 140);
            }
        }
    }
}
