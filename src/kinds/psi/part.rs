//! One session of the protocol as a part of a job: what it gives us as rows of our own dataset.

use tacitly_core::{Checkpoint, Fault, Frame, Halt, Party, PartyId, Progress, Stall};
use tacitly_psi::{PsiAnswer, PsiParty};
use zeroize::Zeroizing;

use super::sets::RowsOf;
use crate::jobs::{PartOutput, Rows};

/// A party of the protocol whose answer becomes rows.
pub(super) struct PsiPart {
    party: PsiParty,
    rows: RowsOf,
    keeps: Keeps,
}

/// What of a part's answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keeps {
    /// Rows are a part of our result.
    pub(super) rows: bool,
    /// Only we receive, so that our answer is the last word of the session.
    pub(super) sole_receiver: bool,
}

impl PsiPart {
    pub(super) fn new(party: PsiParty, rows: RowsOf, keeps: Keeps) -> Self {
        Self { party, rows, keeps }
    }

    fn kept(&self, answer: &PsiAnswer) -> PartOutput {
        let rows = match answer {
            PsiAnswer::Served => return PartOutput::default(),
            PsiAnswer::Size(size) => {
                return PartOutput { items: *size, result: None, is_last_word: self.keeps.sole_receiver };
            }
            PsiAnswer::Matched(items) => Rows::Ascending(self.rows.of_items(items)),
            PsiAnswer::Aligned(items) => Rows::InOrder(self.rows.in_order(items)),
        };
        PartOutput {
            items: rows.len() as u64,
            result: self.keeps.rows.then(|| Zeroizing::new(rows.encode())),
            is_last_word: self.keeps.sole_receiver,
        }
    }
}

impl Party for PsiPart {
    type Output = PartOutput;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        self.party.poll_send(to)
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        self.party.receive(from, frame)
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

    fn poll_halt(&mut self) -> Option<Halt> {
        self.party.poll_halt()
    }

    fn progress(&self) -> Progress {
        self.party.progress()
    }

    fn output(&mut self) -> Option<PartOutput> {
        let outcome = self.party.output()?;
        Some(self.kept(&outcome.answer))
    }
}
