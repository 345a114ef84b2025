//! Where quotes open and close, checked beside the parser.
//!
//! `csv-core` reads every file somehow: a quote left open swallows the rows behind it, and `"ab"cd` becomes `abcd`.
//! A swallowed row is a wrong result that nobody sees, so this automaton refuses both. It agrees with `csv-core` on
//! what a quote is: one at the very beginning of a cell opens it; any other inside an unquoted cell is a character.

use super::Problem;
use super::row::newlines;

pub(super) struct Quotes {
    delimiter: u8,
    state: State,
    /// The line on which the last quoted cell began.
    opened: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a cell.
    Start,
    /// In a cell without quotes.
    Plain,
    /// Between the quotes of a cell.
    Quoted,
    /// Behind a quote that closes the cell, or is the first of two that mean one.
    Closing,
}

/// A misplaced quote: what is wrong with it, and the line on which its cell began.
pub(super) struct BadQuote {
    pub(super) problem: Problem,
    pub(super) line: u64,
}

impl Quotes {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, state: State::Start, opened: 0 }
    }

    /// Takes the next piece of the file, which begins on `line`.
    #[inline]
    pub(super) fn feed(&mut self, piece: &[u8], line: u64) -> Result<(), BadQuote> {
        if matches!(self.state, State::Start | State::Plain) && memchr::memchr(b'"', piece).is_none() {
            if let Some(&last) = piece.last() {
                self.state = if self.ends_cell(last) { State::Start } else { State::Plain };
            }
            return Ok(());
        }
        self.step(piece, line)
    }

    /// If the file ended here, which quote would be open, and where.
    pub(super) fn open(&self) -> Option<BadQuote> {
        (self.state == State::Quoted).then_some(BadQuote { problem: Problem::OpenQuote, line: self.opened })
    }

    fn step(&mut self, piece: &[u8], line: u64) -> Result<(), BadQuote> {
        for (at, &byte) in piece.iter().enumerate() {
            self.state = match (self.state, byte) {
                (State::Start, b'"') => {
                    self.opened = line + newlines(&piece[..at]);
                    State::Quoted
                }
                (State::Quoted, b'"') => State::Closing,
                (State::Closing, b'"') => State::Quoted,
                (State::Quoted, _) => State::Quoted,
                (_, byte) if self.ends_cell(byte) => State::Start,
                (State::Closing, _) => return Err(BadQuote { problem: Problem::TextAfterQuote, line: self.opened }),
                (State::Start | State::Plain, _) => State::Plain,
            };
        }
        Ok(())
    }

    fn ends_cell(&self, byte: u8) -> bool {
        byte == self.delimiter || byte == b'\n' || byte == b'\r'
    }
}
