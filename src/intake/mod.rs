//! A bank's real files in, canonical keys out; later, result rows in its own columns.
//!
//! | step | function |
//! |---|---|
//! | what is in this file? | [`inspect`] |
//! | every row, word for word | [`visit_rows`] |
//! | which rows would take part? | [`dry_run`] |
//! | all that a registration takes, in one reading | [`survey`] |
//! | the distinct keys of a set | [`read_keys`], or [`partition_keys`] for sets larger than memory |
//! | why did nothing match? | [`hint`] |
//! | columns of chosen rows as numbers and categories | [`read_columns`], or [`spool_columns`] for more than memory holds |
//! | the rows of the result | [`write_rows`] |
//!
//! A [`Source`] is a CSV or Parquet file whose encoding is declared, never guessed, or a [`Frame`] in memory. A [`KeySpec`] says which columns
//! identify a row and by which [`Profile`] each is normalised. Every error names file, line and column and how to mend
//! it; none holds the value of a cell. Nothing here knows a network, a store, a job or a policy.

mod blocks;
mod budget;
mod canonical;
mod column_spec;
mod columns;
mod compact;
mod contents;
mod csv_pass;
mod csv_sink;
mod decimal;
mod delta;
mod distinct;
mod doubt;
mod encoding;
mod error;
mod exact;
mod frame;
mod gathering;
mod hint;
mod inspect;
mod keys;
mod kind;
mod muffled;
mod ordered;
mod output;
mod packing;
mod parquet_kind;
mod parquet_pages;
mod parquet_pass;
mod parquet_sink;
mod partition;
mod pass;
mod profile;
mod quotes;
mod records;
mod report;
mod row;
mod row_set;
mod selection;
mod sink;
mod source;
mod spill;
mod spool;
mod survey;
#[cfg(test)]
mod tests;
mod typed;
mod typing;

pub use budget::{Budget, Watch};
pub use canonical::{Duplicates, Invalid, KeyColumn, KeySpec, Refused};
pub use column_spec::{ColumnKind, ColumnSpec, MAX_CATEGORIES, MAX_CATEGORY, MAX_MISSING_WORDS, MAX_PLACES, Missing};
pub use columns::{Column, Columns, Values};
pub use contents::{ColumnInfo, FileDigest, Inspection};
pub use doubt::Doubt;
pub use encoding::{BadDelimiter, Delimiter, Encoding};
pub use error::{IntakeError, Place, Problem};
pub use exact::visit_rows;
pub use frame::{Frame, FrameBuilder, MalformedFrame};
pub use hint::{CharacterClasses, ColumnHint, Hint, Sketch, hint};
pub use inspect::inspect;
pub use keys::{Keys, dry_run, read_keys, visit_keys};
pub use output::{Output, write_pieces, write_rows};
pub use partition::{Cut, Partitioned, partition_keys};
pub use profile::{Profile, Rule, UnknownProfile};
pub use records::{MAX_COLUMNS, MAX_RECORD};
pub use report::{DoubtfulRows, InvalidRows, Report};
pub use row_set::RowSet;
pub use selection::Selection;
pub use sink::OutputFormat;
pub use source::{Format, Source};
pub use spool::{Layout, Spool, spool_columns, spool_pieces};
pub use survey::{Survey, survey};
pub use typed::{TypedColumns, read_columns};
