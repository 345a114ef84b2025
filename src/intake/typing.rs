//! From the cells of a row to values.

use super::column_spec::{MAX_CATEGORIES, MAX_CATEGORY, MAX_MISSING_WORDS, MAX_PLACES};
use super::columns::Cell;
use super::decimal::{finite, number, scaled, trimmed};
use super::distinct::{Distinct, Member, OverBudget};
use super::kind::{Kind, NoText};
use super::pass::Pass;
use super::row::{Row, Schema};
use super::{Budget, ColumnKind, ColumnSpec, Encoding, FileDigest, IntakeError, Missing, Problem, Source};

/// Memory that the categories of one column may take at any rate.
const LEAST_MEMORY: usize = 1 << 20;

/// Opens a file for its first reading as values; says where the columns stand in it.
pub(super) fn open_typed<'a>(
    source: &'a Source,
    specs: &'a [ColumnSpec],
    expected: Option<&'a FileDigest>,
    budget: &'a Budget<'a>,
) -> Result<(Pass<'a>, Typing<'a>, Vec<usize>), IntakeError> {
    let mut pass = Pass::open(source, expected, budget)?;
    let (typing, wanted) = Typing::of(pass.schema(), specs, budget).map_err(|error| pass.unless_changed(error))?;
    pass.know_names();
    Ok((pass, typing, wanted))
}

/// Reads the columns asked for, and numbers categories as they occur.
pub(super) struct Typing<'a> {
    specs: &'a [ColumnSpec],
    /// The categories of each column; none of a column of numbers.
    categories: Vec<Distinct>,
    budget: usize,
    scratch: Vec<u8>,
    cells: Vec<Cell>,
}

impl<'a> Typing<'a> {
    fn of(schema: &Schema, specs: &'a [ColumnSpec], budget: &Budget<'_>) -> Result<(Self, Vec<usize>), IntakeError> {
        let bad = |why| Err(schema.error(Problem::BadColumns(why)));
        if specs.is_empty() {
            return bad("no column is asked for; ask for at least one");
        }
        let mut wanted = Vec::with_capacity(specs.len());
        for spec in specs {
            let at = schema.find(&spec.column)?;
            let fail = |problem| Err(schema.error(problem).in_column(&spec.column));
            if wanted.contains(&at) {
                return fail(Problem::TwoColumns);
            }
            if matches!(&spec.missing, Missing::Allow { words } if words.len() > MAX_MISSING_WORDS) {
                return fail(Problem::BadColumns("more than 64 words stand for a missing cell; name fewer"));
            }
            if matches!(spec.kind, ColumnKind::Decimal { places } if places > MAX_PLACES) {
                return fail(Problem::BadColumns("an amount has at most 18 decimal places; ask for fewer"));
            }
            let kind = &schema.columns[at].kind;
            let (fits, as_what) = match spec.kind {
                ColumnKind::Number | ColumnKind::Decimal { .. } => (kind.can_be_number(), "numbers"),
                ColumnKind::Category => (kind.has_text(), "categories"),
            };
            if !fits {
                return fail(Problem::NotOfKind { found: kind.to_string(), wanted: as_what });
            }
            wanted.push(at);
        }
        let sets = specs.iter().filter(|spec| spec.kind == ColumnKind::Category).count();
        let memory = (budget.memory() / 2 / sets.max(1)).max(LEAST_MEMORY);
        let categories = specs.iter().map(|_| Distinct::new(memory)).collect();
        Ok((Self { specs, categories, budget: budget.memory(), scratch: Vec::new(), cells: Vec::new() }, wanted))
    }

    /// The cells of a row.
    pub(super) fn cells(&mut self, row: &Row<'_>) -> Result<&[Cell], IntakeError> {
        self.cells.clear();
        for at in 0..self.specs.len() {
            let cell = self.cell(at, row.cell(at), &row.column(at).kind).map_err(|problem| match problem {
                Problem::ColumnsOverBudget { .. } => row.schema.error(problem),
                _ => row.cell_error(at, problem),
            })?;
            if cell.is_none() && self.specs[at].missing == Missing::Error {
                return Err(row.cell_error(at, Problem::MissingCell));
            }
            self.cells.push(cell);
        }
        Ok(&self.cells)
    }

    fn cell(&mut self, at: usize, cell: Option<&[u8]>, kind: &Kind) -> Result<Cell, Problem> {
        let Some(cell) = cell else { return Ok(None) };
        let spec = &self.specs[at];
        let float = kind.float(cell).map_err(|NoText| Problem::Damaged)?;
        if float.is_some_and(f64::is_nan) {
            return Ok(None);
        }
        if let (ColumnKind::Number, Some(value)) = (spec.kind, float) {
            return finite(value).map(|value| Some(value.to_bits()));
        }
        let unreadable = |NoText| match kind {
            Kind::Bytes => Problem::NotText(Encoding::Utf8),
            _ => Problem::Unprintable { found: kind.to_string() },
        };
        let text = match (spec.kind, kind) {
            (ColumnKind::Decimal { .. }, Kind::Boolean) => {
                if cell == [1] {
                    b"1"
                } else {
                    b"0"
                }
            }
            _ => kind.text(cell, &mut self.scratch).map_err(unreadable)?,
        };
        let held = if spec.kind == ColumnKind::Category { text } else { trimmed(text) };
        if held.is_empty() || is_word_for_missing(&spec.missing, held) {
            return Ok(None);
        }
        match spec.kind {
            ColumnKind::Number => number(held).map(|value| Some(value.to_bits())),
            ColumnKind::Decimal { places } => scaled(held, places).map(|value| Some(value as u64)),
            ColumnKind::Category => category(&mut self.categories[at], held, self.budget).map(Some),
        }
    }

    /// For each column, its categories in the order of their bytes, and by the number under which they first occurred
    /// their place in it.
    pub(super) fn finish(self) -> (Vec<Vec<String>>, Vec<Vec<u32>>) {
        let renumber = |set: Distinct| {
            let (names, ..) = set.into_parts();
            let mut order: Vec<u32> = (0..names.len() as u32).collect();
            order.sort_unstable_by_key(|&at| names.get(at as usize));
            let mut renumbered = vec![0; order.len()];
            order.iter().zip(0..).for_each(|(&at, place)| renumbered[at as usize] = place);
            // Every category was read as text.
            let text = |&at: &u32| String::from_utf8_lossy(names.get(at as usize)).into_owned();
            (order.iter().map(text).collect(), renumbered)
        };
        self.categories.into_iter().map(renumber).unzip()
    }
}

fn is_word_for_missing(missing: &Missing, text: &[u8]) -> bool {
    matches!(missing, Missing::Allow { words } if words.iter().any(|word| word.as_bytes() == text))
}

/// The number of a category in the order of first occurrence.
fn category(set: &mut Distinct, name: &[u8], budget: usize) -> Result<u64, Problem> {
    if name.len() > MAX_CATEGORY {
        return Err(Problem::CategoryTooLong { limit: MAX_CATEGORY });
    }
    let next = set.len();
    match set.insert(name, 0) {
        Ok(Member::Known(number)) => Ok(number.into()),
        Ok(Member::New) if next < MAX_CATEGORIES => Ok(next as u64),
        Ok(Member::New) => Err(Problem::TooManyCategories { limit: MAX_CATEGORIES }),
        Err(OverBudget) => Err(Problem::ColumnsOverBudget { budget }),
    }
}
