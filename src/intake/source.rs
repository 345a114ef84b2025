//! Which file, in which format, and what is in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Frame, IntakeError, Problem};

/// A file and how it is written. Both are declared by its owner; nothing is guessed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Where the file is.
    pub path: PathBuf,
    /// How it is written.
    pub format: Format,
}

/// How a file is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Format {
    /// Delimited text with double quotes (RFC 4180); lines end with LF, CR LF or CR.
    Csv {
        /// The encoding of the text.
        #[serde(default)]
        encoding: Encoding,
        /// What stands between two cells.
        #[serde(default)]
        delimiter: Delimiter,
        /// Whether the first line holds the names of the columns. Without it they are `column_1`, `column_2`, …
        #[serde(default = "yes")]
        header: bool,
    },
    /// Apache Parquet, uncompressed or with snappy or zstd. Columns inside groups and lists are not read.
    Parquet,
    /// No file: what a program handed over in memory. It has no written form.
    #[serde(skip)]
    Frame(Frame),
}

impl Format {
    /// CSV as most programs write it: UTF-8, commas, a header.
    pub const CSV: Self = Self::Csv { encoding: Encoding::Utf8, delimiter: Delimiter::COMMA, header: true };
}

fn yes() -> bool {
    true
}

/// The encoding of a text file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Encoding {
    /// UTF-8, with or without a byte order mark.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// GBK, as older Chinese systems write it.
    #[serde(rename = "gbk")]
    Gbk,
    /// GB 18030, which holds all of Unicode. It is read by the same decoder as GBK (WHATWG Encoding Standard).
    #[serde(rename = "gb18030")]
    Gb18030,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "UTF-8",
            Self::Gbk => "GBK",
            Self::Gb18030 => "GB 18030",
        })
    }
}

/// The one ASCII character between two cells of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "char", into = "char")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma.
    pub const COMMA: Self = Self(b',');

    pub(super) fn byte(self) -> u8 {
        self.0
    }
}

impl Default for Delimiter {
    fn default() -> Self {
        Self::COMMA
    }
}

/// A character that cannot stand between cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot separate cells; take one ASCII character that is no letter, digit, quote, line end or NUL")]
pub struct BadDelimiter(pub char);

impl TryFrom<char> for Delimiter {
    type Error = BadDelimiter;

    fn try_from(c: char) -> Result<Self, BadDelimiter> {
        match u8::try_from(c) {
            Ok(byte) if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\"\r\n\0".contains(&byte) => {
                Ok(Self(byte))
            }
            _ => Err(BadDelimiter(c)),
        }
    }
}

impl From<Delimiter> for char {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.0.into()
    }
}

/// Size and SHA-256 of a file: what was registered, and what every later reading must find again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileDigest {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of all bytes.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
}

impl FileDigest {
    /// The digest of the first `size` bytes, all of which went into `hash`.
    pub(super) fn of(hash: Sha256, size: u64) -> Self {
        Self { size, sha256: hash.finalize().into() }
    }
}

mod hex {
    use data_encoding::HEXLOWER;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8; 32], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 32], D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(D::Error::custom)?;
        bytes.try_into().map_err(|_| D::Error::custom("a SHA-256 digest has 64 hexadecimal digits"))
    }
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type in words; always `text` in CSV.
    pub type_name: String,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The columns, in order.
    pub columns: Vec<ColumnInfo>,
    /// Rows, without the header.
    pub rows: u64,
    /// Size and hash.
    pub digest: FileDigest,
}

/// A regular file, opened once. Everyone reads it at positions of his own, so that two threads can.
#[derive(Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    pub(super) size: u64,
}

impl OpenFile {
    pub(super) fn open(path: &Path) -> Result<Self, IntakeError> {
        let fail = |error: io::Error| IntakeError::of(path, Problem::reading(&error));
        // Looked at before it is opened: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(fail)?.is_file() {
            return Err(IntakeError::of(path, Problem::NotAFile));
        }
        let file = File::open(path).map_err(fail)?;
        let size = file.metadata().map_err(fail)?.len();
        Ok(Self { file: Arc::new(file), size })
    }

    /// The file from `position` on.
    pub(super) fn reader(&self, position: u64) -> PositionedReader {
        PositionedReader { file: self.file.clone(), position }
    }

    /// Size and time of last change, to notice a file that changes while it is read.
    pub(super) fn state(&self) -> io::Result<(u64, SystemTime)> {
        let metadata = self.file.metadata()?;
        Ok((metadata.len(), metadata.modified()?))
    }
}

/// A reader with its own position in a shared file.
pub(super) struct PositionedReader {
    file: Arc<File>,
    position: u64,
}

impl Read for PositionedReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}
