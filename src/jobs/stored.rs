//! The rows of a result as the ledger keeps them: in one part or in one per bucket, read back without holding all.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::outcome::Outcome;
use crate::codes::{self, Trouble};
use crate::datasets::RowsOut;
use crate::intake::RowSet;
use crate::store::{JobId, Store};

/// Bytes that one row takes while rows are put into the order of the file: its number twice, its position, and its
/// part of the cells that are held.
const ROW_BYTES: usize = 64;

/// A stored result that consists of rows.
pub(super) struct StoredRows {
    store: Arc<Store>,
    job: JobId,
    parts: u32,
    aligned: bool,
    /// Rows that are in memory at once.
    at_once: usize,
    runtime: Handle,
}

impl StoredRows {
    /// The result of a job, to be read with so many bytes of memory, on a thread that may block.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`] if it has none or one that is no rows, or trouble of the store.
    pub(super) async fn of(store: Arc<Store>, job: JobId, memory: usize) -> Result<Self, Trouble> {
        let none = || Trouble::new(codes::RESULT_NONE, "the job has no rows on this side");
        let parts = store.result_parts(job).await?.ok_or_else(none)?;
        let aligned = match decoded(&store.result_part(job, 0).await?)? {
            Outcome::Rows(_) => false,
            Outcome::Aligned(_) => true,
            Outcome::Size(_) | Outcome::Parts { .. } => return Err(none()),
        };
        let at_once = (memory / ROW_BYTES).max(1);
        Ok(Self { store, job, parts, aligned, at_once, runtime: Handle::current() })
    }

    /// The rows as they are written out.
    pub(super) fn out(self) -> RowsOut {
        match self.aligned {
            true => RowsOut::InOrder(Box::new(self.in_order())),
            false => RowsOut::Marked(Box::new(move |rows| self.marked(rows))),
        }
    }

    /// All rows of a file that has so many.
    fn marked(&self, rows: u64) -> Result<RowSet, Trouble> {
        let mut set = RowSet::with_rows(rows);
        for part in 0..self.parts {
            self.part(part)?.into_iter().for_each(|row| set.insert(row));
        }
        Ok(set)
    }

    /// The rows in their order, in pieces.
    fn in_order(self) -> impl Iterator<Item = Result<Vec<u32>, Trouble>> {
        let mut next = 0;
        std::iter::from_fn(move || {
            let mut piece = Vec::new();
            while next < self.parts && (piece.is_empty() || piece.len() < self.at_once) {
                match self.part(next) {
                    Ok(rows) => piece.extend(rows),
                    Err(trouble) => return Some(Err(trouble)),
                }
                next += 1;
            }
            (!piece.is_empty()).then_some(Ok(piece))
        })
    }

    fn part(&self, part: u32) -> Result<Vec<u32>, Trouble> {
        match decoded(&self.runtime.block_on(self.store.result_part(self.job, part))?)? {
            Outcome::Rows(rows) if !self.aligned => Ok(rows),
            Outcome::Aligned(rows) if self.aligned => Ok(rows),
            _ => Err(Trouble::internal("the parts of a result are of one kind")),
        }
    }
}

fn decoded(bytes: &[u8]) -> Result<Outcome, Trouble> {
    Outcome::decode(bytes).map_err(|error| Trouble::internal(error.to_string()))
}
