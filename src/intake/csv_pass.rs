//! One pass over a CSV file: the header once, then every row.

use std::path::Path;

use super::kind::Kind;
use super::profile::Profile;
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
        let mut records = Records::of(file.reader(0), encoding, delimiter).map_err(|problem| schema.error(problem))?;
        if !records.advance().map_err(|broken| blame(&schema, broken))? {
            return Err(schema.error(Problem::Empty));
        }
        schema.columns = columns(&records, header);
        let pass = Self { schema, records, size: file.size, row_waits: !header };
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

/// Names from the header; a column without one is called by its position.
fn columns(records: &Records, header: bool) -> Vec<Column> {
    let mut start = 0;
    let name = |(at, &end): (usize, &usize)| {
        let cell = &records.bytes()[std::mem::replace(&mut start, end)..end];
        let name = if header && !cell.is_empty() { String::from_utf8_lossy(cell).into() } else { positional(at) };
        Column { name, kind: Kind::Text, leaf: None }
    };
    records.ends().iter().enumerate().map(name).collect()
}

/// Something that is surely a person's identifier and no name of a column.
fn is_identifier(name: &str) -> bool {
    let mut scratch = Vec::new();
    let has_shape = Profile::ALL
        .iter()
        .filter(|profile| !matches!(profile, Profile::Raw | Profile::TrimCasefold))
        .any(|profile| profile.normalise(name.as_bytes(), &mut scratch).is_ok());
    // Nine digits in a row: account and card numbers. A date, the longest digits in honest names, has eight.
    has_shape || name.as_bytes().chunk_by(|a, b| a.is_ascii_digit() && b.is_ascii_digit()).any(|run| run.len() >= 9)
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
