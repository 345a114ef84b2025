//! Key columns that a program hands over in memory: a frame of Python, R or the like. Nothing of it touches a disk.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::kind::Kind;
use super::records::{MAX_COLUMNS, MAX_RECORD};
use super::row::{Column, Lines, MAX_ROWS, Row, Schema, Visitor};
use super::{Budget, FileDigest, IntakeError, Problem};

/// Rows between two looks at who may stop the reading.
const STRIDE: u32 = 1 << 16;
/// Rows after which a visitor is told how many there are.
const FIRST_ROWS: u32 = 1024;

/// Columns of cells in memory, whole and unchanging. A clone is the same frame.
///
/// It holds personal identifiers: it prints no more than its size.
#[derive(Clone)]
pub struct Frame(Arc<Table>);

struct Table {
    columns: Vec<String>,
    batches: Vec<Vec<Cells>>,
    rows: u64,
    memory: usize,
    digest: FileDigest,
}

/// The cells of one column in one batch.
struct Cells {
    bytes: Bytes,
    /// Where each cell ends in `bytes`; the top bit marks a null.
    ends: Vec<u32>,
}

const NULL: u32 = 1 << 31;

/// What was handed over is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedFrame {
    /// No column, too many of them, or two of one name.
    #[error("a frame has 1 to {MAX_COLUMNS} columns, none twice")]
    Columns,
    /// A batch whose columns differ in length, or are not those of the frame.
    #[error("every batch of a frame has all its columns, equally long")]
    Ragged,
    /// Lengths that do not add up to the bytes beside them, or a batch of 2 GiB.
    #[error("the lengths of a batch do not add up to its bytes")]
    Lengths,
    /// A cell longer than any record.
    #[error("a cell has more than {MAX_RECORD} bytes")]
    Cell,
    /// More rows than row numbers.
    #[error("more than 4294967295 rows")]
    Rows,
}

/// Takes a frame in, batch by batch.
pub struct FrameBuilder {
    columns: Vec<String>,
    batches: Vec<Vec<Cells>>,
    rows: u64,
    memory: usize,
    hash: Sha256,
    hashed: u64,
}

impl FrameBuilder {
    /// A frame with these columns and no row.
    ///
    /// # Errors
    /// [`MalformedFrame::Columns`].
    pub fn new(columns: Vec<String>) -> Result<Self, MalformedFrame> {
        let twice = columns.iter().enumerate().any(|(at, name)| columns[..at].contains(name));
        if columns.is_empty() || columns.len() > MAX_COLUMNS || twice {
            return Err(MalformedFrame::Columns);
        }
        let mut builder =
            Self { columns: Vec::new(), batches: Vec::new(), rows: 0, memory: 0, hash: Sha256::new(), hashed: 0 };
        for name in &columns {
            builder.hash_cell(Some(name.as_bytes()));
        }
        builder.columns = columns;
        Ok(builder)
    }

    /// Adds rows: for each column the bytes of its cells, one after the other, and a number for each cell: 0 for a
    /// null, else its length and one.
    ///
    /// # Errors
    /// [`MalformedFrame`]; the builder is of no use then.
    pub fn push(&mut self, batch: Vec<(Bytes, Vec<u32>)>) -> Result<(), MalformedFrame> {
        let rows = batch.first().map_or(0, |(_, lengths)| lengths.len());
        if batch.len() != self.columns.len() || batch.iter().any(|(_, lengths)| lengths.len() != rows) {
            return Err(MalformedFrame::Ragged);
        }
        self.rows += rows as u64;
        if self.rows > MAX_ROWS {
            return Err(MalformedFrame::Rows);
        }
        let cells =
            batch.into_iter().map(|(bytes, lengths)| Cells::new(bytes, lengths)).collect::<Result<Vec<_>, _>>()?;
        // Row by row, so that the digest does not depend on how the rows were cut into batches.
        for row in 0..rows {
            for column in &cells {
                self.hash_cell(column.get(row));
            }
        }
        self.memory += cells.iter().map(|column| column.bytes.len() + 4 * column.ends.len()).sum::<usize>();
        if rows > 0 {
            self.batches.push(cells);
        }
        Ok(())
    }

    /// Bytes of memory held so far.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// The frame.
    #[must_use]
    pub fn finish(self) -> Frame {
        let Self { columns, batches, rows, memory, hash, hashed } = self;
        Frame(Arc::new(Table { columns, batches, rows, memory, digest: FileDigest::of(hash, hashed) }))
    }

    fn hash_cell(&mut self, cell: Option<&[u8]>) {
        let length = cell.map_or(0, |cell| cell.len() as u32 + 1);
        self.hash.update(length.to_le_bytes());
        self.hash.update(cell.unwrap_or_default());
        self.hashed += 4 + cell.map_or(0, <[u8]>::len) as u64;
    }
}

impl Cells {
    fn new(bytes: Bytes, lengths: Vec<u32>) -> Result<Self, MalformedFrame> {
        let mut ends = lengths;
        let mut end = 0_u32;
        for length in &mut ends {
            let (size, mark) = length.checked_sub(1).map_or((0, NULL), |size| (size, 0));
            if size as usize > MAX_RECORD {
                return Err(MalformedFrame::Cell);
            }
            end = end.checked_add(size).filter(|end| *end < NULL).ok_or(MalformedFrame::Lengths)?;
            *length = end | mark;
        }
        if end as usize == bytes.len() { Ok(Self { bytes, ends }) } else { Err(MalformedFrame::Lengths) }
    }

    fn get(&self, row: usize) -> Option<&[u8]> {
        let start = if row == 0 { 0 } else { self.ends[row - 1] & !NULL };
        let end = self.ends[row];
        (end & NULL == 0).then(|| &self.bytes[start as usize..end as usize])
    }
}

impl Frame {
    /// What stands for a file name in errors.
    #[must_use]
    pub fn label() -> PathBuf {
        PathBuf::from("the frame")
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.0.rows
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.0.memory
    }

    /// Size and hash of names and cells, whatever the batches were.
    #[must_use]
    pub fn digest(&self) -> FileDigest {
        self.0.digest
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frame").field("rows", &self.0.rows).finish_non_exhaustive()
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Frame {}

/// One pass over a frame.
pub(super) struct FramePass {
    pub(super) schema: Schema,
    frame: Frame,
}

impl FramePass {
    pub(super) fn new(frame: &Frame) -> Self {
        let column = |name: &String| Column { name: name.clone(), kind: Kind::Bytes, leaf: None };
        let columns = frame.0.columns.iter().map(column).collect();
        Self { schema: Schema { file: Frame::label(), columns, names_are_known: false }, frame: frame.clone() }
    }

    pub(super) fn visit(
        self,
        wanted: &[usize],
        budget: &Budget<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<FileDigest, IntakeError> {
        let total = self.frame.rows();
        let (mut bytes, mut ends, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
        let mut number = 0_u32;
        for batch in &self.frame.0.batches {
            for row in 0..batch[0].ends.len() {
                bytes.clear();
                ends.clear();
                nulls.clear();
                for &column in wanted {
                    let cell = batch[column].get(row);
                    bytes.extend_from_slice(cell.unwrap_or_default());
                    ends.push(bytes.len());
                    nulls.push(cell.is_none());
                }
                let lines = Lines::None;
                let schema = &self.schema;
                visitor.row(&Row { schema, wanted, number, bytes: &bytes, ends: &ends, nulls: &nulls, lines })?;
                number += 1;
                if number == FIRST_ROWS {
                    visitor.expect_rows(total);
                }
                if number.is_multiple_of(STRIDE) && !budget.goes_on(number.into(), total) {
                    return Err(self.schema.error(Problem::Stopped));
                }
            }
        }
        Ok(self.frame.digest())
    }
}
