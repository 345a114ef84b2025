//! Which rows of a file are chosen, and where each of them goes while the file is read.

use std::path::Path;

use super::{IntakeError, Problem, RowSet};

/// Chosen rows of a file. Rows count from 0, without the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every row.
    All,
    /// These rows, ascending and none twice, in the order of the file.
    InputOrder(Vec<u32>),
    /// These rows, in the order of the file.
    Marked(RowSet),
    /// These rows in this order, which all parties of an alignment share.
    Ordered(Vec<u32>),
}

/// A walk along a file that finds chosen rows which stay in its order.
pub(super) struct InOrder<'a> {
    rows: Rows<'a>,
    /// How many were found.
    pub(super) taken: u64,
    read: u64,
}

enum Rows<'a> {
    All,
    /// Those still to come.
    Ascending(&'a [u32]),
    Marked(&'a RowSet),
}

impl<'a> InOrder<'a> {
    pub(super) fn all() -> Self {
        Self { rows: Rows::All, taken: 0, read: 0 }
    }

    pub(super) fn marked(rows: &'a RowSet) -> Self {
        Self { rows: Rows::Marked(rows), taken: 0, read: 0 }
    }

    /// Rows that have to ascend.
    pub(super) fn ascending(rows: &'a [u32]) -> Result<Self, Problem> {
        if rows.is_sorted_by(|a, b| a < b) {
            Ok(Self { rows: Rows::Ascending(rows), taken: 0, read: 0 })
        } else {
            Err(Problem::UnsortedSelection)
        }
    }

    /// Whether the next row of the file, which has this number, is chosen.
    pub(super) fn takes(&mut self, row: u32) -> bool {
        self.read += 1;
        let taken = match &mut self.rows {
            Rows::All => true,
            Rows::Marked(rows) => rows.contains(row),
            Rows::Ascending(rows) => match rows.split_first() {
                Some((next, rest)) if *next == row => {
                    *rows = rest;
                    true
                }
                _ => false,
            },
        };
        self.taken += u64::from(taken);
        taken
    }

    /// After the last row of the file: refuses a chosen row that it does not have.
    pub(super) fn finish(&self, file: &Path) -> Result<(), IntakeError> {
        let lacking = match &self.rows {
            Rows::All => None,
            Rows::Ascending(rows) => rows.first().copied(),
            Rows::Marked(rows) if rows.len() == self.taken => None,
            Rows::Marked(rows) => rows.next(self.read),
        };
        lacking.map_or(Ok(()), |row| Err(no_such_row(file, row, self.read)))
    }
}

/// Where a row of the file goes in an order of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) row: u32,
    pub(super) position: u32,
}

/// The places of rows in this order, sorted by row.
pub(super) fn places(order: &[u32]) -> Vec<Place> {
    let mut places: Vec<Place> = order.iter().zip(0..).map(|(&row, position)| Place { row, position }).collect();
    places.sort_unstable();
    places
}

/// The places at the front that are of this row, taken away from those still to come.
pub(super) fn take_places<'a>(places: &mut &'a [Place], row: u32) -> &'a [Place] {
    let count = places.iter().take_while(|place| place.row == row).count();
    let (taken, left) = places.split_at(count);
    *places = left;
    taken
}

pub(super) fn no_such_row(file: &Path, row: u32, rows: u64) -> IntakeError {
    IntakeError::of(file, Problem::NoSuchRow { row: u64::from(row) + 1, rows })
}
