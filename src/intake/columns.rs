//! Values by column: numbers, amounts and categories, and which cells are missing.

use std::fmt;

use zeroize::Zeroizing;

use super::{ColumnKind, RowSet};

/// The values of some rows, column by column.
///
/// They are personal data: it prints no more than its size.
pub struct Columns {
    rows: usize,
    columns: Vec<Column>,
}

/// The values of one column.
pub struct Column {
    /// One value for each row; a missing cell has 0 in its place.
    pub values: Values,
    /// The rows whose cell is missing, from 0.
    pub missing: RowSet,
}

/// What the cells of a column were read as.
pub enum Values {
    /// Doubles, none of them infinite or NaN.
    Numbers(Vec<f64>),
    /// Whole numbers of the agreed unit.
    Decimals(Vec<i64>),
    /// Places in the dictionary of the column.
    Categories(Vec<u32>),
}

impl Columns {
    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The columns, in the order in which they were asked for.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns, to be taken apart.
    #[must_use]
    pub fn into_columns(self) -> Vec<Column> {
        self.columns
    }
}

impl fmt::Debug for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns")
            .field("rows", &self.rows)
            .field("columns", &self.columns.len())
            .finish_non_exhaustive()
    }
}

impl Column {
    /// The values of a column that was read as numbers.
    #[must_use]
    pub fn numbers(&self) -> Option<&[f64]> {
        if let Values::Numbers(values) = &self.values { Some(values) } else { None }
    }

    /// The values of a column that was read as decimals.
    #[must_use]
    pub fn decimals(&self) -> Option<&[i64]> {
        if let Values::Decimals(values) = &self.values { Some(values) } else { None }
    }

    /// The values of a column that was read as categories.
    #[must_use]
    pub fn categories(&self) -> Option<&[u32]> {
        if let Values::Categories(values) = &self.values { Some(values) } else { None }
    }
}

/// A cell as 64 bits: of a double, of a whole number, or of the number of a category in the order of first occurrence.
/// None if it is missing.
pub(super) type Cell = Option<u64>;

/// Room for cells by column, filled in any order.
pub(super) struct Grid {
    rows: usize,
    values: Vec<Zeroizing<Vec<u64>>>,
    missing: Vec<Vec<u8>>,
}

impl Grid {
    /// Room for so many rows.
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            rows,
            values: (0..columns).map(|_| Zeroizing::new(vec![0; rows])).collect(),
            missing: vec![vec![0; rows.div_ceil(8)]; columns],
        }
    }

    /// Bytes of one row, with those that mark missing cells; a little too many of few rows.
    pub(super) fn row_bytes(columns: usize) -> usize {
        columns * 8 + columns.div_ceil(8)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Makes room for more rows; those that are there stay.
    pub(super) fn grow(&mut self, rows: usize) {
        self.rows = self.rows.max(rows);
        for values in &mut self.values {
            let mut larger = Zeroizing::new(Vec::with_capacity(self.rows));
            larger.extend_from_slice(values);
            larger.resize(self.rows, 0);
            *values = larger;
        }
        self.missing.iter_mut().for_each(|missing| missing.resize(self.rows.div_ceil(8), 0));
    }

    /// Puts the cells of a row, none of which was put there before, into their places.
    pub(super) fn put(&mut self, row: usize, cells: &[Cell]) {
        for ((values, missing), cell) in self.values.iter_mut().zip(&mut self.missing).zip(cells) {
            match cell {
                Some(value) => values[row] = *value,
                None => missing[row / 8] |= 1 << (row % 8),
            }
        }
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        self.values.iter_mut().for_each(|values| values.fill(0));
        self.missing.iter_mut().for_each(|missing| missing.fill(0));
    }

    /// The first `rows` rows as bytes: of each column its values, then a bit for each missing cell.
    pub(super) fn encode(&self, rows: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.values.len() * (rows * 8 + rows.div_ceil(8)) + 16);
        for (values, missing) in self.values.iter().zip(&self.missing) {
            values[..rows].iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
            bytes.extend_from_slice(&missing[..rows.div_ceil(8)]);
        }
        bytes
    }

    /// What [`Grid::encode`] has written, if it is that.
    pub(super) fn decode(columns: usize, rows: usize, bytes: &[u8]) -> Option<Self> {
        let mut grid = Self { rows, values: Vec::with_capacity(columns), missing: Vec::with_capacity(columns) };
        let mut rest = bytes;
        for _ in 0..columns {
            let (values, after) = rest.split_at_checked(rows * 8)?;
            let (missing, after) = after.split_at_checked(rows.div_ceil(8))?;
            grid.values
                .push(Zeroizing::new(values.as_chunks().0.iter().map(|value| u64::from_le_bytes(*value)).collect()));
            grid.missing.push(missing.to_vec());
            rest = after;
        }
        rest.is_empty().then_some(grid)
    }

    /// The first `rows` rows as values. `renumbered` tells, for each column of categories, the final number of each.
    pub(super) fn into_columns(mut self, rows: usize, kinds: &[ColumnKind], renumbered: &[Vec<u32>]) -> Columns {
        let mut columns = Vec::with_capacity(kinds.len());
        for (at, kind) in kinds.iter().enumerate() {
            let mut values = std::mem::take(&mut *self.values[at]);
            values.truncate(rows);
            let mut missing = RowSet::with_rows(rows as u64);
            let bits = std::mem::take(&mut self.missing[at]);
            for row in (0..rows).filter(|row| bits[row / 8] & 1 << (row % 8) != 0) {
                missing.insert(row as u32);
            }
            let number = |(row, code): (u32, &u64)| {
                let of = |code: u64| renumbered[at].get(code as usize).copied();
                if missing.contains(row) { 0 } else { of(*code).unwrap_or_default() }
            };
            // Values of the same width stay in the buffer that they are in.
            let values = match kind {
                ColumnKind::Number => Values::Numbers(values.into_iter().map(f64::from_bits).collect()),
                ColumnKind::Decimal { .. } => Values::Decimals(values.into_iter().map(|bits| bits as i64).collect()),
                ColumnKind::Category => {
                    Values::Categories((0..).zip(Zeroizing::new(values).iter()).map(number).collect())
                }
            };
            columns.push(Column { values, missing });
        }
        Columns { rows, columns }
    }
}
