//! What the store keeps of a dataset. Never its rows.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// How to read the file.
    pub format: Value,
    /// Its columns.
    pub columns: Value,
    /// The columns that rows can be matched by.
    pub keys: Vec<DatasetKey>,
    /// What to do with duplicates, invalid cells and the like.
    pub settings: Value,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub size: u64,
    /// The digest of the file, with its algorithm: `sha256:` and hexadecimal digits.
    pub digest: String,
    /// When the name was first added.
    pub added_at: Timestamp,
    /// When it last got new content.
    pub replaced_at: Option<Timestamp>,
}

/// A column that rows can be matched by, and how its cells are normalised.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetKey {
    /// The column.
    pub column: String,
    /// The normalisation profile.
    pub profile: String,
}

/// A dataset to add; the fields are those of [`Dataset`].
#[derive(Clone, Debug, PartialEq)]
pub struct NewDataset {
    /// 1 to 64 characters of `a-z`, `0-9`, `-`, `_` and `.`.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// How to read the file.
    pub format: Value,
    /// Its columns.
    pub columns: Value,
    /// The columns that rows can be matched by.
    pub keys: Vec<DatasetKey>,
    /// What to do with duplicates, invalid cells and the like.
    pub settings: Value,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub size: u64,
    /// The digest of the file, with its algorithm: `sha256:` and hexadecimal digits.
    pub digest: String,
}
