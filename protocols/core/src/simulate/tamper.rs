//! What a network or a lying peer does to frames on their way.

use super::report::Sent;
use crate::{Frame, PartyId};

/// Decides what is delivered when a frame crosses a link: nothing, the frame, or anything else.
///
/// Arguments: the running number of the frame in this run, and the frame with its ends.
/// Whatever stands in the result is delivered in that order.
pub type Tap = Box<dyn FnMut(usize, Sent) -> Vec<Sent>>;

/// The fault table: what a network or a lying peer does to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tamper {
    /// It never arrives.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives after its successor.
    Reorder,
    /// Its last byte is missing.
    Truncate,
    /// One byte is changed.
    Flip {
        /// Which, modulo the length.
        byte: usize,
    },
    /// A frame recorded in another session arrives in its place.
    Replay,
    /// The link attributes it to a party that is not in the session.
    WrongSender,
    /// It claims a place it has not reached.
    Early,
    /// It is repeated with a place far behind the end.
    Late,
}

impl Tamper {
    /// Every entry of the table, with a few places for the changed byte.
    pub const TABLE: [Self; 12] = [
        Self::Drop,
        Self::Duplicate,
        Self::Reorder,
        Self::Truncate,
        Self::Flip { byte: 0 },
        Self::Flip { byte: 1 },
        Self::Flip { byte: 40 },
        Self::Flip { byte: usize::MAX },
        Self::Replay,
        Self::WrongSender,
        Self::Early,
        Self::Late,
    ];

    /// A tap that does this to the frame numbered `at` and nothing to any other.
    pub(super) fn tap(self, at: usize, foreign: Option<Frame>) -> Tap {
        let mut waiting: Option<Sent> = None;
        Box::new(move |number, sent| {
            if let Some(earlier) = waiting.take_if(|earlier| (earlier.from, earlier.to) == (sent.from, sent.to)) {
                return vec![sent, earlier];
            }
            if number != at {
                return vec![sent];
            }
            if self == Self::Reorder {
                waiting = Some(sent);
                return vec![];
            }
            self.of(sent, foreign.as_ref())
        })
    }

    /// What is delivered at once in place of a frame.
    fn of(self, sent: Sent, foreign: Option<&Frame>) -> Vec<Sent> {
        let edited = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut body = sent.frame.body.to_vec();
            edit(&mut body);
            Sent { frame: Frame { body: body.into(), ..sent.frame.clone() }, ..sent.clone() }
        };
        let at_place = |sequence| Sent { frame: Frame { sequence, ..sent.frame.clone() }, ..sent.clone() };
        match self {
            Self::Drop | Self::Reorder => vec![],
            Self::Duplicate => vec![sent.clone(), sent],
            Self::Truncate => vec![edited(&|body| {
                body.pop();
            })],
            Self::Flip { byte } => vec![edited(&|body| {
                let len = body.len().max(1);
                if let Some(byte) = body.get_mut(byte % len) {
                    *byte ^= 0x55;
                }
            })],
            Self::Replay => vec![Sent { frame: foreign.unwrap_or(&sent.frame).clone(), ..sent }],
            Self::WrongSender => {
                let stranger: PartyId = "stranger".parse().unwrap_or(sent.to);
                vec![Sent { from: stranger, ..sent }]
            }
            Self::Early => vec![at_place(sent.frame.sequence + 1), sent],
            Self::Late => vec![sent.clone(), at_place(u64::MAX)],
        }
    }
}
