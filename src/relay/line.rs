//! What comes in on one line: pieces in order, each once, up to a bound.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The most pieces that wait to be read.
const MOST_WAITING: usize = 8;

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is taken, now or before.
    Yes,
    /// There is no room for it now.
    Full,
    /// One before it is missing.
    Gap,
    /// Nobody reads this line any more.
    Gone,
}

/// What comes in on one line.
pub(super) struct Line(Mutex<Incoming>);

struct Incoming {
    next: u64,
    /// Gone once the other end, or we, have let go of the line.
    bytes: Option<mpsc::Sender<io::Result<Bytes>>>,
}

impl Line {
    /// A line, and the bytes that come in on it.
    pub(super) fn new() -> (Self, mpsc::Receiver<io::Result<Bytes>>) {
        let (sender, bytes) = mpsc::channel(MOST_WAITING);
        (Self(Mutex::new(Incoming { next: 0, bytes: Some(sender) })), bytes)
    }

    /// Takes the piece of this number as a whole, or not at all.
    pub(super) fn take(&self, number: u64, body: Bytes) -> Taken {
        let mut incoming = self.locked();
        if number < incoming.next {
            return Taken::Yes;
        }
        if number > incoming.next {
            return Taken::Gap;
        }
        let Some(bytes) = &incoming.bytes else { return Taken::Gone };
        if body.is_empty() {
            incoming.bytes = None;
        } else {
            match bytes.try_send(Ok(body)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => return Taken::Full,
                Err(TrySendError::Closed(_)) => return Taken::Gone,
            }
        }
        incoming.next += 1;
        Taken::Yes
    }

    /// Whoever reads finds out that nothing more will come, and why.
    pub(super) fn fail(&self, why: String) {
        if let Some(bytes) = self.locked().bytes.take() {
            // If there is no room for the reason, the end of the line alone says that it broke.
            let _ = bytes.try_send(Err(io::Error::other(why)));
        }
    }

    fn locked(&self) -> MutexGuard<'_, Incoming> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_taken_in_order_once_and_up_to_a_bound() {
        let (line, mut bytes) = Line::new();
        let body = |number: usize| Bytes::from(vec![number as u8 + 1]);
        assert_eq!(line.take(1, body(1)), Taken::Gap);
        for number in 0..MOST_WAITING {
            assert_eq!(line.take(number as u64, body(number)), Taken::Yes);
            assert_eq!(line.take(number as u64, body(number)), Taken::Yes, "again");
        }
        let next = MOST_WAITING as u64;
        assert_eq!(line.take(next, body(MOST_WAITING)), Taken::Full);
        for number in 0..MOST_WAITING {
            assert_eq!(bytes.try_recv().unwrap().unwrap(), body(number));
        }
        assert!(bytes.try_recv().is_err(), "what was said again is not there twice");
        assert_eq!(line.take(next, Bytes::new()), Taken::Yes, "the other end lets go");
        assert_eq!(line.take(next + 1, body(0)), Taken::Gone);
    }
}
