//! What a command prints: words for a person, or JSON for a program. Results go to standard output, the rest to
//! standard error.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;
use tacitly_core::text::printable;

use super::Failure;

/// Chosen once by `--json`.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    aside: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, aside: false }
    }

    /// The same while standard output carries a file: what would be said there goes to standard error.
    pub(crate) fn aside(self) -> Self {
        Self { aside: true, ..self }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result in the form asked for.
    ///
    /// # Errors
    /// As [`print`].
    pub(crate) fn say<T: Serialize>(
        self,
        value: impl FnOnce() -> T,
        words: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let mut text = if self.json { serde_json::to_string(&value()).map_err(Failure::plain)? } else { words() };
        if self.aside {
            murmur(&text);
            return Ok(());
        }
        text.push('\n');
        print(text.as_bytes())
    }

    /// Says what goes on, to a person only.
    pub(crate) fn note(self, words: impl FnOnce() -> String) {
        if !self.json {
            murmur(&words());
        }
    }

    /// Says what goes on, to a program only, as a line of JSON beside its result.
    pub(crate) fn note_to_program(self, value: impl FnOnce() -> Value) {
        if self.json {
            murmur(&value().to_string());
        }
    }

    /// Prints how the command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        murmur(&if self.json { failure.to_json() } else { failure.to_string() });
    }
}

/// A value for `--json`, in which these members, texts that hold JSON, are what they hold. In a list, those of every item.
pub(crate) fn unfolded(value: &impl Serialize, members: &[&str]) -> Value {
    let mut value = serde_json::to_value(value).unwrap_or_default();
    match &mut value {
        Value::Array(items) => items.iter_mut().for_each(|item| unfold(item, members)),
        item => unfold(item, members),
    }
    value
}

/// As [`unfolded`], in place.
pub(crate) fn unfold(item: &mut Value, members: &[&str]) {
    for member in members {
        let held = item[*member].as_str().and_then(|text| serde_json::from_str(text).ok());
        if let Some(held) = held {
            item[*member] = held;
        }
    }
}

/// Writes to standard output, at once.
///
/// # Errors
/// A silent [`Failure`] if nobody reads any more, or one that says why nothing can be written.
pub(crate) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(|error| unwritten(&error))
}

/// How a command ends whose standard output takes nothing more.
pub(crate) fn unwritten(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::nobody_reads(),
        _ => Failure::plain(format!("cannot write to standard output: {error}")),
    }
}

/// A line to standard error; if that is gone, there is nobody to tell.
pub(crate) fn murmur(line: &str) {
    let _nobody_listens = writeln!(io::stderr(), "{line}");
}

/// The most characters of a cell.
const LONGEST: usize = 4096;

/// A table with aligned columns; the first row is the head. What is not printable in a cell stands as its number.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    // Whoever's words a cell holds, a row stays one row.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell, LONGEST)).collect()).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_one_row_whatever_a_cell_says() {
        let rows = [["A", "B"], ["x\ny\x1b[2J\u{202e}", "z"]].map(|row| row.map(str::to_owned).to_vec());
        let shown = table(&rows);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        assert!(shown.ends_with("x\\u{a}y\\u{1b}[2J\\u{202e}  z"), "{shown}");
    }
}
