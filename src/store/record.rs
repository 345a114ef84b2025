//! Statements and rows: how values go into a table and come back, with every failure typed.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Decode, Row as _, Sqlite, Type};

use super::StoreError;

/// A statement with its values; `$1`, `$2`… in the text, which SQLite and PostgreSQL both read.
pub(crate) type Statement = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

pub(crate) fn statement(sql: &'static str) -> Statement {
    sqlx::query(sql)
}

/// A statement over rows of values, however many there are.
pub(crate) type ManyRows = sqlx::QueryBuilder<Sqlite>;

/// One row that was read. What cannot be read means a damaged file, and is said so.
pub(crate) struct Row {
    pub(crate) row: SqliteRow,
    pub(crate) path: Arc<Path>,
}

impl Row {
    pub(crate) fn get<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, column: &str) -> Result<T, StoreError> {
        self.row.try_get(column).map_err(|_| self.damaged(column))
    }

    /// A text that stands for a value.
    pub(crate) fn parse<T: FromStr>(&self, column: &str) -> Result<T, StoreError> {
        self.parse_optional(column)?.ok_or_else(|| self.damaged(column))
    }

    pub(crate) fn parse_optional<T: FromStr>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text: Option<String> = self.get(column)?;
        text.map(|text| text.parse().map_err(|_| self.damaged(column))).transpose()
    }

    pub(crate) fn count(&self, column: &str) -> Result<u64, StoreError> {
        self.count_optional(column)?.ok_or_else(|| self.damaged(column))
    }

    pub(crate) fn count_optional(&self, column: &str) -> Result<Option<u64>, StoreError> {
        let number: Option<i64> = self.get(column)?;
        number.map(|number| number.try_into().map_err(|_| self.damaged(column))).transpose()
    }

    pub(crate) fn json(&self, column: &str) -> Result<Value, StoreError> {
        self.parse(column)
    }

    pub(crate) fn damaged(&self, column: &str) -> StoreError {
        StoreError::corrupt(&self.path, format_args!("column {column} of a row cannot be read"))
    }
}

/// A moment to the millisecond: what comes back from the store equals what went in.
pub(crate) fn rounded(at: Timestamp) -> Timestamp {
    // Milliseconds of a timestamp always make a timestamp again.
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// A moment as it is stored: RFC 3339 in UTC with milliseconds, so that texts sort by time.
pub(crate) fn moment(at: Timestamp) -> String {
    format!("{:.3}", rounded(at))
}

/// A count as it is stored.
pub(crate) fn count(what: &'static str, number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::invalid(what, "it is larger than any count can be"))
}

pub(crate) fn count_optional(what: &'static str, number: Option<u64>) -> Result<Option<i64>, StoreError> {
    number.map(|number| count(what, number)).transpose()
}

/// An optional value by its text.
pub(crate) fn text_optional<T: Display>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}
