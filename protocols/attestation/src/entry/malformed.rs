//! Bytes that are no entry, and what every entry keeps to before its fields are read.

use super::refusal::EntryRefusal;
use crate::note::MalformedNote;

/// The first line of every entry.
pub const SCHEMA: &str = "tacitly-entry@v1";

/// The longest text of an entry: with the signatures of 128 parties under it, 130 bytes each at the most, it still fits a
/// log, whose format has room for entries of 65,535 bytes.
pub const MAX_TEXT_BYTES: usize = 48_800;

/// Bytes that are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MalformedEntry {
    /// The envelope is not a note.
    #[error(transparent)]
    Note(#[from] MalformedNote),
    /// Longer than a log can hold.
    #[error("an entry of {0} bytes: its text may have 48,800, with its signatures 65,535")]
    TooLong(usize),
    /// More signatures than any entry needs.
    #[error("more than 128 signatures, one for each party that a job can have")]
    TooManySignatures,
    /// The first line names another schema.
    #[error("the first line of an entry is \"{SCHEMA}\"")]
    Schema,
    /// The fields do not stand on one line.
    #[error("the fields stand on one line, with a line feed at its end")]
    Line,
    /// Not JSON, or JSON with values that entries do not have.
    #[error("the fields are not JSON of whole numbers, texts, lists and maps")]
    NotJson,
    /// JSON, but not in the one canonical form.
    #[error("the fields are not in canonical form (sorted keys, no white space, no repeated key)")]
    NotCanonical,
    /// A field is not as the schema declares it.
    #[error(transparent)]
    Refused(#[from] EntryRefusal),
}
