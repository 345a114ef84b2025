//! What is in a file, and every row of it, whole.

use super::keys::key_columns;
use super::pass::Pass;
use super::row::{Row, Schema, Visitor};
use super::{Budget, ColumnInfo, FileDigest, Inspection, IntakeError, KeySpec, Source};

/// Reads a whole file once: its columns, rows and digest.
///
/// # Errors
/// Every way in which the file cannot be read; a file that passes here can be read by all other functions.
pub fn inspect(source: &Source, budget: &Budget<'_>) -> Result<Inspection, IntakeError> {
    struct Count(u64);
    impl Visitor for Count {
        fn row(&mut self, _: &Row<'_>) -> Result<(), IntakeError> {
            self.0 += 1;
            Ok(())
        }
    }

    let mut count = Count(0);
    let (columns, digest) = visit_all(source, None, None, budget, &mut count)?;
    Ok(Inspection { columns, rows: count.0, digest })
}

/// Shows every row of a file, whole, to `visitor`. A `key` is looked for before anything else is read.
pub(super) fn visit_all(
    source: &Source,
    key: Option<&KeySpec>,
    expected: Option<&FileDigest>,
    budget: &Budget<'_>,
    visitor: &mut impl Visitor,
) -> Result<(Vec<ColumnInfo>, FileDigest), IntakeError> {
    let mut pass = Pass::open(source, expected, budget)?;
    if let Some(key) = key {
        key_columns(pass.schema(), key).map_err(|error| pass.unless_changed(error))?;
        pass.know_names();
    }
    let (columns, readable) = all_columns(pass.schema());
    let digest = pass.visit(&readable, visitor)?;
    Ok((columns, digest))
}

/// All columns, and where those stand that can be read. All of these are read, so that damage anywhere in the file shows.
pub(super) fn all_columns(schema: &Schema) -> (Vec<ColumnInfo>, Vec<usize>) {
    let columns = schema.columns.iter().map(|column| column.info()).collect();
    (columns, (0..schema.columns.len()).filter(|&at| schema.columns[at].is_readable()).collect())
}
