//! What a user of intake would notice, file by file.

mod cases;
mod columns;
mod csv_endings;
mod file_endings;
mod frames;
mod hints;
mod keys;
mod output;
mod parquet;
mod parquet_bombs;
mod properties;
mod surveys;

use std::io::Write;

use tempfile::NamedTempFile;

use super::*;

/// Enough for every test.
const MEMORY: usize = 1 << 26;

/// A file that is gone when the test is over, declared as the usual CSV.
struct TestFile {
    file: NamedTempFile,
    source: Source,
}

impl TestFile {
    fn new(bytes: &[u8], format: Format) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let source = Source { path: file.path().into(), format };
        Self { file, source }
    }

    fn csv(text: impl AsRef<[u8]>) -> Self {
        Self::new(text.as_ref(), Format::CSV)
    }

    fn keys(&self, spec: &KeySpec) -> Result<Keys, IntakeError> {
        read_keys(&self.source, spec, None, &Budget::of_bytes(MEMORY))
    }

    fn inspect(&self) -> Result<Inspection, IntakeError> {
        inspect(&self.source, &Budget::of_bytes(MEMORY))
    }

    /// The error message without the path before it.
    fn told(&self, error: &IntakeError) -> String {
        let text = error.to_string();
        let rest = text.strip_prefix(self.file.path().to_str().unwrap()).expect("an error begins with its file");
        rest.trim_start_matches(", ").to_owned()
    }
}

fn key(columns: &[(&str, Profile)]) -> KeySpec {
    let column = |&(column, profile): &(&str, Profile)| KeyColumn { column: column.into(), profile };
    KeySpec { columns: columns.iter().map(column).collect(), duplicates: Duplicates::Error, invalid: Invalid::Error }
}

fn raw(column: &str) -> KeySpec {
    key(&[(column, Profile::Raw)])
}

fn with(spec: KeySpec, duplicates: Duplicates, invalid: Invalid) -> KeySpec {
    KeySpec { duplicates, invalid, ..spec }
}

/// The ids of a key with one column, as text.
fn texts(keys: &Keys) -> Vec<String> {
    let cell = |id| canonical::cells(id).next().unwrap().to_vec();
    keys.ids().map(|id| String::from_utf8(cell(id)).unwrap()).collect()
}
