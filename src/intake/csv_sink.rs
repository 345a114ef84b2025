//! Rows to CSV.

use std::io::{self, Write};

use super::kind::{Kind, NoText};
use super::row::Column;
use super::{Delimiter, Problem};

/// Bytes gathered before they are written.
const BUFFER: usize = 1 << 18;

pub(super) struct CsvSink<W: Write> {
    writer: csv::Writer<W>,
    kinds: Vec<Kind>,
    /// The column of the next cell.
    at: usize,
    scratch: Vec<u8>,
}

impl<W: Write> CsvSink<W> {
    pub(super) fn new<'a>(
        columns: impl Iterator<Item = &'a Column> + Clone,
        delimiter: Delimiter,
        header: bool,
        writer: W,
    ) -> Result<Self, Problem> {
        let mut writer =
            csv::WriterBuilder::new().delimiter(delimiter.byte()).buffer_capacity(BUFFER).from_writer(writer);
        if header {
            writer.write_record(columns.clone().map(|column| &column.name)).map_err(writing)?;
        }
        Ok(Self { writer, kinds: columns.map(|column| column.kind.clone()).collect(), at: 0, scratch: Vec::new() })
    }

    pub(super) fn cell(&mut self, cell: Option<&[u8]>) -> Result<(), Problem> {
        let kind = &self.kinds[self.at];
        self.at += 1;
        let text = match cell {
            None => Ok(&[][..]),
            Some(cell) => kind.text(cell, &mut self.scratch),
        };
        let text = text.map_err(|NoText| Problem::Unprintable { found: kind.to_string() })?;
        self.writer.write_field(text).map_err(writing)
    }

    pub(super) fn end_row(&mut self) -> Result<(), Problem> {
        self.at = 0;
        self.writer.write_record(None::<&[u8]>).map_err(writing)
    }

    pub(super) fn finish(mut self) -> Result<(), Problem> {
        self.writer.flush().map_err(|error| Problem::Writing(error.kind()))
    }
}

fn writing(error: csv::Error) -> Problem {
    Problem::Writing(match error.kind() {
        csv::ErrorKind::Io(error) => error.kind(),
        // Rows have as many cells as the header by construction.
        _ => io::ErrorKind::Other,
    })
}
