//! One pass over a Parquet file: the wanted columns side by side, a thousand rows at a time.

use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use bytes::Bytes;
use parquet::basic::{CompressionCodec, Repetition};
use parquet::column::page::Page;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{AsBytes, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use super::kind::Kind;
use super::muffled::muffled;
use super::parquet_kind::kind;
use super::parquet_pages::{Handed, Pages, Room};
use super::records::{MAX_COLUMNS, MAX_RECORD};
use super::row::{Column, Leaf, Lines, MAX_ROWS, Row, Schema, Visitor};
use super::source::{OpenFile, PositionedReader};
use super::{Budget, Encoding, FileDigest, IntakeError, Place, Problem};

/// Rows taken from every column at a time, at most.
const BATCH: usize = 1024;
/// Cells taken at a time, if that is less.
const BATCH_CELLS: usize = 1 << 19;
/// What pages may take however little memory there is.
const LEAST_PAGES: usize = 1 << 24;
/// The same for the footer.
const LEAST_FOOTER: u64 = 1 << 20;
/// Memory that a byte of the footer may take once it is decoded.
const DECODED: u64 = 64;

pub(super) struct ParquetPass {
    pub(super) schema: Schema,
    file: OpenFile,
    /// The state of the file before anything was read of it.
    before: (u64, SystemTime),
    metadata: ParquetMetaData,
}

impl ParquetPass {
    pub(super) fn open(path: &Path, file: &OpenFile, budget: &Budget<'_>) -> Result<Self, IntakeError> {
        let fail = |problem| IntakeError::of(path, problem);
        let before = file.state().map_err(|error| fail(Problem::reading(&error)))?;
        let mut magic = [0; 4];
        match file.reader(0).read_exact(&mut magic) {
            Ok(()) if &magic == b"PAR1" => {}
            Ok(()) if &magic == b"PARE" => return Err(fail(Problem::Unsupported("an encrypted Parquet file".into()))),
            Ok(()) => return Err(fail(Problem::NotParquet)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(fail(Problem::NotParquet)),
            Err(error) => return Err(fail(Problem::reading(&error))),
        }
        let room = (budget.memory() as u64 / DECODED).max(LEAST_FOOTER);
        if footer(file).map_err(|error| fail(Problem::reading(&error)))? > room {
            return Err(fail(Problem::FooterOverBudget { limit: room }));
        }
        let metadata = unharmed(|| ParquetMetaDataReader::new().parse_and_finish(file)).map_err(fail)?;
        if metadata.file_metadata().schema_descr().num_columns() > MAX_COLUMNS {
            return Err(fail(Problem::TooManyColumns { limit: MAX_COLUMNS }));
        }
        let schema = Schema { file: path.to_path_buf(), columns: columns(&metadata), names_are_known: false };
        schema.refuse_twins()?;
        Ok(Self { schema, file: file.clone(), before, metadata })
    }

    pub(super) fn visit(
        self,
        wanted: &[usize],
        budget: &Budget<'_>,
        visitor: &mut impl Visitor,
    ) -> Result<FileDigest, IntakeError> {
        let fail = |problem| self.schema.error(problem);
        let leaves = self.leaves(wanted)?;
        let digest = Digesting::start(self.file.clone()).map_err(|error| fail(Problem::reading(&error)))?;

        let groups = self.metadata.row_groups();
        let sizes: Option<Vec<u64>> = groups.iter().map(|group| u64::try_from(group.num_rows()).ok()).collect();
        let total = sizes.as_ref().and_then(|sizes| sizes.iter().try_fold(0u64, |sum, &size| sum.checked_add(size)));
        let (Some(sizes), Some(total)) = (sizes, total) else { return Err(fail(Problem::Damaged)) };
        if total > MAX_ROWS {
            return Err(fail(Problem::TooManyRows));
        }

        let most = (BATCH_CELLS / wanted.len().max(1)).clamp(1, BATCH);
        let mut room = Room::of_bytes((budget.memory() / 2).max(LEAST_PAGES));
        let mut table = Batch::default();
        let mut number = 0;
        for (group, &rows) in groups.iter().zip(&sizes) {
            room.clear();
            let open = |(leaf, &column): (&&Leaf, &usize)| {
                let reader = CellReader::open(&self.file, group.column(leaf.index), rows);
                reader.map_err(|problem| self.damaged(problem, number, column))
            };
            let mut columns = leaves.iter().zip(wanted).map(open).collect::<Result<Vec<_>, IntakeError>>()?;
            let mut left = rows;
            while left > 0 {
                // As many rows as every column has on the page at hand.
                let mut batch = left.min(most as u64) as usize;
                for (cells, &column) in columns.iter_mut().zip(wanted) {
                    let ready = cells.ready(&mut room).map_err(|problem| self.damaged(problem, number, column))?;
                    batch = batch.min(ready);
                }
                for (cells, &column) in columns.iter_mut().zip(wanted) {
                    cells.fill(batch).map_err(|problem| self.damaged(problem, number, column))?;
                }
                for _ in 0..batch {
                    table.clear();
                    for (cells, &column) in columns.iter_mut().zip(wanted) {
                        table.push(cells.decoded.as_mut()).map_err(|problem| self.damaged(problem, number, column))?;
                        self.check_text(&table, column, number)?;
                    }
                    visitor.row(&Row {
                        schema: &self.schema,
                        wanted,
                        number,
                        bytes: &table.bytes,
                        ends: &table.ends,
                        nulls: &table.nulls,
                        lines: Lines::None,
                    })?;
                    number += 1;
                }
                left -= batch as u64;
                if u64::from(number) == batch as u64 {
                    visitor.expect_rows(total);
                }
                if !budget.goes_on(number.into(), total) {
                    return Err(fail(Problem::Stopped));
                }
            }
        }

        let digest = digest.finish().map_err(|error| fail(Problem::reading(&error)))?;
        // The pages and the digest were read apart: together they mean one file only if nobody wrote meanwhile.
        let after = self.file.state().map_err(|error| fail(Problem::reading(&error)))?;
        if self.before == after { Ok(digest) } else { Err(fail(Problem::Changed)) }
    }

    /// The leaves of the wanted columns; refuses columns that cannot be read here.
    fn leaves(&self, wanted: &[usize]) -> Result<Vec<&Leaf>, IntakeError> {
        let leaf = |&at: &usize| {
            let column = &self.schema.columns[at];
            let fail = |problem| self.schema.error(problem).in_column(&self.schema.label(at));
            let Some(leaf) = &column.leaf else {
                return Err(fail(Problem::NotWritable { found: column.kind.to_string(), into: "a row" }));
            };
            for group in self.metadata.row_groups() {
                let codec = group.columns().get(leaf.index).map(|chunk| chunk.compression_codec());
                match codec.ok_or_else(|| fail(Problem::Damaged))? {
                    CompressionCodec::UNCOMPRESSED | CompressionCodec::SNAPPY | CompressionCodec::ZSTD => {}
                    other => return Err(fail(Problem::Unsupported(format!("{other:?} compression")))),
                }
            }
            Ok(leaf)
        };
        wanted.iter().map(leaf).collect()
    }

    fn check_text(&self, table: &Batch, column: usize, number: u32) -> Result<(), IntakeError> {
        if self.schema.columns[column].kind == Kind::Text && std::str::from_utf8(table.last()).is_err() {
            let place = Place::Row(u64::from(number) + 1);
            return Err(self
                .schema
                .error(Problem::NotText(Encoding::Utf8))
                .at(place)
                .in_column(&self.schema.label(column)));
        }
        Ok(())
    }

    fn damaged(&self, problem: Problem, number: u32, column: usize) -> IntakeError {
        let place = Place::Row(u64::from(number) + 1);
        self.schema.error(problem).at(place).in_column(&self.schema.label(column))
    }
}

/// The columns at the top of the schema; groups and lists stand as one nested column each.
fn columns(metadata: &ParquetMetaData) -> Vec<Column> {
    let schema = metadata.file_metadata().schema_descr();
    let mut columns: Vec<Column> = Vec::new();
    let mut root = None;
    for index in 0..schema.num_columns() {
        if root.replace(schema.get_column_root_idx(index)) == Some(schema.get_column_root_idx(index)) {
            continue;
        }
        let of = schema.get_column_root_ptr(index);
        let name = of.name().to_owned();
        let is_flat = of.is_primitive() && of.get_basic_info().repetition() != Repetition::REPEATED;
        columns.push(if is_flat {
            Column { name, kind: kind(&schema.column(index)), leaf: Some(Leaf { index, of }) }
        } else {
            Column { name, kind: Kind::Nested, leaf: None }
        });
    }
    columns
}

/// Bytes of the footer, as the end of the file says; 0 if there are not as many, which its reader finds out.
fn footer(file: &OpenFile) -> std::io::Result<u64> {
    let Some(end) = file.size.checked_sub(8) else { return Ok(0) };
    let mut length = [0; 4];
    file.reader(end).read_exact(&mut length)?;
    let length = u32::from_le_bytes(length).into();
    Ok(if length > end { 0 } else { length })
}

/// Calls into the Parquet decoder. Its messages may quote what stood in the file, so none of them is passed on. It
/// panics on some damaged files (negative offsets, a missing dictionary: seen by flipping bytes), which must not end
/// the process.
fn unharmed<T>(decode: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, Problem> {
    match muffled(decode) {
        Some(Ok(decoded)) => Ok(decoded),
        Some(Err(ParquetError::External(error))) => match error.downcast_ref::<std::io::Error>() {
            Some(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(Problem::reading(error)),
            _ => Err(Problem::Damaged),
        },
        Some(Err(_)) | None => Err(Problem::Damaged),
    }
}

/// One row at a time, in the layout of [`Row`].
#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    nulls: Vec<bool>,
}

impl Batch {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls.clear();
    }

    fn push(&mut self, cells: &mut dyn Cells) -> Result<(), Problem> {
        let cell = cells.take();
        if cell.is_some_and(|cell| cell.len() > MAX_RECORD - self.bytes.len()) {
            return Err(Problem::RowTooLong { limit: MAX_RECORD });
        }
        self.nulls.push(cell.is_none());
        self.bytes.extend_from_slice(cell.unwrap_or_default());
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The cell pushed last.
    fn last(&self) -> &[u8] {
        let start = self.ends.len().checked_sub(2).map_or(0, |before| self.ends[before]);
        &self.bytes[start..]
    }
}

/// One column of a row group: its pages, and the cells decoded from the page at hand.
struct CellReader {
    pages: Pages,
    hand: Sender<Page>,
    decoded: Box<dyn Cells>,
    /// Rows of the page at hand that were not decoded yet, and how many of them may be decoded at a time.
    left: usize,
    at_once: usize,
}

impl CellReader {
    fn open(file: &OpenFile, chunk: &ColumnChunkMetaData, rows: u64) -> Result<Self, Problem> {
        let pages = Pages::of(file.clone(), chunk, rows).ok_or(Problem::Damaged)?;
        let (hand, handed) = channel();
        let column = chunk.column_descr_ptr();
        let optional = column.self_type().get_basic_info().repetition() == Repetition::OPTIONAL;
        let reader = unharmed(|| Ok(get_column_reader(column, Box::new(Handed(handed)))))?;
        Ok(Self { pages, hand, decoded: cells(reader, optional), left: 0, at_once: 0 })
    }

    /// How many rows can be decoded now, at least one. Turns to the next page where one is at its end.
    fn ready(&mut self, room: &mut Room) -> Result<usize, Problem> {
        while self.left == 0 {
            let next = self.pages.next(room)?;
            (self.left, self.at_once) = (next.rows, next.at_once);
            self.hand.send(next.page).map_err(|_| Problem::Damaged)?;
        }
        Ok(self.left.min(self.at_once))
    }

    /// Decodes the next `rows` cells.
    fn fill(&mut self, rows: usize) -> Result<(), Problem> {
        self.left = self.left.checked_sub(rows).ok_or(Problem::Damaged)?;
        unharmed(|| self.decoded.fill(rows))
    }
}

/// The cells of one column, of the type it has.
trait Cells {
    /// Decodes the next `rows` cells.
    fn fill(&mut self, rows: usize) -> Result<(), ParquetError>;

    /// The next cell of those decoded; `None` for a null.
    fn take(&mut self) -> Option<&[u8]>;
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    optional: bool,
    levels: Vec<i16>,
    values: Vec<T::T>,
    row: usize,
    value: usize,
}

impl<T: DataType> Cells for Typed<T> {
    fn fill(&mut self, rows: usize) -> Result<(), ParquetError> {
        self.levels.clear();
        self.values.clear();
        (self.row, self.value) = (0, 0);
        let levels = self.optional.then_some(&mut self.levels);
        self.reader.read_records(rows, levels, None, &mut self.values)?;
        let present = if self.optional { self.levels.iter().filter(|&&level| level > 0).count() } else { rows };
        if self.optional && self.levels.len() != rows || self.values.len() != present {
            return Err(ParquetError::General("fewer cells than rows".into()));
        }
        Ok(())
    }

    fn take(&mut self) -> Option<&[u8]> {
        let present = !self.optional || self.levels[self.row] > 0;
        self.row += 1;
        if !present {
            return None;
        }
        self.value += 1;
        Some(self.values[self.value - 1].as_bytes())
    }
}

fn cells(reader: ColumnReader, optional: bool) -> Box<dyn Cells> {
    fn typed<T: DataType>(reader: ColumnReaderImpl<T>, optional: bool) -> Box<dyn Cells> {
        Box::new(Typed { reader, optional, levels: Vec::new(), values: Vec::new(), row: 0, value: 0 })
    }
    match reader {
        ColumnReader::BoolColumnReader(reader) => typed(reader, optional),
        ColumnReader::Int32ColumnReader(reader) => typed(reader, optional),
        ColumnReader::Int64ColumnReader(reader) => typed(reader, optional),
        ColumnReader::Int96ColumnReader(reader) => typed(reader, optional),
        ColumnReader::FloatColumnReader(reader) => typed(reader, optional),
        ColumnReader::DoubleColumnReader(reader) => typed(reader, optional),
        ColumnReader::ByteArrayColumnReader(reader) => typed(reader, optional),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => typed(reader, optional),
    }
}

/// The digest of a file, computed on a thread of its own.
struct Digesting {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<std::io::Result<FileDigest>>>,
}

impl Digesting {
    fn start(file: OpenFile) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let digest = move || file.digest_while(|| !stopped.load(Ordering::Relaxed));
        let thread = thread::Builder::new().name("intake".into()).spawn(digest)?;
        Ok(Self { stop, thread: Some(thread) })
    }

    fn finish(mut self) -> std::io::Result<FileDigest> {
        let digest = self.thread.take().and_then(|thread| thread.join().ok());
        digest.unwrap_or(Err(std::io::ErrorKind::Other.into()))
    }
}

impl Drop for Digesting {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Length for OpenFile {
    fn len(&self) -> u64 {
        self.size
    }
}

impl ChunkReader for OpenFile {
    type T = BufReader<PositionedReader>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        Ok(BufReader::new(self.reader(start)))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        // A damaged file may ask for more than it has: that much is never allocated.
        if start.checked_add(length as u64).is_none_or(|end| end > self.size) {
            return Err(ParquetError::EOF("beyond the end of the file".into()));
        }
        let mut buffer = vec![0; length];
        self.reader(start).read_exact(&mut buffer)?;
        Ok(buffer.into())
    }
}
