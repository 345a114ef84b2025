//! The segment: every entry in order, in one file that only grows. All else in the folder follows from it.
//!
//! ```text
//! "tacitly-log@v1 " origin LF
//! record*:  length of entry (2 bytes) · begins (8) · leaf hash (32) · entry
//! ```
//!
//! Numbers are big-endian. `begins` is where the write began that the record belongs to. A write starts only when the
//! one before it is on the disk; so a sound record that `begins` behind a flaw shows that what is flawed had been
//! acknowledged, and is damage. Without such a record, and behind the last checkpoint, the flaw is a write that was
//! cut off.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tacitly_attestation::hash::{Hash, leaf_hash};

/// The name of the file with a log's entries.
pub const NAME: &str = "segment";

/// Bytes before the entry in a record.
pub(super) const HEADER: usize = 2 + 8 + 32;

/// How much is read at once.
const WINDOW: u64 = 1 << 20;

/// The version of this form.
pub(super) const VERSION: u32 = 1;

/// The first line of the segment of `origin`.
pub(super) fn first_line(origin: &str) -> Vec<u8> {
    format!("tacitly-log@v{VERSION} {origin}\n").into_bytes()
}

/// The version of a segment that begins like this, if it is another one than ours.
pub(super) fn other_version(begins: &[u8]) -> Option<u32> {
    let digits = begins.strip_prefix(b"tacitly-log@v")?.split(|byte| *byte == b' ').next()?;
    let version = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (version != VERSION).then_some(version)
}

/// How many bytes of entries stand in the log of `origin` in this folder; 0 also if there is none.
#[must_use]
pub fn bytes_of_entries(folder: &Path, origin: &str) -> u64 {
    let length = std::fs::metadata(folder.join(NAME)).map_or(0, |found| found.len());
    length.saturating_sub(first_line(origin).len() as u64)
}

/// Appends a record to what will be written at `begins`.
pub(super) fn encode(into: &mut Vec<u8>, begins: u64, leaf: &Hash, entry: &[u8]) {
    into.extend_from_slice(&(entry.len() as u16).to_be_bytes());
    into.extend_from_slice(&begins.to_be_bytes());
    into.extend_from_slice(&leaf.0);
    into.extend_from_slice(entry);
}

/// A sound record.
pub(super) struct Record<'b> {
    pub(super) offset: u64,
    pub(super) leaf: Hash,
    pub(super) entry: &'b [u8],
}

/// Why there is no record where one should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file ends within it.
    Incomplete,
    /// The bytes are not those that the hash was taken of, or belong to no write.
    Altered,
}

impl Flaw {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Incomplete => "the file ends within it",
            Self::Altered => "its bytes do not match the hash stored with them",
        }
    }
}

/// What the next record is.
pub(super) enum Step<'b> {
    Record(Record<'b>),
    Flaw(Flaw),
    End,
}

/// Reads records one behind the other, up to where the file ended when it was begun.
pub(super) struct Records<'f> {
    file: &'f File,
    end: u64,
    /// What was read, and where in the file it starts.
    buffer: Vec<u8>,
    start: u64,
    /// How far it has been given out.
    at: usize,
    /// Where the write of the record before began; unknown at first.
    began: Option<u64>,
}

impl<'f> Records<'f> {
    /// Reads the records of `file` from `offset` up to `end`; `offset` is where a record starts.
    pub(super) fn new(file: &'f File, offset: u64, end: u64) -> Self {
        Self { file, end, buffer: Vec::new(), start: offset, at: 0, began: None }
    }

    /// Reads all records of `file` up to `end`, behind its first line of `offset` bytes.
    pub(super) fn all(file: &'f File, offset: u64, end: u64) -> Self {
        Self { began: Some(offset), ..Self::new(file, offset, end) }
    }

    /// Where the next record starts.
    pub(super) fn offset(&self) -> u64 {
        self.start + self.at as u64
    }

    /// The next record. A flaw is not passed over: it comes again.
    pub(super) fn next(&mut self) -> io::Result<Step<'_>> {
        let offset = self.offset();
        if offset >= self.end {
            return Ok(Step::End);
        }
        if !self.fill(HEADER)? {
            return Ok(Step::Flaw(Flaw::Incomplete));
        }
        let Some((length, begins, leaf)) = header(&self.buffer[self.at..]) else {
            return Ok(Step::Flaw(Flaw::Altered));
        };
        let of_this_file = match self.began {
            Some(began) => begins == began || begins == offset,
            None => begins <= offset,
        };
        if !of_this_file {
            return Ok(Step::Flaw(Flaw::Altered));
        }
        if !self.fill(HEADER + length)? {
            return Ok(Step::Flaw(Flaw::Incomplete));
        }
        let entry = self.at + HEADER..self.at + HEADER + length;
        if leaf_hash(&self.buffer[entry.clone()]) != leaf {
            return Ok(Step::Flaw(Flaw::Altered));
        }
        self.at = entry.end;
        self.began = Some(begins);
        Ok(Step::Record(Record { offset, leaf, entry: &self.buffer[entry] }))
    }

    /// Reads on until `needed` bytes are at hand; `false` if the file has not as many.
    fn fill(&mut self, needed: usize) -> io::Result<bool> {
        if self.buffer.len() - self.at < needed {
            self.buffer.drain(..self.at);
            self.start += self.at as u64;
            self.at = 0;
            let kept = self.buffer.len();
            let wanted = (self.end - self.start).min(WINDOW.max(needed as u64));
            self.buffer.resize(wanted as usize, 0);
            if let Err(error) = self.file.read_exact_at(&mut self.buffer[kept..], self.start + kept as u64) {
                self.buffer.truncate(kept);
                return Err(error);
            }
        }
        Ok(self.buffer.len() - self.at >= needed)
    }
}

/// Length, beginning of the write and leaf hash; `None` for an entry without bytes.
fn header(bytes: &[u8]) -> Option<(usize, u64, Hash)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (begins, rest) = rest.split_first_chunk()?;
    let (leaf, _) = rest.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes(*length));
    (length > 0).then_some((length, u64::from_be_bytes(*begins), Hash(*leaf)))
}

/// Whether a sound record stands behind `flaw` whose write began behind it: then what is flawed had been acknowledged.
pub(super) fn later_write(file: &File, flaw: u64, end: u64) -> io::Result<bool> {
    let mut window = vec![0; WINDOW as usize + HEADER];
    let mut start = flaw + 1;
    while start + (HEADER as u64) < end {
        let length = (end - start).min(window.len() as u64) as usize;
        file.read_exact_at(&mut window[..length], start)?;
        for (at, candidate) in window[..length].windows(HEADER).enumerate() {
            let offset = start + at as u64;
            let Some((length, begins, leaf)) = header(candidate) else { continue };
            if begins <= flaw || begins > offset || offset + (HEADER + length) as u64 > end {
                continue;
            }
            let mut entry = vec![0; length];
            file.read_exact_at(&mut entry, offset + HEADER as u64)?;
            if leaf_hash(&entry) == leaf {
                return Ok(true);
            }
        }
        start += WINDOW;
    }
    Ok(false)
}
