//! Typed columns of chosen rows, laid aside in blocks: larger than memory, in the agreed order, read again as often as
//! it takes.
//!
//! The file is read once, whatever the order. An order of its own comes in pieces and is sorted by row range first; rows
//! then come in the order of the file and go, as values, to the group of blocks where they belong; at last each group is
//! put in order in memory. Everything on disk is sealed under a key that only this process has, in files without a name.

use std::fmt;
use std::path::Path;

use super::columns::{Cell, Columns, Grid};
use super::gathering::Gathering;
use super::row::{MAX_ROWS, Row, Visitor};
use super::selection::{InOrder, Place, no_such_row, take_places};
use super::spill::Spill;
use super::typing::{Typing, open_typed};
use super::{Budget, ColumnKind, ColumnSpec, FileDigest, IntakeError, Problem, Selection, Source};

/// Rows of the file whose places are in memory at a time, as a power of two.
const RANGE_BITS: u32 = 18;
/// Ranges that share the memory for gathering; beyond 2^28 rows they take 4 KiB each.
const RANGES: usize = 1 << 10;
/// Groups of blocks into which rows go.
const MOST_GROUPS: u64 = 1 << 11;
/// Bytes of a place: its row and its position.
const PLACE: usize = 8;

/// Where and how rows are laid aside.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// The folder; the files have no name there.
    pub folder: &'a Path,
    /// Rows of one block, at least one. The last block may have fewer.
    pub block_rows: u32,
}

/// Typed columns, laid aside in blocks.
///
/// They are personal data, sealed on disk: it neither is `Clone` nor prints more than its size.
pub struct Spool {
    kinds: Vec<ColumnKind>,
    dictionaries: Vec<Vec<String>>,
    renumbered: Vec<Vec<u32>>,
    digest: FileDigest,
    rows: u64,
    block_rows: usize,
    blocks: Spill,
}

/// Reads columns of chosen rows as values and lays them aside in the order of the selection.
///
/// What is read and refused is as by [`read_columns`](super::read_columns). A block has to fit into a quarter of `budget`;
/// an order that is not the file's takes two mebibytes and four bytes for every 2^8 rows of the file at any rate, and the
/// rows once more on disk while they are put in order.
///
/// # Errors
/// As [`read_columns`](super::read_columns); [`Problem::Spilling`] if the disk does not take the rows.
pub fn spool_columns(
    source: &Source,
    specs: &[ColumnSpec],
    selection: &Selection,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    layout: Layout<'_>,
) -> Result<Spool, IntakeError> {
    let fail = |problem| IntakeError::of(&source.path, problem);
    let rows = match selection {
        Selection::All => InOrder::all(),
        Selection::InputOrder(rows) => InOrder::ascending(rows).map_err(fail)?,
        Selection::Marked(rows) => InOrder::marked(rows),
        Selection::Ordered(rows) => {
            let mut order = Order::create(layout.folder, budget)?;
            order.push(rows, &source.path)?;
            return spool_ordered(source, specs, order, expected, budget, layout);
        }
    };
    let (pass, typing, wanted) = open_typed(source, specs, expected, budget)?;
    let blocks = Blocks::create(specs.len(), layout, budget)?;
    let mut along = Along { typing, rows, blocks };
    let digest = pass.visit(&wanted, &mut along)?;
    along.rows.finish(&source.path)?;
    let rows = along.rows.taken;
    Ok(Spool::of(specs, along.typing, digest, rows, along.blocks.block_rows(), along.blocks.finish()?))
}

/// [`spool_columns`] for an order that comes in pieces, which need not fit into memory together.
///
/// # Errors
/// As [`spool_columns`], and what `pieces` gives instead of rows.
pub fn spool_pieces<E: From<IntakeError>>(
    source: &Source,
    specs: &[ColumnSpec],
    pieces: impl Iterator<Item = Result<Vec<u32>, E>>,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    layout: Layout<'_>,
) -> Result<Spool, E> {
    let mut order = Order::create(layout.folder, budget)?;
    for piece in pieces {
        order.push(&piece?, &source.path)?;
    }
    Ok(spool_ordered(source, specs, order, expected, budget, layout)?)
}

fn spool_ordered(
    source: &Source,
    specs: &[ColumnSpec],
    order: Order,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    layout: Layout<'_>,
) -> Result<Spool, IntakeError> {
    let (pass, typing, wanted) = open_typed(source, specs, expected, budget)?;
    let mut blocks = Blocks::create(specs.len(), layout, budget)?;
    let rows = order.rows;
    let groups = Groups::of(rows, blocks.block_rows(), specs.len(), budget);
    let mut sorting = Sorting {
        typing,
        order: order.places.finish()?,
        range: None,
        places: Vec::new(),
        next: 0,
        groups,
        records: Gathering::create(layout.folder, groups.count(rows), budget.memory())?,
        read: 0,
    };
    let digest = pass.visit(&wanted, &mut sorting)?;
    sorting.finish(&source.path)?;
    let Sorting { typing, order, places, records, .. } = sorting;
    // The room on disk and in memory is free before the blocks are written.
    drop((order, places));
    let records = records.finish()?;
    let count = groups.count(rows);
    for group in 0..count {
        if !budget.goes_on(group as u64, count as u64) {
            return Err(IntakeError::of(&source.path, Problem::Stopped));
        }
        let bytes = records.read(group)?;
        groups.write(group, rows, &bytes, &mut blocks)?.ok_or_else(|| records.damaged())?;
    }
    Ok(Spool::of(specs, typing, digest, rows, blocks.block_rows(), blocks.finish()?))
}

impl Spool {
    fn of(
        specs: &[ColumnSpec],
        typing: Typing<'_>,
        digest: FileDigest,
        rows: u64,
        block_rows: usize,
        blocks: Spill,
    ) -> Self {
        let (dictionaries, renumbered) = typing.finish();
        let kinds = specs.iter().map(|spec| spec.kind).collect();
        Self { kinds, dictionaries, renumbered, digest, rows, block_rows, blocks }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many blocks there are: none of no rows.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.rows.div_ceil(self.block_rows as u64)
    }

    /// Rows of every block but the last.
    #[must_use]
    pub fn block_rows(&self) -> usize {
        self.block_rows
    }

    /// For each column its categories, in the order of their bytes; none of a column of numbers.
    #[must_use]
    pub fn dictionaries(&self) -> &[Vec<String>] {
        &self.dictionaries
    }

    /// Size and hash of the file that was read.
    #[must_use]
    pub fn digest(&self) -> &FileDigest {
        &self.digest
    }

    /// The rows of a block, counted from 0; no rows beyond the last. Blocks are read in any order and any number of times,
    /// by several threads at once.
    ///
    /// # Errors
    /// [`Problem::Spilling`] or [`Problem::SpillDamaged`].
    pub fn read(&self, block: u64) -> Result<Columns, IntakeError> {
        let before = block.saturating_mul(self.block_rows as u64);
        let rows = self.rows.saturating_sub(before).min(self.block_rows as u64) as usize;
        let bytes = self.blocks.read(usize::try_from(block).unwrap_or(usize::MAX))?;
        let whole = if rows == 0 { Some(Grid::new(self.kinds.len(), 0)) } else { None };
        let grid =
            whole.or_else(|| Grid::decode(self.kinds.len(), rows, &bytes)).ok_or_else(|| self.blocks.damaged())?;
        Ok(grid.into_columns(rows, &self.kinds, &self.renumbered))
    }

    /// All blocks in order, from the first: what one epoch reads.
    pub fn epoch(&self) -> impl Iterator<Item = Result<Columns, IntakeError>> + '_ {
        (0..self.blocks()).map(|block| self.read(block))
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").field("rows", &self.rows).field("columns", &self.kinds.len()).finish_non_exhaustive()
    }
}

/// Blocks that are written one after the other.
struct Blocks {
    grid: Grid,
    /// Rows in the block that is being filled.
    filled: usize,
    written: usize,
    spill: Spill,
}

impl Blocks {
    fn create(columns: usize, layout: Layout<'_>, budget: &Budget<'_>) -> Result<Self, IntakeError> {
        let rows = layout.block_rows.max(1) as usize;
        // The values, their bytes, and what is gathered besides.
        if rows as u128 * Grid::row_bytes(columns) as u128 * 4 > budget.memory() as u128 {
            return Err(IntakeError::of(layout.folder, Problem::ColumnsOverBudget { budget: budget.memory() }));
        }
        Ok(Self { grid: Grid::new(columns, rows), filled: 0, written: 0, spill: Spill::create(layout.folder)? })
    }

    fn block_rows(&self) -> usize {
        self.grid.rows()
    }

    fn push(&mut self, cells: &[Cell]) -> Result<(), IntakeError> {
        self.grid.put(self.filled, cells);
        self.filled += 1;
        if self.filled == self.grid.rows() { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), IntakeError> {
        self.spill.append(self.written, &mut self.grid.encode(self.filled))?;
        self.written += 1;
        self.filled = 0;
        self.grid.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<Spill, IntakeError> {
        if self.filled > 0 {
            self.write()?;
        }
        Ok(self.spill)
    }
}

/// Rows that stay in the order of the file.
struct Along<'a> {
    typing: Typing<'a>,
    rows: InOrder<'a>,
    blocks: Blocks,
}

impl Visitor for Along<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        if self.rows.takes(row.number) { self.blocks.push(self.typing.cells(row)?) } else { Ok(()) }
    }
}

/// An order, laid aside by ranges of rows.
struct Order {
    places: Gathering,
    rows: u64,
}

impl Order {
    fn create(folder: &Path, budget: &Budget<'_>) -> Result<Self, IntakeError> {
        Ok(Self { places: Gathering::create(folder, RANGES, budget.memory())?, rows: 0 })
    }

    fn push(&mut self, rows: &[u32], file: &Path) -> Result<(), IntakeError> {
        if self.rows + rows.len() as u64 > MAX_ROWS {
            return Err(IntakeError::of(file, Problem::TooManyRows));
        }
        for row in rows {
            let gathered = self.places.record((row >> RANGE_BITS) as usize, PLACE)?;
            gathered.extend_from_slice(&row.to_le_bytes());
            gathered.extend_from_slice(&(self.rows as u32).to_le_bytes());
            self.rows += 1;
        }
        Ok(())
    }
}

/// The places of one range of rows, sorted by row.
fn places_of(order: &Spill, range: usize) -> Result<Vec<Place>, IntakeError> {
    let bytes = order.read(range)?;
    let word = |bytes: [u8; 4]| u32::from_le_bytes(bytes);
    let place =
        |&[a, b, c, d, e, f, g, h]: &[u8; PLACE]| Place { row: word([a, b, c, d]), position: word([e, f, g, h]) };
    let mut places: Vec<Place> = bytes.as_chunks().0.iter().map(place).collect();
    places.sort_unstable();
    Ok(places)
}

/// How an order is cut into groups of blocks that fit into memory one at a time.
#[derive(Clone, Copy)]
struct Groups {
    rows: u64,
    columns: usize,
}

impl Groups {
    fn of(rows: u64, block_rows: usize, columns: usize, budget: &Budget<'_>) -> Self {
        // A record, and where it is while its group is put in order.
        let by_memory = (budget.memory() / 2 / (record_bytes(columns) + 4)) as u64;
        let fewest = rows.div_ceil(MOST_GROUPS);
        let blocks = (by_memory / block_rows as u64).max(fewest.div_ceil(block_rows as u64)).max(1);
        Self { rows: blocks * block_rows as u64, columns }
    }

    fn count(&self, rows: u64) -> usize {
        rows.div_ceil(self.rows) as usize
    }

    /// A record: position (4 bytes), a bit for each missing cell, values.
    fn push(&self, position: u32, cells: &[Cell], records: &mut Gathering) -> Result<(), IntakeError> {
        let group = (u64::from(position) / self.rows) as usize;
        let record = records.record(group, record_bytes(self.columns))?;
        record.extend_from_slice(&position.to_le_bytes());
        for some in cells.chunks(8) {
            let mark = |bits: u8, (at, cell): (usize, &Cell)| bits | u8::from(cell.is_none()) << at;
            record.push(some.iter().enumerate().fold(0, mark));
        }
        cells.iter().for_each(|cell| record.extend_from_slice(&cell.unwrap_or_default().to_le_bytes()));
        Ok(())
    }

    /// Writes the rows of a group in their order; nothing if the records are not those of the group.
    fn write(&self, group: usize, rows: u64, bytes: &[u8], blocks: &mut Blocks) -> Result<Option<()>, IntakeError> {
        let first = group as u64 * self.rows;
        let count = (rows - first).min(self.rows) as usize;
        let width = record_bytes(self.columns);
        let mut order = vec![None; count];
        for (record, at) in bytes.chunks_exact(width).zip(0_u32..) {
            let Some((position, _)) = record.split_first_chunk() else { return Ok(None) };
            let position = u64::from(u32::from_le_bytes(*position)).checked_sub(first);
            let Some(place) = position.and_then(|position| order.get_mut(position as usize)) else { return Ok(None) };
            *place = Some(at);
        }
        let mut cells = Vec::with_capacity(self.columns);
        for at in order {
            let record = at.and_then(|at| bytes.get(at as usize * width + 4..)?.get(..width - 4));
            let Some((missing, values)) = record.and_then(|record| record.split_at_checked(self.columns.div_ceil(8)))
            else {
                return Ok(None);
            };
            cells.clear();
            cells.extend(
                values
                    .as_chunks()
                    .0
                    .iter()
                    .enumerate()
                    .map(|(at, value)| (missing[at / 8] & 1 << (at % 8) == 0).then_some(u64::from_le_bytes(*value))),
            );
            blocks.push(&cells)?;
        }
        Ok(Some(()))
    }
}

fn record_bytes(columns: usize) -> usize {
    4 + columns.div_ceil(8) + 8 * columns
}

/// Sends the rows of the file, as they come, to the groups in which they are wanted.
struct Sorting<'a> {
    typing: Typing<'a>,
    order: Spill,
    /// The range whose places are in memory.
    range: Option<usize>,
    places: Vec<Place>,
    /// The first place that is still to come.
    next: usize,
    groups: Groups,
    records: Gathering,
    read: u64,
}

impl Visitor for Sorting<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        self.read += 1;
        let range = (row.number >> RANGE_BITS) as usize;
        if self.range != Some(range) {
            // Every row of an earlier range was there, so none of its places is left.
            self.places = places_of(&self.order, range)?;
            (self.range, self.next) = (Some(range), 0);
        }
        let mut left = &self.places[self.next..];
        let taken = take_places(&mut left, row.number);
        if taken.is_empty() {
            return Ok(());
        }
        self.next += taken.len();
        let cells = self.typing.cells(row)?;
        taken.iter().try_for_each(|place| self.groups.push(place.position, cells, &mut self.records))
    }
}

impl Sorting<'_> {
    /// After the last row of the file: refuses a chosen row that it does not have.
    fn finish(&self, file: &Path) -> Result<(), IntakeError> {
        if let Some(place) = self.places.get(self.next) {
            return Err(no_such_row(file, place.row, self.read));
        }
        for range in self.range.map_or(0, |range| range + 1)..self.order.parts() {
            if let Some(place) = places_of(&self.order, range)?.first() {
                return Err(no_such_row(file, place.row, self.read));
            }
        }
        Ok(())
    }
}
