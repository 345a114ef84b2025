//! One session of the protocol as a part of a job: what it gives us as rows of our own dataset.

use tacitly_core::{Mapped, Party};
use tacitly_psi::{PsiAnswer, PsiParty};
use zeroize::Zeroizing;

use super::sets::RowsOf;
use crate::jobs::{PartOutput, Rows};

/// What of a part's answer is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Keeps {
    /// Rows are a part of our result.
    pub(super) rows: bool,
    /// Only we receive, so that our answer is the last word of the session.
    pub(super) sole_receiver: bool,
}

/// A party of the protocol whose answer becomes rows.
pub(super) fn part(party: PsiParty, rows: RowsOf, keeps: Keeps) -> impl Party<Output = PartOutput> {
    Mapped::new(party, move |outcome| keeps.of(&outcome.answer, &rows))
}

impl Keeps {
    fn of(self, answer: &PsiAnswer, rows: &RowsOf) -> PartOutput {
        let rows = match answer {
            PsiAnswer::Served => return PartOutput::default(),
            PsiAnswer::Size(size) => {
                return PartOutput { items: *size, result: None, is_last_word: self.sole_receiver };
            }
            PsiAnswer::Matched(items) => Rows::Ascending(rows.of_items(items)),
            PsiAnswer::Aligned(items) => Rows::InOrder(rows.in_order(items)),
        };
        PartOutput {
            items: rows.len() as u64,
            result: self.rows.then(|| Zeroizing::new(rows.encode())),
            is_last_word: self.sole_receiver,
        }
    }
}
