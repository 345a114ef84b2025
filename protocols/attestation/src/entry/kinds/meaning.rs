//! What a kind of entry means beside its fields: who must sign it, what it rests on.

use std::collections::BTreeSet;

use tacitly_core::PartyId;

use crate::entry::digest::LeafHash;
use crate::entry::field::Record;
use crate::entry::refusal::Reason;

/// The most parties of a job, and so the most signatures under an entry.
pub const MAX_PARTIES: usize = 128;

/// Whose signatures an entry needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signers {
    /// All of these.
    pub all: BTreeSet<PartyId>,
    /// And at least `needed` of these.
    pub among: BTreeSet<PartyId>,
    /// How many of `among`.
    pub needed: usize,
}

impl Signers {
    pub(super) fn all(parties: impl IntoIterator<Item = PartyId>) -> Self {
        Self { all: parties.into_iter().collect(), among: BTreeSet::new(), needed: 0 }
    }

    /// Whether the signatures of `signed` suffice.
    #[must_use]
    pub fn satisfied_by(&self, signed: &BTreeSet<PartyId>) -> bool {
        self.all.is_subset(signed) && self.among.intersection(signed).count() >= self.needed
    }

    /// The fewest signatures that suffice.
    #[must_use]
    pub fn fewest(&self) -> usize {
        let counted_twice = self.all.intersection(&self.among).count();
        self.all.len() + self.needed.saturating_sub(counted_twice)
    }
}

/// What a kind of entry means, beside its fields.
pub(super) trait Meaning: Record {
    /// What its fields cannot say, given who recorded it.
    fn check_recorder(&self, _by: PartyId) -> Result<(), Reason> {
        Ok(())
    }

    /// Whose signatures it needs, given who recorded it.
    fn signers(&self, by: PartyId) -> Signers {
        Signers::all([by])
    }

    /// The earlier entries that its fields name.
    fn references(&self) -> Vec<LeafHash> {
        Vec::new()
    }
}

/// Whether no item stands twice in a list.
pub(super) fn distinct<T: Ord>(items: impl IntoIterator<Item = T>) -> bool {
    let mut seen = BTreeSet::new();
    items.into_iter().all(|item| seen.insert(item))
}
