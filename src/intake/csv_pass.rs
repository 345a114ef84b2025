//! One pass over a CSV file: the header once, then every row.

use std::path::Path;

use super::kind::Kind;
use super::profile::{Profile, is_date};
use super::records::{Broken, Records};
use super::row::{Column, Lines, MAX_ROWS, Row, Schema, Visitor, positional};
use super::source::OpenFile;
use super::{Budget, Delimiter, Encoding, FileDigest, IntakeError, Place, Problem};

pub(super) struct CsvPass {
    pub(super) schema: Schema,
    records: Records,
    size: u64,
    /// The first record is a row; it was read to learn how many columns there are.
    row_waits: bool,
}

impl CsvPass {
    pub(super) fn open(
        path: &Path,
        file: &OpenFile,
        encoding: Encoding,
        delimiter: Delimiter,
        header: bool,
    ) -> Result<Self, IntakeError> {
        let mut schema = Schema { file: path.to_path_buf(), columns: Vec::new(), names_are_known: false };
        let records = file.text().and_then(|text| Records::of(text, encoding, delimiter));
        let mut records = records.map_err(|problem| schema.error(problem))?;
        if !records.advance().map_err(|broken| blame(&schema, broken))? {
            return Err(schema.error(Problem::Empty));
        }
        // Excel's line about the delimiter is no row of the file.
        if let Some(named) = sep_line(&records, delimiter) {
            if named != char::from(delimiter.byte()) {
                return Err(schema.error(Problem::SepLine { delimiter: named }).at(Place::Line(1)));
            }
            if !records.advance().map_err(|broken| blame(&schema, broken))? {
                return Err(schema.error(Problem::Empty));
            }
        }
        schema.columns = columns(&records, header);
        let pass = Self { schema, records, size: file.text_size(), row_waits: !header };
        if header {
            pass.check_header()?;
        }
        Ok(pass)
    }

    pub(super) fn visit(
        mut self,
        wanted: &[usize],
        budget: &Budget<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<FileDigest, IntakeError> {
        let columns = self.schema.columns.len();
        let mut rows = 0u64;
        let mut blocks_seen = 0;
        let first_block = self.records.done().max(1);
        loop {
            if !std::mem::take(&mut self.row_waits)
                && !self.records.advance().map_err(|broken| blame(&self.schema, broken))?
            {
                // All records are read, so the digest is there.
                return self.records.digest().ok_or_else(|| self.schema.error(Problem::Empty));
            }
            if self.records.blocks_read != blocks_seen {
                blocks_seen = self.records.blocks_read;
                if !budget.goes_on(self.records.done(), self.size) {
                    return Err(self.schema.error(Problem::Stopped));
                }
                if blocks_seen == 2 {
                    visitor.expect_rows(rows.saturating_mul(self.size) / first_block);
                }
            }
            let found = self.records.ends().len();
            if found != columns {
                let line = Place::Line(self.records.first_line());
                return Err(self.schema.error(Problem::Ragged { found, expected: columns }).at(line));
            }
            if rows >= MAX_ROWS {
                return Err(self.schema.error(Problem::TooManyRows));
            }
            let (end, newline) = self.records.last_line();
            visitor.row(&Row {
                schema: &self.schema,
                wanted,
                number: rows as u32,
                bytes: self.records.bytes(),
                ends: self.records.ends(),
                nulls: &[],
                lines: Lines::Csv { end, newline },
            })?;
            rows += 1;
        }
    }

    fn check_header(&self) -> Result<(), IntakeError> {
        let line = Place::Line(self.records.first_line());
        // Names are kept and shown, values never are: a header that is a row must not pass as names.
        if let Some(at) = self.schema.columns.iter().position(|column| is_identifier(&column.name)) {
            return Err(self.schema.error(Problem::HeaderIsRow).at(line).in_column(&positional(at)));
        }
        self.schema.refuse_twins().map_err(|error| error.at(line))
    }
}

/// The delimiter that a first line such as `sep=;` names.
fn sep_line(records: &Records, delimiter: Delimiter) -> Option<char> {
    let (bytes, ends) = (records.bytes(), records.ends());
    let named = bytes.strip_prefix(b"sep=")?;
    match (ends.len(), named) {
        // It was read as what stands between two cells.
        (2, []) if ends[0] == bytes.len() => Some(char::from(delimiter.byte())),
        (1, &[named]) => Some(char::from(named)),
        _ => None,
    }
}

/// Names from the header; a column without one is called by its position, in words that are no other column's.
fn columns(records: &Records, header: bool) -> Vec<Column> {
    let mut start = 0;
    let cell = |&end: &usize| &records.bytes()[std::mem::replace(&mut start, end)..end];
    let cells: Vec<&[u8]> = records.ends().iter().map(cell).collect();
    let unnamed = |at: usize| {
        let mut name = positional(at);
        while header && cells.contains(&name.as_bytes()) {
            name.push_str("_unnamed");
        }
        name
    };
    let name = |(at, cell): (usize, &&[u8])| match header && !cell.is_empty() {
        true => String::from_utf8_lossy(cell).into(),
        false => unnamed(at),
    };
    let column = |named| Column { name: name(named), kind: Kind::Text, leaf: None };
    cells.iter().enumerate().map(column).collect()
}

/// Something that is surely a person's identifier and no name of a column.
fn is_identifier(name: &str) -> bool {
    let mut scratch = Vec::new();
    let has_shape = Profile::ALL
        .iter()
        .filter(|profile| !matches!(profile, Profile::Raw | Profile::TrimCasefold))
        .any(|profile| profile.normalise(name.as_bytes(), &mut scratch).is_ok());
    // Nine digits in a row: account and card numbers. Honest names have the digits of a date, or of a moment behind a word.
    let runs = || name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit());
    let is_number = |run: &[u8]| run.len() >= 9 && (run.len() == name.len() || !is_moment(run));
    has_shape || runs().any(is_number)
}

/// Digits that begin with a day of these two centuries and go on with a time, to the hour, minute or second.
fn is_moment(digits: &[u8]) -> bool {
    let is_day = matches!(&digits[..2], b"19" | b"20") && is_date(&digits[..8]);
    let is_below = |at, most: &[u8]| digits.get(at..at + 2).is_none_or(|part| part < most);
    matches!(digits.len(), 10 | 12 | 14) && is_day && is_below(8, b"24") && is_below(10, b"60") && is_below(12, b"60")
}

fn blame(schema: &Schema, broken: Broken) -> IntakeError {
    let error = match broken.line {
        Some(line) => schema.error(broken.problem).at(Place::Line(line)),
        None => schema.error(broken.problem),
    };
    match broken.cell {
        // In the header itself and in a row with too many cells, a column has no name.
        Some(cell) => error.in_column(&schema.label(cell)),
        None => error,
    }
}
