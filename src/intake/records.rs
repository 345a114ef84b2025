//! Records of delimited text: `csv-core` finds the cells, [`Quotes`] watches the quotes, limits bound the memory.

use std::hint::black_box;
use std::io::Read;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use super::blocks::{Block, Blocks, Next};
use super::quotes::{BadQuote, Quotes};
use super::row::newlines;
use super::{Delimiter, Encoding, FileDigest, Problem};

/// Bytes that one record may have. A longer one is a file without line ends or a wrong delimiter, and is refused
/// before it fills the memory.
pub const MAX_RECORD: usize = 1 << 20;
/// Columns that a file may have.
pub const MAX_COLUMNS: usize = 1 << 14;

const MARK: &[u8] = "\u{feff}".as_bytes();

/// Reads records one by one; the last one read is in its fields.
pub(super) struct Records {
    blocks: Blocks,
    encoding: Encoding,
    parser: Reader,
    quotes: Quotes,
    block: Block,
    /// How much of the block is parsed.
    at: usize,
    /// Blocks taken so far.
    pub(super) blocks_read: u64,
    bytes: Vec<u8>,
    used: usize,
    ends: Vec<usize>,
    cells: usize,
    newline: bool,
    end: Option<FileDigest>,
}

/// What is wrong in the text, on which line, and in which cell of its record if in one.
pub(super) struct Broken {
    pub(super) problem: Problem,
    pub(super) line: Option<u64>,
    pub(super) cell: Option<usize>,
}

impl From<Problem> for Broken {
    fn from(problem: Problem) -> Self {
        Self { problem, line: None, cell: None }
    }
}

impl Records {
    pub(super) fn of(
        reader: impl Read + Send + 'static,
        encoding: Encoding,
        delimiter: Delimiter,
    ) -> Result<Self, Problem> {
        Ok(Self {
            blocks: Blocks::of(reader, encoding)?,
            encoding,
            parser: ReaderBuilder::new().delimiter(delimiter.byte()).build(),
            quotes: Quotes::new(delimiter.byte()),
            block: Block::default(),
            at: 0,
            blocks_read: 0,
            bytes: vec![0; 1 << 12],
            used: 0,
            ends: vec![0; 64],
            cells: 0,
            newline: false,
            end: None,
        })
    }

    /// Reads the next record; says whether there is one. Blank lines are no records.
    pub(super) fn advance(&mut self) -> Result<bool, Broken> {
        self.used = 0;
        self.cells = 0;
        loop {
            if self.at == self.block.text.len() && !self.refill()? {
                return self.finish();
            }
            let input = &self.block.text[self.at..];
            let line = self.parser.line();
            let parsed = self.parser.read_record(input, &mut self.bytes[self.used..], &mut self.ends[self.cells..]);
            // Taken one by one: a copy of two at once, which the compiler would make, waits until the parser's own
            // writes have reached the cache. That was a tenth of the time of writing a result.
            let &(ref result, read, written, ended) = black_box(&parsed);
            // The parser passes over a byte order mark at the beginning of the file.
            let mark = if self.at == 0 && self.blocks_read == 1 && input.starts_with(MARK) { MARK.len() } else { 0 };
            let quotes = self.quotes.feed(&input[mark.min(read)..read], line);
            self.newline = read > 0 && input[read - 1] == b'\n';
            self.at += read;
            self.used += written;
            self.cells += ended;
            if let Err(bad) = quotes {
                return Err(self.bad_quote(bad));
            }
            match result {
                ReadRecordResult::Record => return self.check().map(|()| true),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
                ReadRecordResult::OutputFull => self.grow_bytes()?,
                ReadRecordResult::OutputEndsFull => self.grow_ends()?,
            }
        }
    }

    /// The cells of the record, one after the other.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// Where each cell ends.
    pub(super) fn ends(&self) -> &[usize] {
        &self.ends[..self.cells]
    }

    /// The line on which the record ends, and whether its last byte is that line's end.
    pub(super) fn last_line(&self) -> (u64, bool) {
        (self.parser.line(), self.newline)
    }

    /// The line on which the record begins.
    pub(super) fn first_line(&self) -> u64 {
        self.parser.line() - newlines(self.bytes()) - u64::from(self.newline)
    }

    /// Bytes of the file read so far.
    pub(super) fn done(&self) -> u64 {
        self.block.done
    }

    /// The digest of the file, once all records are read.
    pub(super) fn digest(&self) -> Option<FileDigest> {
        self.end
    }

    fn refill(&mut self) -> Result<bool, Broken> {
        loop {
            if self.block.malformed {
                let problem = Problem::NotText(self.encoding);
                return Err(Broken { problem, line: Some(self.parser.line()), cell: Some(self.cells) });
            }
            if self.end.is_some() {
                return Ok(false);
            }
            self.at = 0;
            match self.blocks.next(std::mem::take(&mut self.block.text))? {
                Next::End(digest) => self.end = Some(digest),
                Next::Block(block) => {
                    self.block = block;
                    self.blocks_read += 1;
                    if !self.block.text.is_empty() {
                        return Ok(true);
                    }
                }
            }
        }
    }

    /// The file has ended: a last record without a line end may be left.
    fn finish(&mut self) -> Result<bool, Broken> {
        if let Some(bad) = self.quotes.open() {
            return Err(self.bad_quote(bad));
        }
        loop {
            let (result, _, _, ended) = self.parser.read_record(&[], &mut [], &mut self.ends[self.cells..]);
            self.cells += ended;
            match result {
                ReadRecordResult::OutputEndsFull => self.grow_ends()?,
                ReadRecordResult::Record => {
                    self.newline = false;
                    return self.check().map(|()| true);
                }
                _ => return Ok(false),
            }
        }
    }

    /// Refuses a record that is no text.
    fn check(&self) -> Result<(), Broken> {
        let bytes = self.bytes();
        if let Some(at) = memchr::memchr(0, bytes) {
            return Err(self.broken(Problem::NulByte, at));
        }
        if bytes.is_ascii() {
            return Ok(());
        }
        // Cell by cell: a delimiter stood between two halves of what would be one character.
        let mut start = 0;
        for &end in self.ends() {
            if let Err(error) = std::str::from_utf8(&bytes[start..end]) {
                return Err(self.broken(Problem::NotText(self.encoding), start + error.valid_up_to()));
            }
            start = end;
        }
        Ok(())
    }

    /// A problem with the byte at `position` of the record.
    fn broken(&self, problem: Problem, position: usize) -> Broken {
        let line = self.first_line() + newlines(&self.bytes()[..position]);
        let cell = self.ends().partition_point(|&end| end <= position);
        Broken { problem, line: Some(line), cell: Some(cell) }
    }

    fn bad_quote(&self, bad: BadQuote) -> Broken {
        Broken { problem: bad.problem, line: Some(bad.line), cell: None }
    }

    fn grow_bytes(&mut self) -> Result<(), Broken> {
        if self.bytes.len() >= MAX_RECORD {
            return Err(match self.quotes.open() {
                Some(bad) => self.bad_quote(bad),
                None => {
                    let line = self.parser.line() - newlines(self.bytes());
                    Broken { line: Some(line), ..Problem::RecordTooLong { limit: MAX_RECORD }.into() }
                }
            });
        }
        self.bytes.resize(self.bytes.len() * 2, 0);
        Ok(())
    }

    fn grow_ends(&mut self) -> Result<(), Broken> {
        if self.ends.len() >= MAX_COLUMNS {
            let line = self.parser.line() - newlines(self.bytes());
            return Err(Broken { line: Some(line), ..Problem::TooManyColumns { limit: MAX_COLUMNS }.into() });
        }
        self.ends.resize(self.ends.len() * 2, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(reader: impl Read + Send + 'static) -> Records {
        Records::of(reader, Encoding::Utf8, Delimiter::COMMA).unwrap()
    }

    #[test]
    fn a_line_of_a_gigabyte_is_refused_after_one_megabyte() {
        let line = std::io::repeat(b'7').take(1 << 30);
        let mut records = records(b"mobile\n1\n".chain(line));
        assert!(records.advance().is_ok_and(|found| found));
        assert!(records.advance().is_ok_and(|found| found));
        let broken = records.advance().err().unwrap();
        assert_eq!(broken.problem, Problem::RecordTooLong { limit: MAX_RECORD });
        assert_eq!(broken.line, Some(3));
        assert!(records.bytes.len() <= MAX_RECORD);
        // What was read ahead is bounded, too.
        assert!(records.blocks_read <= 3, "{} blocks", records.blocks_read);
    }

    #[test]
    fn a_gigabyte_of_commas_is_refused() {
        let mut records = records(std::io::repeat(b',').take(1 << 30));
        let broken = records.advance().err().unwrap();
        assert_eq!(broken.problem, Problem::TooManyColumns { limit: MAX_COLUMNS });
        assert_eq!(broken.line, Some(1));
    }

    #[test]
    fn a_gigabyte_behind_an_open_quote_names_the_line_of_the_quote() {
        let mut records = records(b"a,b\n1,2\n1,\"".chain(std::io::repeat(b'\n').take(1 << 30)));
        assert!(records.advance().is_ok_and(|found| found));
        assert!(records.advance().is_ok_and(|found| found));
        let broken = records.advance().err().unwrap();
        assert_eq!((broken.problem, broken.line), (Problem::OpenQuote, Some(3)));
    }

    #[test]
    fn a_read_that_fails_is_told_as_such() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::TimedOut.into())
            }
        }
        let broken = records(b"mobile\n".chain(Failing)).advance().err().unwrap();
        assert_eq!(broken.problem, Problem::Reading(std::io::ErrorKind::TimedOut));
    }
}
