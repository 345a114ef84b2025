//! Rows to a file, in either format.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::csv_sink::CsvSink;
use super::parquet_sink::ParquetSink;
use super::row::{Row, Schema};
use super::{Delimiter, IntakeError, Problem};

/// How a result is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OutputFormat {
    /// CSV in UTF-8 with LF, cells quoted where they must be. A Parquet null is an empty cell.
    Csv {
        /// What stands between two cells.
        #[serde(default)]
        delimiter: Delimiter,
        /// Whether the first line holds the names of the columns.
        #[serde(default = "yes")]
        header: bool,
    },
    /// Parquet with snappy. Columns of a CSV file are text; columns of a Parquet file keep their types.
    Parquet,
}

fn yes() -> bool {
    true
}

/// Where rows go, in either format. Cells of a row come in the order of the columns, then the row ends.
pub(super) enum Sink<W: Write + Send> {
    Csv(Box<CsvSink<W>>),
    Parquet(Box<ParquetSink<W>>),
}

impl<W: Write + Send> Sink<W> {
    pub(super) fn new(
        schema: &Schema,
        wanted: &[usize],
        format: &OutputFormat,
        writer: W,
    ) -> Result<Self, IntakeError> {
        let columns = wanted.iter().map(|&at| &schema.columns[at]);
        match *format {
            OutputFormat::Csv { delimiter, header } => {
                CsvSink::new(columns, delimiter, header, writer).map(|sink| Self::Csv(Box::new(sink)))
            }
            OutputFormat::Parquet => ParquetSink::new(columns, writer).map(|sink| Self::Parquet(Box::new(sink))),
        }
        .map_err(|problem| schema.error(problem))
    }

    /// The next cell of the row; `None` is a null.
    pub(super) fn cell(&mut self, cell: Option<&[u8]>) -> Result<(), Problem> {
        match self {
            Self::Csv(sink) => sink.cell(cell),
            Self::Parquet(sink) => {
                sink.cell(cell);
                Ok(())
            }
        }
    }

    pub(super) fn end_row(&mut self) -> Result<(), Problem> {
        match self {
            Self::Csv(sink) => sink.end_row(),
            Self::Parquet(sink) => sink.end_row(),
        }
    }

    /// A row as it comes from the file.
    pub(super) fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        for at in 0..row.wanted.len() {
            self.cell(row.cell(at)).map_err(|problem| match problem {
                // The disk that takes the result is not at a place of the source.
                Problem::Writing(_) => row.schema.error(problem),
                _ => row.cell_error(at, problem),
            })?;
        }
        self.end_row().map_err(|problem| row.schema.error(problem))
    }

    pub(super) fn finish(self) -> Result<(), Problem> {
        match self {
            Self::Csv(sink) => sink.finish(),
            Self::Parquet(sink) => sink.finish(),
        }
    }
}
