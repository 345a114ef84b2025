//! A registered file with everything that reading it takes.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::output::RowsOut;
use crate::codes::Error;
use crate::intake::{
    self, Budget, ColumnSpec, Cut, FileDigest, IntakeError, KeySpec, Keys, Layout, Partitioned, Selection, Source,
    Spool, TypedColumns,
};
use crate::session::Status;

/// A registered file with everything that reading it takes.
#[derive(Clone)]
pub(crate) struct Input {
    source: Source,
    spec: KeySpec,
    digest: FileDigest,
    rows: u64,
    memory: usize,
    folder: PathBuf,
}

/// Shows how far reading is, and ends it when its work is given up.
pub(crate) struct Progress {
    status: watch::Sender<Status>,
    stage: &'static str,
    given_up: Arc<AtomicBool>,
}

/// Ends the reading that it was made for, when dropped.
pub(crate) struct GiveUp(Arc<AtomicBool>);

impl Drop for GiveUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Progress {
    /// Progress of a stage, shown in `status`. Reading ends when the second value is dropped.
    pub(crate) fn of(stage: &'static str, status: watch::Sender<Status>) -> (Self, GiveUp) {
        let given_up = Arc::new(AtomicBool::new(false));
        (Self { status, stage, given_up: given_up.clone() }, GiveUp(given_up))
    }

    fn see(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.status.send_modify(|status| (status.stage, status.done, status.total) = (self.stage, done, total));
        if self.given_up.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Input {
    /// A file of so many rows, which must hash to `digest`. Reading it takes up to `memory` bytes; what does not fit is
    /// laid aside in `folder`.
    pub(crate) fn new(
        source: Source,
        spec: KeySpec,
        digest: FileDigest,
        rows: u64,
        memory: usize,
        folder: PathBuf,
    ) -> Self {
        Self { source, spec, digest, rows, memory, folder }
    }

    /// Rows of the file.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// The distinct keys, if they fit into memory.
    ///
    /// # Errors
    /// [`IntakeError`] for a file that is not as it was registered or cannot be read, or keys that do not fit.
    pub(crate) fn keys(&self, progress: &Progress) -> Result<Keys, IntakeError> {
        self.keys_within(self.memory, progress)
    }

    /// The distinct keys, however much memory they take.
    ///
    /// # Errors
    /// [`IntakeError`] for a file that is not as it was registered or cannot be read.
    pub(crate) fn keys_at_any_cost(&self, progress: &Progress) -> Result<Keys, IntakeError> {
        self.keys_within(usize::MAX, progress)
    }

    fn keys_within(&self, memory: usize, progress: &Progress) -> Result<Keys, IntakeError> {
        let watch = |done, total| progress.see(done, total);
        let budget = Budget::of_bytes(memory).watched(&watch);
        intake::read_keys(&self.source, &self.spec, Some(&self.digest), &budget)
    }

    /// Columns of chosen rows as values, if they fit into memory.
    ///
    /// # Errors
    /// [`IntakeError`] for a file that is not as it was registered or cannot be read, a column that is not there or not of
    /// its kind, or more than fits.
    pub(crate) fn columns(
        &self,
        specs: &[ColumnSpec],
        selection: &Selection,
        progress: &Progress,
    ) -> Result<TypedColumns, IntakeError> {
        let watch = |done, total| progress.see(done, total);
        let budget = Budget::of_bytes(self.memory).watched(&watch);
        intake::read_columns(&self.source, specs, selection, Some(&self.digest), &budget)
    }

    /// Columns of chosen rows as values, laid aside in blocks of so many rows: larger than memory, in the order of the
    /// selection, read as often as it takes.
    ///
    /// # Errors
    /// As [`Self::columns`], but for memory: a block has to fit into a quarter of it. A disk that is full.
    pub(crate) fn spool(
        &self,
        specs: &[ColumnSpec],
        selection: &Selection,
        block_rows: u32,
        progress: &Progress,
    ) -> Result<Spool, IntakeError> {
        let watch = |done, total| progress.see(done, total);
        let budget = Budget::of_bytes(self.memory).watched(&watch);
        let layout = Layout { folder: &self.folder, block_rows };
        intake::spool_columns(&self.source, specs, selection, Some(&self.digest), &budget, layout)
    }

    /// The same of rows that need not fit into memory either.
    ///
    /// # Errors
    /// As [`Self::spool`], and what the rows give in their place.
    pub(crate) fn spool_rows(
        &self,
        specs: &[ColumnSpec],
        rows: RowsOut,
        block_rows: u32,
        progress: &Progress,
    ) -> Result<Spool, Error> {
        match rows {
            RowsOut::Marked(marked) => {
                let marked = Selection::Marked(marked(self.rows)?);
                Ok(self.spool(specs, &marked, block_rows, progress)?)
            }
            RowsOut::InOrder(pieces) => {
                let watch = |done, total| progress.see(done, total);
                let budget = Budget::of_bytes(self.memory).watched(&watch);
                let layout = Layout { folder: &self.folder, block_rows };
                intake::spool_pieces(&self.source, specs, pieces, Some(&self.digest), &budget, layout)
            }
        }
    }

    /// The distinct keys, laid aside in so many parts by their places. `counted` is told each place.
    ///
    /// # Errors
    /// [`IntakeError`] for a file that is not as it was registered or cannot be read, or a disk that is full.
    pub(crate) fn partition(
        &self,
        parts: usize,
        place: &(dyn Fn(&[u8]) -> u64 + Sync),
        counted: impl FnMut(u64),
        progress: &Progress,
    ) -> Result<Partitioned, IntakeError> {
        let watch = |done, total| progress.see(done, total);
        let budget = Budget::of_bytes(self.memory).watched(&watch);
        let cut = Cut { folder: &self.folder, parts, place };
        intake::partition_keys(&self.source, &self.spec, Some(&self.digest), &budget, cut, counted)
    }
}
