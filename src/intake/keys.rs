//! From the rows of a file to the distinct keys of a set.

use std::fmt;
use std::ops::Range;

use super::canonical::{Duplicates, Invalid, KeyColumn, KeySpec, push_cell};
use super::distinct::{Arena, Distinct, Member, OverBudget};
use super::doubt::doubt;
use super::kind::{Kind, NoText};
use super::pass::Pass;
use super::report::{Counters, Report};
use super::row::{Row, Schema, Visitor};
use super::selection::Selection;
use super::{Budget, FileDigest, IntakeError, Place, Problem, Rule, Source};

/// The distinct canonical ids of a file, in the order in which they first occur, and the rows they came from.
///
/// It holds personal identifiers: it is neither `Clone` nor does it print more than its size.
pub struct Keys {
    spec: KeySpec,
    ids: Arena,
    first_row: Vec<u32>,
    /// Under [`Duplicates::All`], the later rows of a key: (index of the id, row), sorted.
    later: Vec<(u32, u32)>,
    report: Report,
    digest: FileDigest,
}

impl Keys {
    /// How many distinct ids there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The canonical id at `index`, as [`KeySpec::canonical_id`] writes it. Panics beyond [`Keys::len`].
    #[must_use]
    pub fn id(&self, index: usize) -> &[u8] {
        self.ids.get(index)
    }

    /// All canonical ids, in order of first occurrence.
    pub fn ids(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.ids.get(index))
    }

    /// The first row of every id; rows count from 0, without the header. It ascends.
    #[must_use]
    pub fn first_rows(&self) -> &[u32] {
        &self.first_row
    }

    /// All rows of the id at `index` that take part, ascending: one, or under [`Duplicates::All`] any number.
    pub fn rows_of(&self, index: usize) -> impl Iterator<Item = u32> {
        let later = self.later_of(index);
        std::iter::once(self.first_row[index]).chain(self.later[later].iter().map(|&(_, row)| row))
    }

    /// All rows of the ids at these indices, in the order of the file: the semi-join of the file with a result.
    #[must_use]
    pub fn select(&self, indices: impl IntoIterator<Item = u32>) -> Selection {
        let indices = indices.into_iter().map(|index| index as usize);
        let mut rows: Vec<u32> = if self.later.is_empty() {
            indices.map(|index| self.first_row[index]).collect()
        } else {
            indices.flat_map(|index| self.rows_of(index)).collect()
        };
        rows.sort_unstable();
        rows.dedup();
        Selection::InputOrder(rows)
    }

    /// The first row of each of these ids, in this order.
    #[must_use]
    pub fn align(&self, indices: impl IntoIterator<Item = u32>) -> Selection {
        Selection::Ordered(indices.into_iter().map(|index| self.first_row[index as usize]).collect())
    }

    /// The key by which they were read.
    #[must_use]
    pub fn spec(&self) -> &KeySpec {
        &self.spec
    }

    /// What was counted.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Size and hash of the file that was read.
    #[must_use]
    pub fn digest(&self) -> &FileDigest {
        &self.digest
    }

    fn later_of(&self, index: usize) -> Range<usize> {
        let start = self.later.partition_point(|&(id, _)| (id as usize) < index);
        let count = self.later[start..].iter().take_while(|&&(id, _)| id as usize == index).count();
        start..start + count
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Reads the distinct keys of a file.
///
/// The file is hashed while it is read. With `expected`, a file of another size or hash is refused, so that what takes
/// part is what was registered. The keys, and while reading the table that finds duplicates, must fit into `budget`:
/// per key about 20 bytes beside the id itself.
///
/// # Errors
/// Every way in which the file cannot be read; an invalid row or a repeated key if `spec` refuses them; too little
/// memory.
pub fn read_keys(
    source: &Source,
    spec: &KeySpec,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
) -> Result<Keys, IntakeError> {
    let set = Distinct::new(budget.memory());
    let mut gather = Gather { set, policy: spec.duplicates, duplicates: 0, budget };
    let passed = pass(source, spec, expected, budget, &mut gather);
    let (mut tally, digest) = passed.map_err(|error| by_lines(error, source, budget))?;
    tally.duplicates = gather.duplicates;
    tally.distinct = gather.set.len() as u64;
    let (ids, first_row, later) = gather.set.into_parts();
    Ok(Keys { spec: spec.clone(), ids, first_row, later, report: tally.report(spec), digest })
}

/// Counts what [`read_keys`] would find, whatever the policies of `spec` say: no invalid row and no duplicate ends it.
///
/// # Errors
/// Every way in which the file cannot be read; too little memory.
pub fn dry_run(source: &Source, spec: &KeySpec, budget: &Budget<'_>) -> Result<Report, IntakeError> {
    let lenient = KeySpec { duplicates: Duplicates::First, invalid: Invalid::Skip, ..spec.clone() };
    read_keys(source, &lenient, None, budget).map(|keys| keys.report)
}

/// Shows every valid row and its canonical id to `visit`, in the order of the file, without looking for duplicates
/// and without keeping anything: for sets larger than memory. `visit` ends it with an error of its own.
///
/// The report counts no duplicates, and every valid row as distinct.
///
/// # Errors
/// Every way in which the file cannot be read; an invalid row if `spec` refuses them; what `visit` returns.
pub fn visit_keys<E: From<IntakeError>>(
    source: &Source,
    spec: &KeySpec,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    visit: impl FnMut(u32, &[u8]) -> Result<(), E>,
) -> Result<(Report, FileDigest), E> {
    struct Shown<F, E> {
        visit: F,
        rows: u64,
        error: Option<E>,
    }
    impl<F: FnMut(u32, &[u8]) -> Result<(), E>, E> KeyVisitor for Shown<F, E> {
        fn key(&mut self, row: &Row<'_>, id: &[u8]) -> Result<(), IntakeError> {
            self.rows += 1;
            (self.visit)(row.number, id).map_err(|error| {
                self.error = Some(error);
                row.error(Problem::Stopped)
            })
        }
    }

    let mut shown = Shown { visit, rows: 0, error: None };
    let passed = pass(source, spec, expected, budget, &mut shown);
    match (passed, shown.error) {
        (_, Some(error)) => Err(error),
        (Err(error), None) => Err(error.into()),
        (Ok((mut tally, digest)), None) => {
            tally.distinct = shown.rows;
            Ok((tally.report(spec), digest))
        }
    }
}

pub(super) fn pass(
    source: &Source,
    spec: &KeySpec,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    keys: &mut impl KeyVisitor,
) -> Result<(Counters, FileDigest), IntakeError> {
    let mut pass = Pass::open(source, expected, budget)?;
    let wanted = key_columns(pass.schema(), spec).map_err(|error| pass.unless_changed(error))?;
    pass.know_names();
    let mut rows = KeyRows::new(spec, (0..wanted.len()).collect(), keys);
    let digest = pass.visit(&wanted, &mut rows)?;
    Ok((rows.tally, digest))
}

/// `error` with both rows of a repetition counted as the file counts, if it is about one. Keys are kept with their row
/// only, so the file is read again up to the earlier row.
pub(super) fn by_lines(mut error: IntakeError, source: &Source, budget: &Budget<'_>) -> IntakeError {
    if let Problem::Duplicate { first: Place::Row(row) } = error.problem {
        error.problem = Problem::Duplicate { first: place_of_row(source, row, budget) };
    }
    error
}

/// Where a row, counted from 1, stands in its file.
fn place_of_row(source: &Source, row: u64, budget: &Budget<'_>) -> Place {
    struct Find(u64, Option<Place>);
    impl Visitor for Find {
        fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
            if u64::from(row.number) + 1 < self.0 {
                return Ok(());
            }
            let found = row.error(Problem::Stopped);
            self.1 = found.place;
            Err(found)
        }
    }
    let mut find = Find(row, None);
    let _ended_there = Pass::open(source, None, budget).and_then(|pass| pass.visit(&[], &mut find));
    find.1.unwrap_or(Place::Row(row))
}

/// Where the columns of the key stand in the file.
pub(super) fn key_columns(schema: &Schema, spec: &KeySpec) -> Result<Vec<usize>, IntakeError> {
    let column = |of: &KeyColumn| {
        let at = schema.find(&of.column)?;
        let kind = &schema.columns[at].kind;
        if kind.can_be_key() {
            return Ok(at);
        }
        Err(schema.error(Problem::NotAKey { found: kind.to_string() }).in_column(&of.column))
    };
    let wanted: Vec<usize> = spec.columns.iter().map(column).collect::<Result<_, _>>()?;
    let is_twice = |(at, column)| wanted[..at].contains(column);
    if wanted.is_empty() || wanted.iter().enumerate().any(is_twice) {
        return Err(schema.error(Problem::BadKey));
    }
    Ok(wanted)
}

/// Who is shown the valid rows with their canonical ids.
pub(super) trait KeyVisitor {
    /// Told once that so many rows are read of so many.
    fn expect_rows(&mut self, _seen: u64, _total: u64) {}

    /// One valid row. An error ends the reading.
    fn key(&mut self, row: &Row<'_>, id: &[u8]) -> Result<(), IntakeError>;
}

/// Makes canonical ids of rows.
pub(super) struct KeyRows<'a, K> {
    spec: &'a KeySpec,
    /// Where each column of the key stands among the wanted ones.
    places: Vec<usize>,
    pub(super) tally: Counters,
    id: Vec<u8>,
    /// A whole number of a Parquet file as text.
    number: Vec<u8>,
    keys: &'a mut K,
}

impl<'a, K: KeyVisitor> KeyRows<'a, K> {
    pub(super) fn new(spec: &'a KeySpec, places: Vec<usize>, keys: &'a mut K) -> Self {
        Self { spec, places, tally: Counters::new(spec.columns.len()), id: Vec::new(), number: Vec::new(), keys }
    }
}

impl<K: KeyVisitor> Visitor for KeyRows<'_, K> {
    fn expect_rows(&mut self, rows: u64) {
        self.keys.expect_rows(self.tally.rows, rows);
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        self.tally.rows += 1;
        self.id.clear();
        for (at, (of, &place)) in self.spec.columns.iter().zip(&self.places).enumerate() {
            let cell = match (row.cell(place), &row.column(place).kind) {
                (None, _) => Ok(&[][..]),
                (Some(cell), Kind::Text | Kind::Bytes) => Ok(cell),
                (Some(cell), kind) => kind.text(cell, &mut self.number),
            };
            let pushed = match cell {
                Ok(cell) => {
                    let start = self.id.len();
                    let pushed = push_cell(of.profile, cell, &mut self.id);
                    // Behind the length, which has more than one byte for long keys; those are in no doubt.
                    let normal = pushed.is_ok().then(|| &self.id[start + 1..]);
                    if let Some(doubt) = doubt(of.profile, cell, normal) {
                        self.tally.doubt(at, doubt);
                    }
                    pushed
                }
                Err(NoText) => Err(Rule::Text),
            };
            if let Err(rule) = pushed {
                if self.spec.invalid == Invalid::Error {
                    return Err(row.cell_error(place, Problem::Invalid { profile: of.profile, rule }));
                }
                self.tally.refuse(at, rule);
                return Ok(());
            }
        }
        self.keys.key(row, &self.id)
    }
}

/// Keeps the distinct ids.
struct Gather<'a> {
    set: Distinct,
    policy: Duplicates,
    duplicates: u64,
    budget: &'a Budget<'a>,
}

impl KeyVisitor for Gather<'_> {
    fn expect_rows(&mut self, seen: u64, total: u64) {
        self.set.expect(seen, total);
    }

    fn key(&mut self, row: &Row<'_>, id: &[u8]) -> Result<(), IntakeError> {
        let kept = self.set.insert(id, row.number).and_then(|member| {
            let Member::Known(member) = member else { return Ok(None) };
            self.duplicates += 1;
            match self.policy {
                Duplicates::Error => Ok(Some(self.set.first(member))),
                Duplicates::First => Ok(None),
                Duplicates::All => self.set.keep(member, row.number).map(|()| None),
            }
        });
        match kept {
            Ok(None) => Ok(()),
            Ok(Some(first)) => Err(row.error(Problem::Duplicate { first: Place::Row(u64::from(first) + 1) })),
            Err(OverBudget) => Err(over_budget(row, self.budget)),
        }
    }
}

/// The keys up to this row do not fit into memory.
pub(super) fn over_budget(row: &Row<'_>, budget: &Budget<'_>) -> IntakeError {
    row.schema.error(Problem::OverBudget { budget: budget.memory(), rows: u64::from(row.number) + 1 })
}
