//! Result rows: the owner's chosen columns of the chosen rows, in the order of the file or in an agreed order.

use std::io::Write;

use serde::{Deserialize, Serialize};

use super::ordered::{Reading, write_ordered};
use super::pass::Pass;
use super::row::{Row, Schema, Visitor};
use super::selection::{InOrder, Selection};
use super::sink::{OutputFormat, Sink};
use super::{Budget, FileDigest, IntakeError, Problem, Source};

/// What to write of each row, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The columns, in this order; all columns of the file if empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// The format.
    pub format: OutputFormat,
}

/// Writes the selected rows of a file to `writer` and says how many.
///
/// The file is read again from its beginning and hashed meanwhile; with `expected`, a changed file is refused. Rows in
/// the order of the file stream through. Rows in another order are held in memory: if those selected do not fit into
/// `budget`, the file is read several times, each time for the rows that come next.
///
/// After an error, `writer` holds a piece of the result that the caller must throw away: whether the file is the
/// registered one is known only at its end.
///
/// # Errors
/// Every way in which the file cannot be read; a column that does not exist or has no text; a row that does not exist;
/// a failing `writer`.
pub fn write_rows<W: Write + Send>(
    source: &Source,
    expected: Option<&FileDigest>,
    selection: &Selection,
    output: &Output,
    budget: &Budget<'_>,
    writer: W,
) -> Result<u64, IntakeError> {
    let pass = Pass::open(source, expected, budget)?;
    let wanted = output_columns(pass.schema(), output).map_err(|error| pass.unless_changed(error))?;
    let mut sink = Sink::new(pass.schema(), &wanted, &output.format, writer)?;
    let in_order = match selection {
        Selection::All => InOrder::all(),
        Selection::InputOrder(rows) => InOrder::ascending(rows).map_err(|problem| pass.schema().error(problem))?,
        Selection::Marked(rows) => InOrder::marked(rows),
        Selection::Ordered(rows) => {
            let file = Reading { source, expected, wanted: &wanted, names: names(pass.schema(), &wanted), budget };
            write_ordered(&file, &mut Some(pass), rows, &mut sink)?;
            sink.finish().map_err(|problem| IntakeError::of(&source.path, problem))?;
            return Ok(rows.len() as u64);
        }
    };
    let mut chosen = Chosen { rows: in_order, sink: &mut sink };
    pass.visit(&wanted, &mut chosen)?;
    chosen.rows.finish(&source.path)?;
    let rows = chosen.rows.taken;
    sink.finish().map_err(|problem| IntakeError::of(&source.path, problem))?;
    Ok(rows)
}

/// [`write_rows`] for rows in an agreed order that come in pieces: each is read, found in the file and written before
/// the next is asked for, so only one is in memory.
///
/// # Errors
/// As [`write_rows`], and what `pieces` gives instead of rows.
pub fn write_pieces<W: Write + Send, E: From<IntakeError>>(
    source: &Source,
    expected: Option<&FileDigest>,
    pieces: impl Iterator<Item = Result<Vec<u32>, E>>,
    output: &Output,
    budget: &Budget<'_>,
    writer: W,
) -> Result<u64, E> {
    let pass = Pass::open(source, expected, budget)?;
    let wanted = output_columns(pass.schema(), output).map_err(|error| pass.unless_changed(error))?;
    let mut sink = Sink::new(pass.schema(), &wanted, &output.format, writer)?;
    let file = Reading { source, expected, wanted: &wanted, names: names(pass.schema(), &wanted), budget };
    let mut first = Some(pass);
    let mut written = 0;
    for piece in pieces {
        let piece = piece?;
        write_ordered(&file, &mut first, &piece, &mut sink)?;
        written += piece.len() as u64;
    }
    if first.is_some() {
        // Nothing is to be written, and the file is looked at all the same.
        write_ordered(&file, &mut first, &[], &mut sink)?;
    }
    sink.finish().map_err(|problem| IntakeError::of(&source.path, problem))?;
    Ok(written)
}

fn names(schema: &Schema, wanted: &[usize]) -> Vec<String> {
    wanted.iter().map(|&at| schema.label(at)).collect()
}

fn output_columns(schema: &Schema, output: &Output) -> Result<Vec<usize>, IntakeError> {
    let wanted: Vec<usize> = match output.columns.as_slice() {
        [] => (0..schema.columns.len()).collect(),
        names => names.iter().map(|name| schema.find(name)).collect::<Result<_, _>>()?,
    };
    for (place, &at) in wanted.iter().enumerate() {
        let column = &schema.columns[at];
        if wanted[..place].contains(&at) {
            return Err(schema.error(Problem::TwoColumns).in_column(&schema.label(at)));
        }
        let (fits, into) = match output.format {
            OutputFormat::Csv { .. } => (column.kind.has_text(), "CSV"),
            OutputFormat::Parquet => (column.is_readable(), "Parquet"),
        };
        if !fits {
            let found = column.kind.to_string();
            return Err(schema.error(Problem::NotWritable { found, into }).in_column(&schema.label(at)));
        }
    }
    Ok(wanted)
}

/// Passes the chosen rows on as they come.
struct Chosen<'a, W: Write + Send> {
    rows: InOrder<'a>,
    sink: &'a mut Sink<W>,
}

impl<W: Write + Send> Visitor for Chosen<'_, W> {
    fn row(&mut self, row: &Row<'_>) -> Result<(), IntakeError> {
        if self.rows.takes(row.number) { self.sink.row(row) } else { Ok(()) }
    }
}
