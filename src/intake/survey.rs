//! All that a registration takes from a file, in one reading of it.

use std::hash::BuildHasher;
use std::path::Path;

use foldhash::quality::RandomState;

use super::canonical::{Duplicates, KeySpec};
use super::distinct::{Distinct, Member, OverBudget};
use super::doubt::Frequent;
use super::exact::Exact;
use super::inspect::all_columns;
use super::keys::{KeyRows, KeyVisitor, by_lines, key_columns, over_budget};
use super::partition::{Cut, Lay, refuse_repeat};
use super::pass::Pass;
use super::row::{Row, Visitor};
use super::{Budget, Inspection, IntakeError, Place, Problem, Report, Source};

/// Parts into which keys are cut that do not fit into memory; they take 4 KiB each.
const FEWEST_PARTS: u64 = 8;
const MOST_PARTS: u64 = 1 << 11;
/// Bytes that a key takes beside its id while its part is counted.
const KEY_BYTES: u64 = 64;

/// What a file holds, and which of its rows take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Its columns, rows and digest.
    pub inspection: Inspection,
    /// What was counted of its keys.
    pub report: Report,
}

/// Reads a whole file once: looks for the columns of the key first, shows every row to `each` as
/// [`visit_rows`](super::visit_rows) does, and counts keys as [`read_keys`](super::read_keys) does.
///
/// Keys that do not fit into `budget` are laid aside in `folder`, sealed, and counted part by part; without a folder they
/// are refused.
///
/// # Errors
/// Every way in which the file cannot be read; an invalid row or a repeated key if `key` refuses them; too little
/// memory; [`Problem::Spilling`] if the disk does not take the keys. What `each` was shown before an error means nothing.
pub fn survey(
    source: &Source,
    key: &KeySpec,
    folder: Option<&Path>,
    budget: &Budget<'_>,
    each: impl FnMut(&[u8]),
) -> Result<Survey, IntakeError> {
    let mut pass = Pass::open(source, None, budget)?;
    let of_key = key_columns(pass.schema(), key)?;
    pass.know_names();
    let (columns, readable) = all_columns(pass.schema());
    // Columns of a key can be read.
    let places = of_key.iter().map(|at| readable.partition_point(|before| before < at)).collect();
    let hasher = RandomState::default();
    let place = |id: &[u8]| hasher.hash_one(id);
    let mut count = Count {
        set: Distinct::new(budget.memory()),
        aside: None,
        refuses: key.duplicates == Duplicates::Error,
        duplicates: 0,
        frequent: Frequent::default(),
        total: None,
        folder,
        place: &place,
        budget,
    };
    let mut both = Both { exact: Exact::new(each), keys: KeyRows::new(key, places, &mut count) };
    let digest = pass.visit(&readable, &mut both).map_err(|error| by_lines(error, source, budget))?;
    let (rows, mut tally) = (both.exact.rows, both.keys.tally);
    tally.duplicates = count.duplicates;
    tally.most_frequent = count.frequent.most(rows);
    let inspection = Inspection { columns, rows, digest };
    let report = match count.aside {
        None => {
            tally.distinct = count.set.len() as u64;
            tally.report(key)
        }
        Some(lay) => {
            let mut laid = lay.finish(key, tally.report(key))?;
            let repeat = laid.count(&source.path, budget, &mut |_| {})?;
            refuse_repeat(repeat, source, key, &digest, budget)?;
            laid.report().clone()
        }
    };
    Ok(Survey { inspection, report })
}

/// Two who are shown every row.
struct Both<'a, 'b, F> {
    exact: Exact<F>,
    keys: KeyRows<'a, Count<'b>>,
}

impl<F: FnMut(&[u8])> Visitor for Both<'_, '_, F> {
    fn expect_rows(&mut self, rows: u64) {
        self.keys.expect_rows(rows);
    }

    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        self.exact.row(row)?;
        self.keys.row(row)
    }
}

/// Counts distinct keys: in memory, and from the row on at which they no longer fit there, laid aside.
struct Count<'a> {
    set: Distinct,
    aside: Option<Lay<'a>>,
    refuses: bool,
    /// Rows that repeat a key in memory.
    duplicates: u64,
    frequent: Frequent,
    /// Rows of the file, exactly or about, once that is known.
    total: Option<u64>,
    folder: Option<&'a Path>,
    place: &'a (dyn Fn(&[u8]) -> u64 + Sync),
    budget: &'a Budget<'a>,
}

impl KeyVisitor for Count<'_> {
    fn expect_rows(&mut self, seen: u64, total: u64) {
        self.total = Some(total);
        self.set.expect(seen, total);
    }

    fn key(&mut self, row: &Row<'_>, id: &[u8]) -> Result<(), IntakeError> {
        self.frequent.count((self.place)(id));
        if let Some(lay) = &mut self.aside {
            return lay.push(row.number, id);
        }
        match self.set.insert(id, row.number) {
            Ok(Member::New) => Ok(()),
            Ok(Member::Known(member)) if self.refuses => {
                let first = Place::Row(u64::from(self.set.first(member)) + 1);
                Err(row.error(Problem::Duplicate { first }))
            }
            Ok(Member::Known(_)) => {
                self.duplicates += 1;
                Ok(())
            }
            Err(OverBudget) => {
                let Some(folder) = self.folder else { return Err(over_budget(row, self.budget)) };
                self.lay_aside(folder)?.push(row.number, id)
            }
        }
    }
}

impl<'a> Count<'a> {
    fn lay_aside(&mut self, folder: &'a Path) -> Result<&mut Lay<'a>, IntakeError> {
        let (ids, first, _) = std::mem::replace(&mut self.set, Distinct::new(0)).into_parts();
        let average = (ids.bytes() / ids.len().max(1)) as u64 + KEY_BYTES;
        // One part for each thread is in memory at a time.
        let part = (self.budget.memory() / rayon::current_num_threads().max(1) / 2).max(1) as u64;
        let parts = self.total.map_or(MOST_PARTS, |rows| rows.saturating_mul(average) / part);
        let parts = parts.clamp(FEWEST_PARTS, MOST_PARTS) as usize;
        let mut lay = Lay::create(Cut { folder, parts, place: self.place }, self.budget)?;
        for (at, &row) in first.iter().enumerate() {
            lay.push(row, ids.get(at))?;
        }
        Ok(self.aside.insert(lay))
    }
}
