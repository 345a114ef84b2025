//! Which file, in which format, and what is in it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{PROC_SUPER_MAGIC, fstatfs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::packing::{EXPANSION, Packing, no_text};
use super::{Delimiter, Encoding, FileDigest, Frame, IntakeError, Problem};

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

/// A regular file, opened once. Everyone reads it at positions of his own, so that two threads can.
#[derive(Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    pub(super) size: u64,
    packing: Option<Packing>,
}

impl OpenFile {
    pub(super) fn open(path: &Path) -> Result<Self, IntakeError> {
        let fail = |error: io::Error| IntakeError::of(path, Problem::reading(&error));
        // Looked at before it is opened: opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(fail)?.is_file() {
            return Err(IntakeError::of(path, Problem::NotAFile));
        }
        let file = File::open(path).map_err(fail)?;
        // What the kernel shows as files may make its readers wait for ever, and says of itself that it is empty.
        if fstatfs(&file).is_ok_and(|found| found.f_type == PROC_SUPER_MAGIC) {
            return Err(IntakeError::of(path, Problem::NotAFile));
        }
        let size = file.metadata().map_err(fail)?.len();
        let mut begins = [0; 16];
        let found = file.read_at(&mut begins, 0).map_err(fail)?;
        let packing = Packing::of(&begins[..found]);
        Ok(Self { file: Arc::new(file), size, packing })
    }

    /// Whether what is in it has another size than the file.
    pub(super) fn is_packed(&self) -> bool {
        self.packing.is_some()
    }

    /// Bytes of text in it, about if it is packed.
    pub(super) fn text_size(&self) -> u64 {
        if self.is_packed() { self.size.saturating_mul(EXPANSION) } else { self.size }
    }

    /// The text in it, unpacked.
    ///
    /// # Errors
    /// What the file is if it is no text, or why it cannot be read.
    pub(super) fn text(&self) -> Result<Box<dyn Read + Send>, Problem> {
        let told = |error: io::Error| Problem::reading(&error);
        let mut begins = [0; 16];
        let found = self.file.read_at(&mut begins, 0).map_err(told)?;
        match (self.packing, no_text(&begins[..found])) {
            (Some(packing), _) => packing.unpack(self.reader(0)).map_err(told),
            (None, Some(problem)) => Err(problem),
            (None, None) => Ok(Box::new(self.reader(0))),
        }
    }

    /// The file from `position` on.
    pub(super) fn reader(&self, position: u64) -> PositionedReader {
        PositionedReader { file: self.file.clone(), position }
    }

    /// Hashes what is in the file from its beginning while `goes_on` says so.
    pub(super) fn digest_while(&self, goes_on: impl Fn() -> bool) -> io::Result<FileDigest> {
        let mut reader: Box<dyn Read + Send> = match self.packing {
            Some(packing) => packing.unpack(self.reader(0))?,
            None => Box::new(self.reader(0)),
        };
        let mut buffer = vec![0; 1 << 18];
        let mut hash = Sha256::new();
        let mut size = 0;
        while goes_on() {
            match reader.read(&mut buffer) {
                Ok(0) => return Ok(FileDigest::of(hash, size)),
                Ok(read) => {
                    hash.update(&buffer[..read]);
                    size += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::Interrupted.into())
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
