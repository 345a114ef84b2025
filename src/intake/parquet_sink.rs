//! Rows to Parquet.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FixedLenByteArray, FixedLenByteArrayType, FloatType,
    Int32Type, Int64Type, Int96, Int96Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{Type, TypePtr};

use super::Problem;
use super::row::Column;

/// Rows and bytes gathered before they are written as one row group, whichever comes first.
const GROUP_ROWS: usize = 1 << 17;
const GROUP_BYTES: usize = 1 << 24;

pub(super) struct ParquetSink<W: Write + Send> {
    writer: SerializedFileWriter<W>,
    columns: Vec<Gathered>,
    /// The column of the next cell.
    at: usize,
    rows: usize,
    bytes: usize,
}

/// The cells of one column that are not written yet.
struct Gathered {
    of: TypePtr,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// 1 for a cell, 0 for a null.
    levels: Vec<i16>,
}

impl<W: Write + Send> ParquetSink<W> {
    pub(super) fn new<'a>(columns: impl Iterator<Item = &'a Column>, writer: W) -> Result<Self, Problem> {
        let types = columns.map(leaf).collect::<Result<Vec<_>, _>>().map_err(writing)?;
        let schema = Type::group_type_builder("rows").with_fields(types.clone()).build().map_err(writing)?;
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = SerializedFileWriter::new(writer, Arc::new(schema), Arc::new(properties)).map_err(writing)?;
        let gathered = |of| Gathered { of, bytes: Vec::new(), ends: Vec::new(), levels: Vec::new() };
        Ok(Self { writer, columns: types.into_iter().map(gathered).collect(), at: 0, rows: 0, bytes: 0 })
    }

    pub(super) fn cell(&mut self, cell: Option<&[u8]>) {
        let column = &mut self.columns[self.at];
        self.at += 1;
        column.levels.push(i16::from(cell.is_some()));
        if let Some(cell) = cell {
            column.bytes.extend_from_slice(cell);
            column.ends.push(column.bytes.len());
            self.bytes += cell.len();
        }
    }

    pub(super) fn end_row(&mut self) -> Result<(), Problem> {
        self.at = 0;
        self.rows += 1;
        if self.rows == GROUP_ROWS || self.bytes >= GROUP_BYTES { self.write_group().map_err(writing) } else { Ok(()) }
    }

    pub(super) fn finish(mut self) -> Result<(), Problem> {
        if self.rows > 0 {
            self.write_group().map_err(writing)?;
        }
        self.writer.close().map(drop).map_err(writing)
    }

    fn write_group(&mut self) -> Result<(), ParquetError> {
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            // A group has one writer for each column of the schema.
            if let Some(mut writer) = group.next_column()? {
                column.write(&mut writer)?;
                writer.close()?;
            }
        }
        group.close()?;
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

/// The type under which a column is written: that of the Parquet file it came from, or text.
fn leaf(column: &Column) -> Result<TypePtr, ParquetError> {
    match &column.leaf {
        Some(leaf) => Ok(leaf.of.clone()),
        None => Type::primitive_type_builder(&column.name, Physical::BYTE_ARRAY)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::String))
            .build()
            .map(Arc::new),
    }
}

impl Gathered {
    fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        match self.of.get_physical_type() {
            Physical::BOOLEAN => self.write_as::<BoolType>(writer, |cell| Some(cell == [1])),
            Physical::INT32 => self.write_as::<Int32Type>(writer, |cell| array(cell).map(i32::from_le_bytes)),
            Physical::INT64 => self.write_as::<Int64Type>(writer, |cell| array(cell).map(i64::from_le_bytes)),
            Physical::INT96 => self.write_as::<Int96Type>(writer, int96),
            Physical::FLOAT => self.write_as::<FloatType>(writer, |cell| array(cell).map(f32::from_le_bytes)),
            Physical::DOUBLE => self.write_as::<DoubleType>(writer, |cell| array(cell).map(f64::from_le_bytes)),
            Physical::BYTE_ARRAY => self.write_slices::<ByteArrayType>(writer, |cell| cell),
            Physical::FIXED_LEN_BYTE_ARRAY => {
                self.write_slices::<FixedLenByteArrayType>(writer, FixedLenByteArray::from)
            }
        }
    }

    fn write_as<T: DataType>(
        &mut self,
        writer: &mut SerializedColumnWriter<'_>,
        value: impl Fn(&[u8]) -> Option<T::T>,
    ) -> Result<(), ParquetError> {
        let values: Option<Vec<_>> = self.ranges().map(|range| value(&self.bytes[range])).collect();
        // The cells come from a column of this very type.
        let values = values.ok_or_else(|| ParquetError::General("a cell of another type".into()))?;
        self.bytes.clear();
        self.write_values::<T>(writer, &values)
    }

    /// Cells of any length share the buffer that they were gathered in.
    fn write_slices<T: DataType>(
        &mut self,
        writer: &mut SerializedColumnWriter<'_>,
        value: impl Fn(ByteArray) -> T::T,
    ) -> Result<(), ParquetError> {
        let bytes = Bytes::from(std::mem::take(&mut self.bytes));
        let values: Vec<_> = self.ranges().map(|range| value(ByteArray::from(bytes.slice(range)))).collect();
        self.write_values::<T>(writer, &values)
    }

    fn write_values<T: DataType>(
        &mut self,
        writer: &mut SerializedColumnWriter<'_>,
        values: &[T::T],
    ) -> Result<(), ParquetError> {
        let optional = self.of.get_basic_info().repetition() == Repetition::OPTIONAL;
        writer.typed::<T>().write_batch(values, optional.then_some(&self.levels), None)?;
        self.ends.clear();
        self.levels.clear();
        Ok(())
    }

    fn ranges(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| start..end)
    }
}

fn array<const N: usize>(cell: &[u8]) -> Option<[u8; N]> {
    cell.try_into().ok()
}

fn int96(cell: &[u8]) -> Option<Int96> {
    let word = |at: usize| cell.get(at..at + 4).and_then(array).map(u32::from_le_bytes);
    let mut value = Int96::new();
    value.set_data(word(0)?, word(4)?, word(8)?);
    Some(value)
}

fn writing(error: ParquetError) -> Problem {
    Problem::Writing(match error {
        ParquetError::External(error) => error.downcast_ref().map_or(io::ErrorKind::Other, io::Error::kind),
        _ => io::ErrorKind::Other,
    })
}
