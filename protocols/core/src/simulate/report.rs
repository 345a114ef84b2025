//! How a run ended, and whether it may have ended so.

use std::collections::{BTreeMap, BTreeSet};

use super::incident::Event;
use crate::{Checkpoint, Fault, Frame, PartyId, Stall};

/// How a party's session ended.
#[derive(Debug)]
pub enum Ending<T> {
    /// With its answer.
    Answer(T),
    /// With a fault.
    Fault(Fault),
    /// Because a peer it cannot do without went away.
    Stalled(Stall),
    /// Its process ended before it came to an answer.
    Crashed,
    /// It did not end. No protocol may do this.
    Stuck(Stuck),
}

/// Why a party that lost nobody did not come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stuck {
    /// Nothing moves, and it waits.
    Deadlock {
        /// While doing what.
        stage: &'static str,
    },
    /// Something moved for as many steps as were allowed.
    Livelock {
        /// While doing what.
        stage: &'static str,
    },
}

impl<T> Ending<T> {
    /// The answer, if it ended with one.
    pub fn answer(&self) -> Option<&T> {
        if let Self::Answer(answer) = self { Some(answer) } else { None }
    }

    /// The peer blamed, if it ended with a fault that blames one.
    pub fn culprit(&self) -> Option<PartyId> {
        if let Self::Fault(fault) = self { fault.culprit() } else { None }
    }

    /// The code of the violation, if it ended with one.
    pub fn code(&self) -> Option<&'static str> {
        if let Self::Fault(Fault::Peer { violation, .. }) = self { Some(violation.code) } else { None }
    }
}

/// What a run of a [`Network`](super::Network) left behind.
#[derive(Debug)]
pub struct Report<T> {
    /// Each party's ending, in the last attempt.
    pub endings: BTreeMap<PartyId, Ending<T>>,
    /// The endings of the attempts before it, in order.
    pub earlier: Vec<BTreeMap<PartyId, Ending<T>>>,
    /// Every frame sent, in order, before the tap: a golden transcript, or material for a replay.
    pub sent: Vec<Sent>,
    /// What each party has made durable: the last checkpoint of every slot, in the order of the slots.
    pub kept: BTreeMap<PartyId, Vec<Checkpoint>>,
    /// The incidents that happened, in order.
    pub happened: Vec<Event>,
    /// Who was told of whose loss: the one told first, the one lost second.
    pub told: BTreeSet<(PartyId, PartyId)>,
    /// Senders, real and alleged, of frames that were not delivered as they were sent.
    pub touched: BTreeSet<PartyId>,
}

/// A frame as its sender gave it to the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Sender.
    pub from: PartyId,
    /// Receiver.
    pub to: PartyId,
    /// The frame.
    pub frame: Frame,
}

/// An ending that a party may not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{who} in attempt {attempt}: {why}")]
pub struct Illegal {
    /// Whose ending.
    pub who: PartyId,
    /// In which attempt, from 0.
    pub attempt: usize,
    /// What is wrong with it.
    pub why: String,
}

impl<T> Report<T> {
    /// Bytes of all frame bodies.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.sent.iter().map(|sent| sent.frame.body.len() as u64).sum()
    }

    /// The ending of one party.
    ///
    /// # Panics
    /// If `id` took no part: a mistake in the test.
    #[must_use]
    pub fn ending(&self, id: PartyId) -> &Ending<T> {
        &self.endings[&id]
    }

    /// What one party has made durable: the last checkpoint of every slot.
    #[must_use]
    pub fn kept(&self, id: PartyId) -> &[Checkpoint] {
        self.kept.get(&id).map_or(&[], Vec::as_slice)
    }

    /// Every answer of every attempt, with its party.
    pub fn answers(&self) -> impl Iterator<Item = (PartyId, &T)> {
        self.attempts().flat_map(|(_, endings)| endings.iter().filter_map(|(id, ending)| Some((*id, ending.answer()?))))
    }

    /// Whether every ending of every attempt is legal. An answer is if `right` says so. A fault is if it blames somebody
    /// whose frames were touched, or, without a culprit, if any were; our caller's misuse never is. A stall is if it
    /// names somebody whose loss this party was told of.
    ///
    /// # Errors
    /// The first [`Illegal`] ending.
    pub fn check(&self, right: impl Fn(PartyId, &T) -> bool) -> Result<(), Illegal> {
        for (attempt, endings) in self.attempts() {
            for (who, ending) in endings {
                self.objection(*who, ending, &right).map_or(Ok(()), |why| Err(Illegal { who: *who, attempt, why }))?;
            }
        }
        Ok(())
    }

    fn attempts(&self) -> impl Iterator<Item = (usize, &BTreeMap<PartyId, Ending<T>>)> {
        self.earlier.iter().chain([&self.endings]).enumerate()
    }

    fn objection(&self, who: PartyId, ending: &Ending<T>, right: impl Fn(PartyId, &T) -> bool) -> Option<String> {
        let legal = match ending {
            Ending::Answer(answer) => return (!right(who, answer)).then(|| "its answer is wrong".to_owned()),
            Ending::Crashed => true,
            Ending::Stalled(stall) => self.told.contains(&(who, stall.who)),
            Ending::Fault(Fault::Peer { who: culprit, .. }) => self.touched.contains(culprit),
            Ending::Fault(Fault::Dispute { a, b, .. }) => a != b && [a, b].iter().any(|id| self.touched.contains(id)),
            Ending::Fault(Fault::Terms { .. }) => !self.touched.is_empty(),
            Ending::Fault(Fault::Misuse(_)) | Ending::Stuck(_) => false,
        };
        let says = || match ending {
            Ending::Fault(fault) => format!("it says \"{fault}\", and that did not happen"),
            Ending::Stalled(stall) => format!("it says \"{stall}\", and was told of no such loss"),
            Ending::Stuck(Stuck::Deadlock { stage }) => format!("deadlock while {stage}"),
            Ending::Stuck(Stuck::Livelock { stage }) => format!("livelock while {stage}"),
            Ending::Answer(_) | Ending::Crashed => String::new(),
        };
        (!legal).then(says)
    }
}
