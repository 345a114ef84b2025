//! Which columns to read as values, and how.

use serde::{Deserialize, Serialize};

/// Different categories that one column may have.
pub const MAX_CATEGORIES: usize = 1 << 16;
/// Bytes that the name of a category may have.
pub const MAX_CATEGORY: usize = 1 << 10;
/// Decimal places that an amount may have.
pub const MAX_PLACES: u8 = 18;
/// Words that may stand for a missing cell in one column.
pub const MAX_MISSING_WORDS: usize = 64;

/// One column to read as values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// Its name in the file.
    pub column: String,
    /// What its cells are read as.
    pub kind: ColumnKind,
    /// What to do with cells that hold nothing.
    #[serde(default)]
    pub missing: Missing,
}

/// What cells are read as.
///
/// A number in text is decimal digits with at most one point, a sign before them and an exponent (`e3`) behind them if
/// need be; spaces and tabs around it do not count. No comma, separator of thousands, currency or per cent sign is
/// understood. In Parquet, whole numbers, decimals, floats, doubles and booleans (1 and 0) are numbers, and text is read
/// like that of CSV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ColumnKind {
    /// The double next to the number; zero has no sign. A number beyond all doubles is refused.
    Number,
    /// The number in units of `10^-places`, exactly: a cell with more places, or beyond 64 bits, is refused. A float of a
    /// Parquet file counts as the shortest decimal number that reads back as the same float.
    Decimal {
        /// At most [`MAX_PLACES`].
        places: u8,
    },
    /// One of a few words: the text of the cell, to the byte; of a Parquet type, its text in a CSV result. Categories are
    /// numbered in the order of their bytes, whatever the order of the rows.
    Category,
}

/// What to do with a cell that holds nothing: a null, an empty cell (of a number, also one of spaces and tabs), or a NaN
/// of a Parquet file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// Refuse the file at the first such cell.
    #[default]
    Error,
    /// Take it as missing.
    Allow {
        /// Texts of cells that are missing, too, such as `NA`: to the byte, but without the spaces and tabs around a number.
        #[serde(default)]
        words: Vec<String>,
    },
}
