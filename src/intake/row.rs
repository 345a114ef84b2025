//! A row as every format gives it, and who visits rows.

use std::path::PathBuf;

use parquet::schema::types::TypePtr;

use super::kind::Kind;
use super::{ColumnInfo, IntakeError, Place, Problem};

/// Row numbers have 32 bits.
pub(super) const MAX_ROWS: u64 = u32::MAX as u64;

/// Pairs of columns with one name that are told.
const MOST_TWINS: usize = 8;

/// The columns of one file.
pub(super) struct Schema {
    pub(super) file: PathBuf,
    pub(super) columns: Vec<Column>,
    /// Whether the header is known to hold names: a column that was asked for by its name is there, or the file is as it
    /// was registered. Until then it may be a row, and nothing of it is shown.
    pub(super) names_are_known: bool,
}

/// One column: its name and what its cells are.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Its place and type in a Parquet file; `None` in CSV and for nested columns.
    pub(super) leaf: Option<Leaf>,
}

/// A flat column of a Parquet file.
pub(super) struct Leaf {
    /// Which of the leaf columns it is.
    pub(super) index: usize,
    /// Its type in full, to write the same again.
    pub(super) of: TypePtr,
}

impl Column {
    pub(super) fn info(&self) -> ColumnInfo {
        ColumnInfo { name: self.name.clone(), type_name: self.kind.to_string() }
    }

    pub(super) fn is_readable(&self) -> bool {
        !matches!(self.kind, Kind::Nested)
    }
}

impl Schema {
    pub(super) fn error(&self, problem: Problem) -> IntakeError {
        IntakeError::of(&self.file, problem)
    }

    /// Where the column of that name stands.
    pub(super) fn find(&self, name: &str) -> Result<usize, IntakeError> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            let known = if self.names_are_known { names().map(str::to_owned).collect() } else { Vec::new() };
            let near = names().find(|there| is_near(name, there)).map(str::to_owned);
            self.error(Problem::NoSuchColumn { columns: self.columns.len(), near, known }).in_column(name)
        })
    }

    /// What a column is called in an error.
    pub(super) fn label(&self, at: usize) -> String {
        match self.columns.get(at) {
            Some(column) if self.names_are_known => column.name.clone(),
            _ => positional(at),
        }
    }

    pub(super) fn refuse_twins(&self) -> Result<(), IntakeError> {
        let mut names: Vec<_> = self.columns.iter().zip(1..).map(|(column, at)| (&column.name, at)).collect();
        names.sort_unstable();
        let twins = names.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        let mut twins: Vec<(usize, usize)> = twins.map(|pair| (pair[0].1, pair[1].1)).take(MOST_TWINS).collect();
        twins.sort_unstable();
        if twins.is_empty() { Ok(()) } else { Err(self.error(Problem::SameName { twins })) }
    }
}

/// One row: the cells of the wanted columns, as bytes. Text is UTF-8; other Parquet types are in their plain encoding.
pub(super) struct Row<'a> {
    pub(super) schema: &'a Schema,
    /// Which columns of the schema were asked for.
    pub(super) wanted: &'a [usize],
    /// From 0, without the header.
    pub(super) number: u32,
    /// The cells, one after the other.
    pub(super) bytes: &'a [u8],
    /// Where each cell ends in `bytes`.
    pub(super) ends: &'a [usize],
    /// Which cells hold nothing at all; CSV knows no such cells.
    pub(super) nulls: &'a [bool],
    pub(super) lines: Lines,
}

/// How to find the line of a cell. It is computed only for an error.
#[derive(Clone, Copy)]
pub(super) enum Lines {
    /// The cells of a CSV record, all of them, end at this line; `newline` if its last byte was a line feed.
    Csv { end: u64, newline: bool },
    /// Parquet: the row is the place.
    None,
}

impl<'a> Row<'a> {
    /// The cell of the `at`-th wanted column; `None` for a null.
    pub(super) fn cell(&self, at: usize) -> Option<&'a [u8]> {
        let index = self.index(at);
        if self.nulls.get(index) == Some(&true) {
            return None;
        }
        Some(&self.bytes[self.start(index)..self.ends[index]])
    }

    /// The column of the `at`-th wanted cell.
    pub(super) fn column(&self, at: usize) -> &'a Column {
        &self.schema.columns[self.wanted[at]]
    }

    /// An error at this row.
    pub(super) fn error(&self, problem: Problem) -> IntakeError {
        self.schema.error(problem).at(self.place(0))
    }

    /// An error at the `at`-th wanted cell.
    pub(super) fn cell_error(&self, at: usize, problem: Problem) -> IntakeError {
        let place = self.place(self.start(self.index(at)));
        self.schema.error(problem).at(place).in_column(&self.schema.label(self.wanted[at]))
    }

    /// CSV gives all cells of the record, Parquet the wanted ones only.
    fn index(&self, at: usize) -> usize {
        match self.lines {
            Lines::Csv { .. } => self.wanted[at],
            Lines::None => at,
        }
    }

    fn start(&self, index: usize) -> usize {
        if index == 0 { 0 } else { self.ends[index - 1] }
    }

    fn place(&self, position: usize) -> Place {
        match self.lines {
            Lines::None => Place::Row(u64::from(self.number) + 1),
            Lines::Csv { end, newline } => {
                let later = newlines(&self.bytes[position..]) + u64::from(newline);
                Place::Line(end - later)
            }
        }
    }
}

/// What a column without a name is called.
pub(super) fn positional(at: usize) -> String {
    format!("column_{}", at + 1)
}

/// Whether a cell of a header is what somebody meant who asked for `name`: it differs in case or white space, or in one
/// character of a longer word that has no digit. What differs more may be no name at all and is not told.
fn is_near(name: &str, there: &str) -> bool {
    let plain = |text: &str| -> Vec<char> {
        let is_seen = |c: &char| !c.is_whitespace() && *c != '\u{feff}';
        text.chars().flat_map(char::to_lowercase).filter(is_seen).collect()
    };
    let (name, there) = (plain(name), plain(there));
    if name == there {
        return true;
    }
    let (short, long) = if name.len() < there.len() { (&name, &there) } else { (&there, &name) };
    if short.len() < 4 || long.len() - short.len() > 1 || long.iter().any(|c| c.is_numeric()) {
        return false;
    }
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let rest = if short.len() == long.len() { &short[(same + 1).min(short.len())..] } else { &short[same..] };
    rest == &long[same + 1..]
}

/// Line feeds in a piece of a file.
pub(super) fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Who is shown every row of a file, in order.
pub(super) trait Visitor {
    /// Told once, after the first rows, how many there will be in all, exactly or about.
    fn expect_rows(&mut self, _rows: u64) {}

    /// One row. An error ends the reading.
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError>;
}
