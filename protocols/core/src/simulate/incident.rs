//! What happens to processes and links while a job runs.

use std::fmt;

use rand::RngExt;

use crate::{PartyId, Seed};

/// Something that happens to a process or to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incident {
    /// A process ends. What it has made durable stays; what it was storing may be lost.
    Crash(PartyId),
    /// A process that has crashed is back. It takes no part in the attempt that it left; in the next one it is built
    /// again from its checkpoints.
    Restart(PartyId),
    /// Frames of `from` do not reach `to` any more and wait on their way. Each of the two may come to give the other
    /// one up, and nobody else notices.
    Cut {
        /// Whose frames.
        from: PartyId,
        /// Whom they do not reach.
        to: PartyId,
    },
    /// The way from `from` to `to` is open again.
    Heal {
        /// Whose frames.
        from: PartyId,
        /// Whom they reach again.
        to: PartyId,
    },
}

/// An incident with its moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// It happens once so many frames have been sent in all, in all attempts; or earlier, when nothing else moves.
    pub at: usize,
    /// What happens.
    pub what: Incident,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            Incident::Crash(who) => write!(f, "{who} crashes at {}", self.at),
            Incident::Restart(who) => write!(f, "{who} is back at {}", self.at),
            Incident::Cut { from, to } => write!(f, "{from} cannot reach {to} from {}", self.at),
            Incident::Heal { from, to } => write!(f, "{from} reaches {to} again at {}", self.at),
        }
    }
}

/// Draws a list of up to four troubles among `ids` within the first `frames` frames: crashes, two thirds of them with a
/// restart, and cuts of one direction or of both, two thirds of them healed. The list may be empty.
#[must_use]
pub fn incidents(ids: &[PartyId], frames: usize, seed: Seed) -> Vec<Event> {
    let mut rng = seed.into_rng();
    let mut events = Vec::new();
    if ids.len() < 2 {
        return events;
    }
    for _ in 0..rng.random_range(0..=4_usize) {
        let first = rng.random_range(0..ids.len());
        let second = (first + rng.random_range(1..ids.len())) % ids.len();
        let (from, to) = (ids[first], ids[second]);
        let at = rng.random_range(0..=frames);
        let later = at + rng.random_range(0..=frames);
        let ends = rng.random_range(0..3) < 2;
        let troubles: &[(Incident, Incident)] = match rng.random_range(0..4) {
            0 | 1 => &[(Incident::Crash(from), Incident::Restart(from))],
            2 => &[(Incident::Cut { from, to }, Incident::Heal { from, to })],
            _ => &[
                (Incident::Cut { from, to }, Incident::Heal { from, to }),
                (Incident::Cut { from: to, to: from }, Incident::Heal { from: to, to: from }),
            ],
        };
        for (what, end) in troubles {
            events.push(Event { at, what: *what });
            events.extend(ends.then_some(Event { at: later, what: *end }));
        }
    }
    events
}
