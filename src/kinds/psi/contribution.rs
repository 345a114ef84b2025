//! What a party adds to the terms of an intersection when it signs them, so that the others can judge what it learns, cost and
//! risk before they decide.

use std::collections::BTreeMap;

use tacitly_core::PartyId;

use super::limits;
use crate::policy::Rule;

/// What a party says of its data and of its rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contribution {
    /// The rows of its file.
    pub(super) rows: u64,
    /// Its rule sets a minimum, so that it learns the size before it releases anything.
    pub(super) wants_size: bool,
}

impl Contribution {
    /// Of a file with so many rows, under these rules.
    pub(super) fn new(rows: u64, rules: &BTreeMap<PartyId, Rule>) -> Self {
        Self { rows, wants_size: minimum(rules).is_some() }
    }

    /// Eight bytes of rows, big-endian, and one that is 1 or 0.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        [&self.rows.to_be_bytes()[..], &[u8::from(self.wants_size)]].concat()
    }

    /// Reads the bytes, usually another party's.
    pub(super) fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (rows, [wants_size @ (0 | 1)]) = bytes.split_first_chunk()? else { return None };
        Some(Self { rows: u64::from_be_bytes(*rows), wants_size: *wants_size == 1 })
    }
}

/// The largest minimum of our rules.
pub(super) fn minimum(rules: &BTreeMap<PartyId, Rule>) -> Option<u64> {
    rules.values().filter_map(|rule| limits::minimum(&rule.limits)).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contribution_reads_back_and_nothing_else_is_one() {
        for wants_size in [false, true] {
            let said = Contribution { rows: u64::MAX - 1, wants_size };
            assert_eq!(Contribution::of_bytes(&said.to_bytes()), Some(said));
        }
        for bytes in [&[][..], &[0; 8], &[0; 10], &[0, 0, 0, 0, 0, 0, 0, 0, 2]] {
            assert_eq!(Contribution::of_bytes(bytes), None, "{bytes:?}");
        }
    }
}
