//! What can go wrong with a file: which file, where in it, what, and how to mend it. Never what stood in a cell.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use rustix::io::Errno;

use super::{Encoding, Profile, Rule};
use crate::codes::{self, Error};

/// A file that cannot be used as asked, or a result that cannot be written.
///
/// It prints on one line: the file, the line (or row) and the column where they are known, the problem, the hint.
/// Values of cells are never printed. A header may be a row that was taken for one, so its cells are printed only once they
/// are known to be names: of a column that was asked for by its name, or of a file that was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntakeError {
    /// The file that was read.
    pub file: PathBuf,
    /// Where in the file.
    pub place: Option<Place>,
    /// The name of the column, where one cell or one column is at fault; `column_1`, `column_2`, … while it is not known
    /// whether the header holds names.
    pub column: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

/// A place in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A physical line of a CSV file, as an editor counts them.
    Line(u64),
    /// A row of a Parquet file, which has no lines.
    Row(u64),
}

impl IntakeError {
    pub(super) fn of(file: &std::path::Path, problem: Problem) -> Self {
        Self { file: file.to_path_buf(), place: None, column: None, problem }
    }

    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub(super) fn in_column(mut self, name: &str) -> Self {
        self.column = Some(name.to_owned());
        self
    }

    /// The stable code of the problem, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.problem.code()
    }
}

impl fmt::Display for IntakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        match self.place {
            Some(Place::Line(line)) => write!(f, ", line {line}")?,
            Some(Place::Row(row)) => write!(f, ", row {row}")?,
            None => {}
        }
        if let Some(column) = &self.column {
            write!(f, ", column {column:?}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

impl std::error::Error for IntakeError {}

impl From<IntakeError> for Error {
    fn from(error: IntakeError) -> Self {
        let code = match error.problem {
            Problem::Changed => codes::DATASET_CHANGED,
            Problem::Exhausted(_) => codes::SYSTEM,
            Problem::Spilling(ErrorKind::StorageFull | ErrorKind::FileTooLarge | ErrorKind::QuotaExceeded) => {
                codes::DISK_FULL
            }
            Problem::Spilling(_) | Problem::SpillDamaged => codes::STORE,
            _ => codes::DATASET_INPUT,
        };
        Self::new(code, error.to_string())
    }
}

/// What is wrong with a file, or with what was asked of it. Each text ends with the hint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is no such file.
    #[error("there is no such file; check the path")]
    Missing,
    /// The path names a directory, a pipe or a device.
    #[error("this is not a regular file; name the file itself")]
    NotAFile,
    /// The operating system refuses to open the file.
    #[error("the file may not be read; give the account that runs tacitly the right to read it")]
    Forbidden,
    /// The operating system failed while the file was read.
    #[error("reading failed ({0}); check the disk or the network share and try again")]
    Reading(io::ErrorKind),
    /// The operating system has no more of something that every program needs.
    #[error("not read through: this process has {0}; end other work or raise the limit, then try again")]
    Exhausted(&'static str),
    /// The bytes are not those that were registered.
    #[error("the file has changed since it was registered; register it again with `tacitly dataset add --replace`")]
    Changed,
    /// Not one row, nor a header.
    #[error("the file is empty; a CSV file needs at least its header line")]
    Empty,
    /// The file begins with the mark of another encoding than declared.
    #[error("the file is declared as {declared} but begins with the mark of {found}; {}", mark_hint(found))]
    OtherEncoding {
        /// As declared.
        declared: Encoding,
        /// What the byte order mark says.
        found: &'static str,
    },
    /// Bytes that the declared encoding cannot hold.
    #[error("the bytes are not valid {0}; mend the cell or, for CSV, declare the encoding the file was written in")]
    NotText(Encoding),
    /// A file of another kind, by its first bytes.
    #[error("this is {found} and no text; {mend}")]
    NoText {
        /// What it is.
        found: &'static str,
        /// What its owner can do.
        mend: &'static str,
    },
    /// A packed file that cannot be unpacked.
    #[error("the packed data is damaged or cut off; pack the file again")]
    DamagedPacking,
    /// A NUL byte.
    #[error("a NUL byte, which no text holds; export the file again as UTF-8 text (UTF-16 looks like this, too)")]
    NulByte,
    /// A record that does not end.
    #[error("the record is longer than {limit} bytes; check the line ends of the file and its delimiter")]
    RecordTooLong {
        /// Bytes that one record may have.
        limit: usize,
    },
    /// A quote that is never closed.
    #[error("the quote that opens here is never closed; close it, or double every quote inside the cell")]
    OpenQuote,
    /// Text between a closing quote and the next delimiter.
    #[error(
        "text follows the closing quote of the cell that begins here; \
         double the quotes inside a quoted cell, or close the quote that was left open"
    )]
    TextAfterQuote,
    /// A row with more or fewer cells than columns.
    #[error(
        "the row has {} where the file has {}; check delimiter and quoting of the row",
        counted(*found as u64, "cell"), counted(*expected as u64, "column")
    )]
    Ragged {
        /// Cells of this row.
        found: usize,
        /// Columns of the file.
        expected: usize,
    },
    /// More columns than any table has.
    #[error("more than {limit} columns; check the delimiter, or leave columns out")]
    TooManyColumns {
        /// Columns that a file may have.
        limit: usize,
    },
    /// One column twice in what was asked for.
    #[error("this column is asked for twice; ask for it once")]
    TwoColumns,
    /// Two columns of one name in a file.
    #[error(
        "columns {} have the same name; rename one of each, or, if the first line is a row, register the file with \
         --no-header: its columns are column_1, column_2, … then",
        twins.iter().map(|(first, second)| format!("{first} and {second}")).collect::<Vec<_>>().join(", ")
    )]
    SameName {
        /// The earlier and the later one of each pair, counted from 1.
        twins: Vec<(usize, usize)>,
    },
    /// The first line names the delimiter, as Excel writes it, and the file is read with another one.
    #[error("the first line says that the delimiter is another one; register the file with --delimiter {}", told(*delimiter))]
    SepLine {
        /// The one it names.
        delimiter: char,
    },
    /// The first line holds an identifier, so it is a row and no header.
    #[error(
        "the header line holds an identifier, so it seems to be a row; register the file with --no-header, or write \
         a line with the names of the columns above it"
    )]
    HeaderIsRow,
    /// There is no column of that name.
    #[error("there is no such column; {}", columns_there(*columns, near.as_deref(), known))]
    NoSuchColumn {
        /// How many columns the file has.
        columns: usize,
        /// A name in the file that differs in a character, in case or in white space from what was asked for.
        near: Option<String>,
        /// The names in order, of a file whose header is known to hold names; of any other none.
        known: Vec<String>,
    },
    /// More rows than row numbers.
    #[error("more than 4294967295 rows; split the file")]
    TooManyRows,
    /// Not a Parquet file.
    #[error("this is not a Parquet file; declare its format as CSV, or export it again")]
    NotParquet,
    /// A Parquet file that ends early or is damaged inside.
    #[error("the Parquet file is truncated or damaged; copy or export it again")]
    Damaged,
    /// Pages of a Parquet file that do not fit into the memory allowed.
    #[error(
        "the pages that have to be read together need more than {budget} bytes of memory; write the file with smaller \
         pages, register fewer columns, or allow more (`limits.memory_mib`)"
    )]
    PagesOverBudget {
        /// Bytes allowed.
        budget: u64,
    },
    /// A footer of a Parquet file that would not fit into the memory allowed.
    #[error(
        "the footer has more than {limit} bytes; write the file with fewer row groups or columns, or allow more memory \
         (`limits.memory_mib`)"
    )]
    FooterOverBudget {
        /// Bytes allowed.
        limit: u64,
    },
    /// A row of a Parquet file that is longer than any table's.
    #[error("the row is longer than {limit} bytes; leave out the column whose cells are so long, or shorten them")]
    RowTooLong {
        /// Bytes that one row may have.
        limit: usize,
    },
    /// A Parquet file written with something that this build does not read.
    #[error("{0} is not read here; write the file again with snappy, zstd or no compression")]
    Unsupported(String),
    /// A column whose type cannot be an identifier.
    #[error("a column of type {found} cannot be a key; store the identifier as text or as a whole number")]
    NotAKey {
        /// The type of the column.
        found: String,
    },
    /// A column that cannot be written to the result.
    #[error("a column of type {found} cannot be written as {into}; choose other columns or another format")]
    NotWritable {
        /// The type of the column.
        found: String,
        /// The format of the result.
        into: &'static str,
    },
    /// A value beyond what its own type can print, such as a date in the year 300000.
    #[error("the value does not fit the type {found} of its column; mend the cell or write the result as Parquet")]
    Unprintable {
        /// The type of the column.
        found: String,
    },
    /// A key without a column, or with the same column twice.
    #[error("a key needs at least one column and none twice; mend the key")]
    BadKey,
    /// A cell that its profile refuses.
    #[error("profile {profile} refuses the cell: {rule}; mend it, or choose `skip` for invalid rows")]
    Invalid {
        /// The profile of the column.
        profile: Profile,
        /// The rule that the cell breaks.
        rule: Rule,
    },
    /// A key that an earlier row has.
    #[error(
        "the row has the same key as {}; remove one, or choose `first` or `all` for duplicates",
        match first { Place::Line(line) => format!("line {line}"), Place::Row(row) => format!("row {row}") }
    )]
    Duplicate {
        /// The earlier row.
        first: Place,
    },
    /// The keys do not fit into the memory allowed.
    #[error("the keys need more than {budget} bytes of memory after {rows} rows; allow more, or split the file")]
    OverBudget {
        /// Bytes allowed.
        budget: usize,
        /// Rows read so far.
        rows: u64,
    },
    /// What does not fit into memory could not be laid aside on disk, or not be read back.
    #[error("rows could not be laid aside here ({0}); check free space and permissions of the party's folder")]
    Spilling(io::ErrorKind),
    /// What was laid aside is not what it was.
    #[error("rows that were laid aside here came back changed; check the disk, then start again")]
    SpillDamaged,
    /// Columns that cannot be asked for in this way.
    #[error("{0}")]
    BadColumns(&'static str),
    /// A column whose type cannot be read as asked.
    #[error("a column of type {found} cannot be read as {wanted}; choose another kind or another column")]
    NotOfKind {
        /// The type of the column.
        found: String,
        /// What was asked for.
        wanted: &'static str,
    },
    /// A cell that holds nothing in a column that has to be complete.
    #[error("the cell is missing; fill it, or allow missing cells in this column")]
    MissingCell,
    /// A cell that is no number.
    #[error(
        "the cell is no number: digits with at most one point, a sign before them and an exponent behind them, and no \
         separator of thousands; mend it, or name its text among the words for missing cells"
    )]
    NotANumber,
    /// A number beyond the range of its kind.
    #[error("the number is too large for its kind; mend the cell, or choose another kind or fewer places")]
    NumberTooLarge,
    /// An amount with more decimal places than were agreed.
    #[error("the number has more than {places} decimal places; mend the cell, or allow more places")]
    TooManyPlaces {
        /// Places allowed.
        places: u8,
    },
    /// More categories than any column has that is used as one.
    #[error("more than {limit} different categories; check that the column holds categories, not names or amounts")]
    TooManyCategories {
        /// Categories that a column may have.
        limit: usize,
    },
    /// A cell too long to be the name of a category.
    #[error("the category has more than {limit} bytes; check that the column holds categories, or shorten them")]
    CategoryTooLong {
        /// Bytes that a category may have.
        limit: usize,
    },
    /// The columns do not fit into the memory allowed.
    #[error("the columns need more than {budget} bytes of memory; allow more, or ask for fewer rows or columns")]
    ColumnsOverBudget {
        /// Bytes allowed.
        budget: usize,
    },
    /// Our caller stopped the reading.
    #[error("stopped on request; start again to read the file")]
    Stopped,
    /// Rows selected twice or out of order.
    #[error("the rows chosen are not in ascending order; select them from the keys of this file")]
    UnsortedSelection,
    /// A selected row that the file does not have.
    #[error("row {row} is chosen but the file has {rows}; select rows from the keys of this file")]
    NoSuchRow {
        /// The row asked for, counted from 1.
        row: u64,
        /// Rows of the file.
        rows: u64,
    },
    /// The result could not be written.
    #[error("the result could not be written ({0}); check free space and permissions where it goes")]
    Writing(io::ErrorKind),
}

impl Problem {
    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "file-missing",
            Self::NotAFile => "file-not-regular",
            Self::Forbidden => "file-forbidden",
            Self::Reading(_) => "file-reading",
            Self::Exhausted(_) => "system-exhausted",
            Self::Changed => "file-changed",
            Self::Empty => "file-empty",
            Self::OtherEncoding { .. } => "encoding-other",
            Self::NotText(_) => "encoding-invalid",
            Self::NoText { .. } => "file-no-text",
            Self::DamagedPacking => "file-packing-damaged",
            Self::NulByte => "csv-nul-byte",
            Self::RecordTooLong { .. } => "csv-record-too-long",
            Self::OpenQuote => "csv-open-quote",
            Self::TextAfterQuote => "csv-text-after-quote",
            Self::Ragged { .. } => "csv-ragged",
            Self::TooManyColumns { .. } => "columns-too-many",
            Self::TwoColumns | Self::SameName { .. } => "column-twice",
            Self::SepLine { .. } => "csv-delimiter",
            Self::HeaderIsRow => "csv-header-is-row",
            Self::NoSuchColumn { .. } => "column-missing",
            Self::TooManyRows => "rows-too-many",
            Self::NotParquet => "parquet-not",
            Self::Damaged => "parquet-damaged",
            Self::PagesOverBudget { .. } => "parquet-pages-over-budget",
            Self::FooterOverBudget { .. } => "parquet-footer-over-budget",
            Self::RowTooLong { .. } => "parquet-row-too-long",
            Self::Unsupported(_) => "parquet-unsupported",
            Self::NotAKey { .. } => "column-not-a-key",
            Self::NotWritable { .. } => "column-not-writable",
            Self::Unprintable { .. } => "cell-unprintable",
            Self::BadKey => "key-bad",
            Self::Invalid { .. } => "cell-invalid",
            Self::Duplicate { .. } => "key-duplicate",
            Self::OverBudget { .. } => "memory-over-budget",
            Self::Spilling(_) => "spill-writing",
            Self::SpillDamaged => "spill-damaged",
            Self::BadColumns(_) => "columns-bad",
            Self::NotOfKind { .. } => "column-not-of-kind",
            Self::MissingCell => "cell-missing",
            Self::NotANumber => "cell-not-a-number",
            Self::NumberTooLarge => "cell-number-too-large",
            Self::TooManyPlaces { .. } => "cell-too-many-places",
            Self::TooManyCategories { .. } => "categories-too-many",
            Self::CategoryTooLong { .. } => "category-too-long",
            Self::ColumnsOverBudget { .. } => "columns-over-budget",
            Self::Stopped => "stopped",
            Self::UnsortedSelection => "selection-unsorted",
            Self::NoSuchRow { .. } => "selection-row-missing",
            Self::Writing(_) => "result-writing",
        }
    }

    /// How a failure to lay rows aside is told.
    pub(super) fn spilling(error: &io::Error) -> Self {
        exhausted(error).map_or(Self::Spilling(error.kind()), Self::Exhausted)
    }

    /// How a failure to open or read a file is told.
    pub(super) fn reading(error: &io::Error) -> Self {
        if let Some(of) = exhausted(error) {
            return Self::Exhausted(of);
        }
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            io::ErrorKind::InvalidData => Self::DamagedPacking,
            kind => Self::Reading(kind),
        }
    }
}

/// What the system has no more of, if that is all.
fn exhausted(error: &io::Error) -> Option<&'static str> {
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some("no file descriptors left (`ulimit -n`)"),
        Errno::NFILE => Some("no file descriptors left: the whole machine has none"),
        Errno::NOMEM => Some("no memory left"),
        // Of a thread that could not be started.
        Errno::AGAIN => Some("no threads left (`ulimit -u`)"),
        _ => None,
    }
}

fn mark_hint(found: &str) -> &'static str {
    match found {
        "UTF-8" => "declare it as utf-8",
        "GB 18030" => "declare it as gb18030",
        _ => "export it again as UTF-8",
    }
}

/// What there is in place of a column that is not there.
/// A delimiter as the option takes it.
fn told(delimiter: char) -> String {
    if delimiter == '\t' { "tab".to_owned() } else { format!("'{delimiter}'") }
}

fn columns_there(columns: usize, near: Option<&str>, known: &[String]) -> String {
    let among = match columns {
        1 => "the file has 1 column".to_owned(),
        _ => format!("the file has {columns} columns"),
    };
    match near {
        _ if !known.is_empty() => {
            let names = known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
            format!("the file has {names}")
        }
        Some(near) => format!("{among}, one of them is {near:?}"),
        None if columns == 1 => {
            format!("{among}: check the delimiter, the spelling, and that the first line holds the names")
        }
        None => format!(
            "{among}: check the spelling, and that the first line holds the names; a file without such a line is \
             registered with --no-header, and its columns are column_1, column_2, …"
        ),
    }
}

fn counted(number: u64, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
