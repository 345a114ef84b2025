//! The two directions of one session with one peer: numbered frames, acknowledgements, and a bound on what is under
//! way. No task, no connection, and time is an argument.

use std::collections::VecDeque;
use std::time::Duration;

use tacitly_core::{Frame, code};
use tokio::time::Instant;

use crate::transport::envelope::Window;

/// The code of a peer that sends more than the window allows.
pub const BEYOND_WINDOW: &str = "frame-window";
/// The code of a peer that acknowledges what was not sent.
pub const FALSE_ACKNOWLEDGEMENT: &str = "acknowledgement";

/// How long an acknowledgement waits for a frame that takes it along.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_millis(5);

/// An acknowledgement of this part of a window goes out at once: the sender may be waiting for room.
const PART_OF_WINDOW: usize = 4;

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

    /// Whether a frame waits for the connection, and the peer has room for it.
    pub(super) fn has_next(&self, theirs: Window) -> bool {
        self.waits() && theirs.has_room(self.gone, self.gone_bytes)
    }

    /// The next frame for the connection, if the peer has room for it.
    pub(super) fn next(&mut self, theirs: Window) -> Option<Frame> {
        let frame = self.kept.get(self.gone).filter(|_| self.has_next(theirs))?;
        self.gone += 1;
        self.gone_bytes += frame.body.len();
        Some(frame.clone())
    }

    /// A new connection: everything not acknowledged goes out again.
    pub(super) fn rewind(&mut self) {
        self.gone = 0;
        self.gone_bytes = 0;
    }

    /// The peer's protocol has consumed the first `consumed` frames of the session. Returns whether that makes room
    /// where there was none, or settles everything.
    pub(super) fn acknowledge(&mut self, consumed: u64, ours: Window) -> Result<bool, &'static str> {
        // What is not under way on this connection may still have been, and been consumed, on the one before.
        if consumed > self.next_sequence() {
            return Err(FALSE_ACKNOWLEDGEMENT);
        }
        let (had_room, was_settled) = (self.has_room(ours), self.is_settled());
        while self.acknowledged < consumed {
            let Some(frame) = self.kept.pop_front() else { break };
            self.acknowledged += 1;
            self.kept_bytes -= frame.body.len();
            if self.gone > 0 {
                self.gone -= 1;
                self.gone_bytes -= frame.body.len();
            }
        }
        Ok(had_room != self.has_room(ours) || was_settled != self.is_settled())
    }

    /// How many frames the peer's protocol has consumed.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Whether frames wait for the connection, or for room at the peer.
    pub(super) fn waits(&self) -> bool {
        self.gone < self.kept.len()
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
    /// How many frames of the session the peer has been told that we consumed.
    told: u64,
    /// The first frame consumed since then, and the bytes of all of them.
    untold_since: Option<Instant>,
    untold_bytes: usize,
    /// The peer should be told again where we are.
    repeat: bool,
    /// Acknowledgements wait for nothing any more.
    at_once: bool,
}

impl Incoming {
    /// Takes a frame in, or says which rule it breaks. Returns whether it is a new one.
    pub(super) fn accept(&mut self, frame: Frame, ours: Window) -> Result<bool, &'static str> {
        // On a new connection the peer starts anywhere in the past, and leaves out what it learns that we have. But
        // nothing comes twice on one connection, and nothing new is left out.
        if frame.sequence > self.next || self.next_here.is_some_and(|next| frame.sequence < next) {
            return Err(code::FRAME_ORDER);
        }
        self.next_here = Some(frame.sequence + 1);
        if frame.sequence < self.next {
            self.repeat = true;
            return Ok(false);
        }
        if !ours.has_room(self.waiting.len() + self.taken.len(), self.held_bytes) {
            return Err(BEYOND_WINDOW);
        }
        self.next += 1;
        self.held_bytes += frame.body.len();
        self.waiting.push_back(frame);
        Ok(true)
    }

    /// The next frame for our protocol.
    pub(super) fn take(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop_front()?;
        self.taken.push_back(frame.body.len());
        Some(frame)
    }

    /// Our protocol has consumed the oldest frame that it took.
    pub(super) fn consume(&mut self, now: Instant) {
        if let Some(size) = self.taken.pop_front() {
            self.held_bytes -= size;
            self.untold_bytes += size;
            self.untold_since.get_or_insert(now);
        }
    }

    /// From now on the peer hears at once of every frame that is consumed.
    pub(super) fn acknowledge_at_once(&mut self) {
        self.at_once = true;
    }

    /// The moment at which an acknowledgement should go out by itself, `least` being the smaller of both windows.
    pub(super) fn due(&self, least: Window, now: Instant) -> Option<Instant> {
        if self.repeat {
            return Some(now);
        }
        let since = self.untold_since?;
        let untold = (self.consumed() - self.told) as usize;
        let much = untold.saturating_mul(PART_OF_WINDOW) >= least.frames as usize
            || self.untold_bytes.saturating_mul(PART_OF_WINDOW) >= least.bytes as usize;
        Some(if self.at_once || much { since } else { since + ACKNOWLEDGE_WITHIN })
    }

    /// How many frames our protocol has consumed; the peer is told.
    pub(super) fn acknowledgement(&mut self) -> u64 {
        self.told = self.consumed();
        (self.untold_since, self.untold_bytes, self.repeat) = (None, 0, false);
        self.told
    }

    /// What the peer has been told already.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    fn consumed(&self) -> u64 {
        self.next - (self.waiting.len() + self.taken.len()) as u64
    }

    /// A new connection: the peer may repeat itself, and should be told where we are.
    pub(super) fn rewind(&mut self) {
        self.next_here = None;
        self.repeat = self.next > 0;
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
        outgoing.acknowledge(1, SMALL).unwrap();
        assert!(outgoing.has_room(SMALL));
        assert_eq!(outgoing.acknowledge(5, SMALL), Err(FALSE_ACKNOWLEDGEMENT));
        assert_eq!(outgoing.acknowledge(0, SMALL), Ok(false), "an old acknowledgement says nothing new");
    }

    #[test]
    fn a_peer_with_a_smaller_window_gets_no_more_than_it_holds() {
        let mut outgoing = Outgoing::default();
        (0..4).for_each(|sequence| outgoing.push(frame(sequence, 10)));
        let theirs = Window { frames: 2, bytes: 100 };
        assert_eq!(std::iter::from_fn(|| outgoing.next(theirs)).count(), 2);
        outgoing.acknowledge(1, SMALL).unwrap();
        assert_eq!(outgoing.next(theirs).unwrap().sequence, 2);
    }

    #[test]
    fn a_flood_beyond_the_window_is_refused_in_frames_and_in_bytes() {
        let mut incoming = Incoming::default();
        (0..4).for_each(|sequence| assert_eq!(incoming.accept(frame(sequence, 1), SMALL), Ok(true)));
        assert_eq!(incoming.accept(frame(4, 1), SMALL), Err(BEYOND_WINDOW));
        let mut incoming = Incoming::default();
        incoming.accept(frame(0, 100), SMALL).unwrap();
        assert_eq!(incoming.accept(frame(1, 1), SMALL), Err(BEYOND_WINDOW));
    }

    #[test]
    fn taking_a_frame_makes_no_room_until_it_is_consumed() {
        let mut incoming = Incoming::default();
        (0..4).for_each(|sequence| assert_eq!(incoming.accept(frame(sequence, 1), SMALL), Ok(true)));
        let now = Instant::now();
        incoming.take().unwrap();
        assert_eq!(incoming.due(SMALL, now), None);
        incoming.consume(now);
        assert_eq!(incoming.due(SMALL, now), Some(now), "a quarter of the window");
        assert_eq!(incoming.acknowledgement(), 1);
        assert_eq!(incoming.due(SMALL, now), None, "it was told");
        incoming.accept(frame(4, 1), SMALL).unwrap();
    }

    #[test]
    fn an_acknowledgement_waits_for_a_frame_a_little_and_not_at_the_end() {
        let (wide, start) = (Window { frames: 64, bytes: 100 }, Instant::now());
        let consume = |incoming: &mut Incoming, sequence, bytes, at| {
            incoming.accept(frame(sequence, bytes), wide).unwrap();
            incoming.take().unwrap();
            incoming.consume(at);
        };
        let mut incoming = Incoming::default();
        consume(&mut incoming, 0, 1, start);
        consume(&mut incoming, 1, 1, start + ACKNOWLEDGE_WITHIN / 2);
        assert_eq!(incoming.due(wide, start), Some(start + ACKNOWLEDGE_WITHIN), "counted from the first");
        consume(&mut incoming, 2, 23, start + ACKNOWLEDGE_WITHIN / 2);
        assert_eq!(incoming.due(wide, start), Some(start), "a quarter of the bytes");
        assert_eq!(incoming.acknowledgement(), 3);
        incoming.acknowledge_at_once();
        consume(&mut incoming, 3, 1, start);
        assert_eq!(incoming.due(wide, start), Some(start));
    }

    #[test]
    fn what_makes_no_room_and_settles_nothing_makes_no_difference() {
        let mut outgoing = Outgoing::default();
        (0..3).for_each(|sequence| outgoing.push(frame(sequence, 1)));
        assert_eq!(outgoing.acknowledge(1, SMALL), Ok(false), "there was room before");
        (3..5).for_each(|sequence| outgoing.push(frame(sequence, 1)));
        assert_eq!(outgoing.acknowledge(2, SMALL), Ok(true), "room");
        assert_eq!(outgoing.acknowledge(5, SMALL), Ok(true), "settled");
        assert_eq!(outgoing.acknowledge(5, SMALL), Ok(false));
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
        (0..3).for_each(|_| assert_eq!(incoming.accept(outgoing.next(SMALL).unwrap(), SMALL), Ok(true)));
        (0..3).for_each(|_| incoming.take().map(|_| incoming.consume(Instant::now())).unwrap());
        outgoing.rewind();
        incoming.rewind();
        assert_eq!(incoming.accept(outgoing.next(SMALL).unwrap(), SMALL), Ok(false), "a repetition");
        outgoing.acknowledge(incoming.acknowledgement(), SMALL).unwrap();
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
                            prop_assert!(incoming.accept(frame, SMALL).is_ok());
                        }
                    }
                    6 | 7 => {
                        if let Some(frame) = incoming.take() {
                            prop_assert_eq!(frame.sequence, consumed);
                            consumed += 1;
                            incoming.consume(Instant::now());
                        }
                    }
                    8 => acknowledgements.push_back(incoming.acknowledgement()),
                    9 | 10 => {
                        if let Some(count) = acknowledgements.pop_front() {
                            prop_assert!(outgoing.acknowledge(count, SMALL).is_ok());
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
