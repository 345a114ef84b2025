//! Typed columns of chosen rows, in memory.

use super::columns::{Columns, Grid};
use super::row::{Row, Visitor};
use super::selection::{InOrder, Place, no_such_row, places, take_places};
use super::typing::{Typing, open_typed};
use super::{Budget, ColumnKind, ColumnSpec, FileDigest, IntakeError, Problem, Selection, Source};

/// What [`read_columns`] has read.
#[derive(Debug)]
pub struct TypedColumns {
    /// The values.
    pub columns: Columns,
    /// For each column its categories, in the order of their bytes; none of a column of numbers.
    pub dictionaries: Vec<Vec<String>>,
    /// Size and hash of the file that was read.
    pub digest: FileDigest,
}

/// Reads columns of chosen rows as values, in the order of the selection.
///
/// The file is read once and hashed meanwhile; with `expected`, a changed file is refused. Only chosen rows are looked
/// at: what stands in another is neither refused nor a category. All of it must fit into `budget`, about 8 bytes a cell
/// and 8 a row of an order of its own; what does not fit is for [`spool_columns`](super::spool_columns). Categories may
/// take half of the budget, and a mebibyte for each column at any rate.
///
/// # Errors
/// Every way in which the file cannot be read; a column that does not exist, comes twice or is of another kind; a cell
/// that is missing or no value of its kind; a row that does not exist; too many categories; too little memory.
pub fn read_columns(
    source: &Source,
    specs: &[ColumnSpec],
    selection: &Selection,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
) -> Result<TypedColumns, IntakeError> {
    let (pass, typing, wanted) = open_typed(source, specs, expected, budget)?;
    let ordered;
    let (rows, count) = match selection {
        Selection::All => (Chosen::InOrder(InOrder::all()), None),
        Selection::Marked(rows) => (Chosen::InOrder(InOrder::marked(rows)), Some(rows.len())),
        Selection::InputOrder(rows) => {
            let walk = InOrder::ascending(rows).map_err(|problem| pass.schema().error(problem))?;
            (Chosen::InOrder(walk), Some(rows.len() as u64))
        }
        Selection::Ordered(rows) => {
            afford(specs, rows.len() as u64, size_of::<Place>(), budget)
                .map_err(|problem| pass.schema().error(problem))?;
            ordered = places(rows);
            (Chosen::Placed { places: &ordered, read: 0 }, Some(rows.len() as u64))
        }
    };
    afford(specs, count.unwrap_or_default(), 0, budget).map_err(|problem| pass.schema().error(problem))?;
    let grid = Grid::new(specs.len(), count.unwrap_or_default() as usize);
    let mut fill = Fill { typing, grid, rows, budget };
    let digest = pass.visit(&wanted, &mut fill)?;
    let count = match &fill.rows {
        Chosen::InOrder(walk) => {
            walk.finish(&source.path)?;
            walk.taken as usize
        }
        Chosen::Placed { places: [], .. } => fill.grid.rows(),
        Chosen::Placed { places: [place, ..], read } => return Err(no_such_row(&source.path, place.row, *read)),
    };
    let (dictionaries, renumbered) = fill.typing.finish();
    let kinds: Vec<ColumnKind> = specs.iter().map(|spec| spec.kind).collect();
    Ok(TypedColumns { columns: fill.grid.into_columns(count, &kinds, &renumbered), dictionaries, digest })
}

/// Refuses more rows than fit into memory.
fn afford(specs: &[ColumnSpec], rows: u64, beside: usize, budget: &Budget<'_>) -> Result<(), Problem> {
    let bytes = rows as u128 * (Grid::row_bytes(specs.len()) + beside) as u128;
    if bytes <= budget.memory() as u128 { Ok(()) } else { Err(Problem::ColumnsOverBudget { budget: budget.memory() }) }
}

enum Chosen<'a> {
    InOrder(InOrder<'a>),
    /// Those still to come, by row.
    Placed {
        places: &'a [Place],
        read: u64,
    },
}

struct Fill<'a> {
    typing: Typing<'a>,
    grid: Grid,
    rows: Chosen<'a>,
    budget: &'a Budget<'a>,
}

impl Visitor for Fill<'_> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        match &mut self.rows {
            Chosen::InOrder(walk) => {
                let at = walk.taken as usize;
                if !walk.takes(row.number) {
                    return Ok(());
                }
                let cells = self.typing.cells(row)?;
                if at == self.grid.rows() {
                    let rows = at + at / 2 + 64;
                    // While a column grows, its old values are still there.
                    let bytes = Grid::row_bytes(cells.len()) * rows + 8 * at;
                    if bytes > self.budget.memory() {
                        let budget = self.budget.memory();
                        return Err(row.schema.error(Problem::ColumnsOverBudget { budget }));
                    }
                    self.grid.grow(rows);
                }
                self.grid.put(at, cells);
            }
            Chosen::Placed { places, read } => {
                *read += 1;
                let taken = take_places(places, row.number);
                if !taken.is_empty() {
                    let cells = self.typing.cells(row)?;
                    taken.iter().for_each(|place| self.grid.put(place.position as usize, cells));
                }
            }
        }
        Ok(())
    }
}
