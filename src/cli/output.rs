//! What a command prints: words for a person, or JSON for a program. Results go to standard output, the rest to
//! standard error.

use serde::Serialize;

use super::Failure;

/// Chosen once by `--json`.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result in the form asked for.
    pub(crate) fn say<T: Serialize>(self, value: impl FnOnce() -> T, words: impl FnOnce() -> String) {
        if self.json {
            match serde_json::to_string(&value()) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("error: {error}"),
            }
        } else {
            println!("{}", words());
        }
    }

    /// Says what goes on, to a person only.
    pub(crate) fn note(self, words: impl FnOnce() -> String) {
        if !self.json {
            eprintln!("{}", words());
        }
    }

    /// Prints how the command failed.
    pub(crate) fn fail(self, failure: &Failure) {
        if self.json {
            eprintln!("{}", failure.to_json());
        } else {
            eprintln!("{failure}");
        }
    }
}

/// A table with aligned columns; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..).map_while(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
