//! Rows in an agreed order that is not the file's.
//!
//! No cell is spilled to disk. Rows are held in memory as far as the budget goes; what comes later in the order is
//! left for another reading of the file. A file of 10^8 rows in 1 GiB takes some ten readings at 0.1 µs a row, which
//! is far below what the protocol before it took.

use std::io::Write;

use super::pass::Pass;
use super::row::{Row, Visitor};
use super::selection::{Place, no_such_row, places, take_places};
use super::sink::Sink;
use super::{Budget, FileDigest, IntakeError, Problem, Source, error};

/// A file that is read as often as it takes.
pub(super) struct Reading<'a> {
    pub(super) source: &'a Source,
    pub(super) expected: Option<&'a FileDigest>,
    pub(super) wanted: &'a [usize],
    /// The names of the wanted columns.
    pub(super) names: Vec<String>,
    pub(super) budget: &'a Budget<'a>,
}

/// Writes rows in this order, in one reading or several; the first is `opened`, if that is there.
pub(super) fn write_ordered<'a, W: Write + Send>(
    file: &Reading<'a>,
    opened: &mut Option<Pass<'a>>,
    order: &[u32],
    sink: &mut Sink<W>,
) -> Result<(), IntakeError> {
    let Reading { source, expected, wanted, names, budget } = file;
    let fail = |problem| IntakeError::of(&source.path, problem);
    let places = places(order);
    let mut from = 0;
    loop {
        let pass = match opened.take() {
            Some(pass) => pass,
            None => Pass::open(source, *expected, budget)?,
        };
        let mut held = Held {
            places: &places,
            window: from..order.len() as u32,
            memory: budget.memory(),
            cells: Vec::new(),
            rows: Vec::new(),
            read: 0,
        };
        pass.visit(wanted, &mut held)?;
        if let Some(place) = held.places.first() {
            return Err(no_such_row(&source.path, place.row, held.read));
        }
        held.rows.sort_unstable_by_key(|row| row.position);
        for row in &held.rows {
            let mut cells = &held.cells[row.start..];
            for name in names {
                let cell;
                (cell, cells) = unpack(cells);
                sink.cell(cell).map_err(|problem| match problem {
                    Problem::Writing(_) => fail(problem),
                    // Only cells of Parquet can have no text; their place is the row.
                    _ => {
                        let row = u64::from(order[row.position as usize]) + 1;
                        fail(problem).at(error::Place::Row(row)).in_column(name)
                    }
                })?;
            }
            sink.end_row().map_err(fail)?;
        }
        from = held.window.end;
        if from as usize == order.len() {
            return Ok(());
        }
    }
}

/// A row that waits for its turn.
struct HeldRow {
    position: u32,
    start: usize,
}

/// The rows of a window of the order, as they are found in the file.
struct Held<'a> {
    /// Sorted by row; what is left of them.
    places: &'a [Place],
    /// Positions to be held in this reading. It ends earlier when memory runs out.
    window: std::ops::Range<u32>,
    memory: usize,
    cells: Vec<u8>,
    rows: Vec<HeldRow>,
    read: u64,
}

impl Visitor for Held<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        self.read += 1;
        for place in take_places(&mut self.places, row.number) {
            if self.window.contains(&place.position) {
                self.rows.push(HeldRow { position: place.position, start: self.cells.len() });
                for at in 0..row.wanted.len() {
                    pack(row.cell(at), &mut self.cells);
                }
                while self.is_full() && self.rows.len() > 1 {
                    self.halve();
                }
            }
        }
        Ok(())
    }
}

impl Held<'_> {
    fn is_full(&self) -> bool {
        self.cells.len() + self.rows.len() * size_of::<HeldRow>() > self.memory
    }

    /// Gives up the later half of what is held: those rows are for another reading.
    fn halve(&mut self) {
        let half = self.rows.len() / 2;
        let (_, first_given_up, _) = self.rows.select_nth_unstable_by_key(half, |row| row.position);
        self.window.end = first_given_up.position;
        // In the order of the buffer, so that what stays moves down over what goes.
        self.rows.sort_unstable_by_key(|row| row.start);
        let ends: Vec<usize> = self.rows.iter().skip(1).map(|row| row.start).chain([self.cells.len()]).collect();
        let mut kept = 0;
        for (row, end) in self.rows.iter_mut().zip(ends) {
            if row.position < self.window.end {
                self.cells.copy_within(row.start..end, kept);
                (row.start, kept) = (kept, kept + end - row.start);
            }
        }
        self.cells.truncate(kept);
        self.rows.retain(|row| row.position < self.window.end);
    }
}

/// A cell with four bytes for its length, all ones for a null. A cell is no longer than a Parquet page, below 2 GiB.
fn pack(cell: Option<&[u8]>, out: &mut Vec<u8>) {
    let length = cell.map_or(u32::MAX, |cell| cell.len() as u32);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(cell.unwrap_or_default());
}

fn unpack(cells: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let (length, rest) =
        cells.split_first_chunk().map_or((u32::MAX, cells), |(length, rest)| (u32::from_le_bytes(*length), rest));
    if length == u32::MAX {
        return (None, rest);
    }
    let (cell, rest) = rest.split_at(length as usize);
    (Some(cell), rest)
}
