//! What a reading found, in counts.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::canonical::KeySpec;
use super::{Doubt, Profile, Rule};

/// How many rows of a file take part, and why the others do not. Counts only: nothing in it is secret to its owner,
/// and nothing in it comes from a cell.
///
/// Every row is counted once: `rows = empty + invalid + duplicates + distinct`. A row with several bad cells counts
/// at the first one in the order of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Rows of the file.
    pub rows: u64,
    /// Rows with an empty cell in the key.
    pub empty: u64,
    /// Rows that a profile refuses, by column and rule; only those that occur.
    pub invalid: Vec<InvalidRows>,
    /// Rows whose key an earlier row has.
    pub duplicates: u64,
    /// Different keys: the size of the set.
    pub distinct: u64,
    /// Rows whose keys their owner should look at, by column and doubt; only those that occur. They are among the others.
    pub doubtful: Vec<DoubtfulRows>,
    /// Rows of the most frequent key, if it stands in so many that it is hardly a person.
    pub most_frequent: Option<u64>,
}

/// Rows of which one column of the key is doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DoubtfulRows {
    /// The column.
    pub column: String,
    /// Why.
    pub doubt: Doubt,
    /// How many.
    pub rows: u64,
}

/// Rows that one profile refuses for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvalidRows {
    /// The column.
    pub column: String,
    /// Its profile.
    pub profile: Profile,
    /// The rule that the cells break.
    pub rule: Rule,
    /// How many.
    pub rows: u64,
}

impl Report {
    /// Rows that a profile refuses, for any reason but emptiness.
    #[must_use]
    pub fn invalid_rows(&self) -> u64 {
        self.invalid.iter().map(|invalid| invalid.rows).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>13}  rows", self.rows)?;
        writeln!(f, "{:>13}  empty key", self.empty)?;
        writeln!(f, "{:>13}  invalid key", self.invalid_rows())?;
        for InvalidRows { column, profile, rule, rows } in &self.invalid {
            writeln!(f, "{rows:>13}    of them {column:?} ({profile}): {rule}")?;
        }
        writeln!(f, "{:>13}  repeat an earlier key", self.duplicates)?;
        write!(f, "{:>13}  distinct keys take part", self.distinct)?;
        for DoubtfulRows { column, doubt, rows } in &self.doubtful {
            write!(f, "\nwarning: {rows} cells of {column:?} {doubt}")?;
        }
        if let Some(rows) = self.most_frequent {
            write!(
                f,
                "\nwarning: one key stands in {rows} rows or more; if it is a placeholder, leave these rows out"
            )?;
        }
        Ok(())
    }
}

/// Counts while rows are read.
pub(super) struct Counters {
    pub(super) rows: u64,
    pub(super) duplicates: u64,
    pub(super) distinct: u64,
    /// By column of the key, then by rule.
    refused: Vec<[u64; Rule::ALL.len()]>,
    /// By column of the key, then by doubt.
    doubtful: Vec<[u64; Doubt::ALL.len()]>,
    pub(super) most_frequent: Option<u64>,
}

impl Counters {
    pub(super) fn new(columns: usize) -> Self {
        let (refused, doubtful) = (vec![[0; Rule::ALL.len()]; columns], vec![[0; Doubt::ALL.len()]; columns]);
        Self { rows: 0, duplicates: 0, distinct: 0, refused, doubtful, most_frequent: None }
    }

    pub(super) fn doubt(&mut self, column: usize, doubt: Doubt) {
        self.doubtful[column][doubt as usize] += 1;
    }

    pub(super) fn refuse(&mut self, column: usize, rule: Rule) {
        self.refused[column][rule as usize] += 1;
    }

    pub(super) fn report(&self, spec: &KeySpec) -> Report {
        let mut report = Report {
            rows: self.rows,
            empty: 0,
            invalid: Vec::new(),
            duplicates: self.duplicates,
            distinct: self.distinct,
            doubtful: Vec::new(),
            most_frequent: self.most_frequent,
        };
        for (of, counts) in spec.columns.iter().zip(&self.doubtful) {
            for (doubt, rows) in Doubt::ALL.into_iter().zip(*counts) {
                if rows > 0 && rows * 100 >= self.rows * doubt.least_per_cent() {
                    report.doubtful.push(DoubtfulRows { column: of.column.clone(), doubt, rows });
                }
            }
        }
        for (of, counts) in spec.columns.iter().zip(&self.refused) {
            for (rule, rows) in Rule::ALL.into_iter().zip(*counts) {
                match rule {
                    _ if rows == 0 => {}
                    Rule::Empty => report.empty += rows,
                    _ => {
                        report.invalid.push(InvalidRows { column: of.column.clone(), profile: of.profile, rule, rows })
                    }
                }
            }
        }
        report
    }
}
