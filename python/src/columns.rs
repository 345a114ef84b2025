//! Columns that may be keys, cell by cell as bytes: text as it is, whole numbers in digits.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, Int16Type, Int32Type, UInt8Type, UInt16Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, Int64Array, LargeBinaryArray, LargeStringArray, PrimitiveArray,
    StringArray, StringViewArray, UInt64Array,
};
use arrow_schema::{ArrowError, DataType};

/// A column whose cells can be read as bytes.
pub(crate) enum Column {
    Text(StringArray),
    LargeText(LargeStringArray),
    TextView(StringViewArray),
    Bytes(BinaryArray),
    LargeBytes(LargeBinaryArray),
    BytesView(BinaryViewArray),
    Signed(Int64Array),
    Unsigned(UInt64Array),
    Nulls(usize),
}

/// The column cannot be a key.
pub(crate) enum NoKey {
    /// By its type.
    Type(DataType),
    /// It could not be unpacked.
    Arrow(ArrowError),
}

impl Column {
    /// Looks at a column as keys.
    pub(crate) fn new(array: &ArrayRef) -> Result<Self, NoKey> {
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Text(array.as_string().clone()),
            DataType::LargeUtf8 => Self::LargeText(array.as_string().clone()),
            DataType::Utf8View => Self::TextView(array.as_string_view().clone()),
            DataType::Binary => Self::Bytes(array.as_binary().clone()),
            DataType::LargeBinary => Self::LargeBytes(array.as_binary().clone()),
            DataType::BinaryView => Self::BytesView(array.as_binary_view().clone()),
            DataType::Int8 => Self::Signed(wide(array.as_primitive::<Int8Type>())),
            DataType::Int16 => Self::Signed(wide(array.as_primitive::<Int16Type>())),
            DataType::Int32 => Self::Signed(wide(array.as_primitive::<Int32Type>())),
            DataType::Int64 => Self::Signed(array.as_primitive().clone()),
            DataType::UInt8 => Self::Unsigned(wide_unsigned(array.as_primitive::<UInt8Type>())),
            DataType::UInt16 => Self::Unsigned(wide_unsigned(array.as_primitive::<UInt16Type>())),
            DataType::UInt32 => Self::Unsigned(wide_unsigned(array.as_primitive::<UInt32Type>())),
            DataType::UInt64 => Self::Unsigned(array.as_primitive().clone()),
            DataType::Null => Self::Nulls(array.len()),
            DataType::Dictionary(_, _) => {
                let packed = array.as_any_dictionary();
                let values = arrow_select::take::take(packed.values(), packed.keys(), None).map_err(NoKey::Arrow)?;
                return Self::new(&values);
            }
            other => return Err(NoKey::Type(other.clone())),
        })
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Text(array) => array.len(),
            Self::LargeText(array) => array.len(),
            Self::TextView(array) => array.len(),
            Self::Bytes(array) => array.len(),
            Self::LargeBytes(array) => array.len(),
            Self::BytesView(array) => array.len(),
            Self::Signed(array) => array.len(),
            Self::Unsigned(array) => array.len(),
            Self::Nulls(rows) => *rows,
        }
    }

    /// Appends a cell to `out`. Returns whether it is one: a null is none.
    pub(crate) fn append(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let cell = match self {
            Self::Text(array) => (!array.is_null(row)).then(|| array.value(row).as_bytes()),
            Self::LargeText(array) => (!array.is_null(row)).then(|| array.value(row).as_bytes()),
            Self::TextView(array) => (!array.is_null(row)).then(|| array.value(row).as_bytes()),
            Self::Bytes(array) => (!array.is_null(row)).then(|| array.value(row)),
            Self::LargeBytes(array) => (!array.is_null(row)).then(|| array.value(row)),
            Self::BytesView(array) => (!array.is_null(row)).then(|| array.value(row)),
            // Writing to a vector does not fail.
            Self::Signed(array) => return !array.is_null(row) && write!(out, "{}", array.value(row)).is_ok(),
            Self::Unsigned(array) => return !array.is_null(row) && write!(out, "{}", array.value(row)).is_ok(),
            Self::Nulls(_) => None,
        };
        out.extend_from_slice(cell.unwrap_or_default());
        cell.is_some()
    }
}

fn wide<T: arrow_array::ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> Int64Array
where
    i64: From<T::Native>,
{
    array.unary(i64::from)
}

fn wide_unsigned<T: arrow_array::ArrowPrimitiveType>(array: &PrimitiveArray<T>) -> UInt64Array
where
    u64: From<T::Native>,
{
    array.unary(u64::from)
}
