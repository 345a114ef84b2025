//! What a reading may use, and who may stop it.

use std::ops::ControlFlow;

/// The memory that a reading may use for what it keeps, and a watch over it.
///
/// Buffers come on top: up to 16 MiB for CSV; for Parquet the pages that are read together, at most half as much again,
/// and a row group of at most 16 MiB to write.
#[derive(Clone, Copy)]
pub struct Budget<'a> {
    memory: usize,
    watch: Option<Watch<'a>>,
}

/// Told how many of how many bytes (or Parquet rows) are read; may stop the reading.
pub type Watch<'a> = &'a dyn Fn(u64, u64) -> ControlFlow<()>;

impl<'a> Budget<'a> {
    /// So many bytes, and nobody watches.
    #[must_use]
    pub fn of_bytes(memory: usize) -> Self {
        Self { memory, watch: None }
    }

    /// Calls `watch` about every megabyte, for progress and to be able to cancel.
    #[must_use]
    pub fn watched(self, watch: Watch<'a>) -> Self {
        Self { watch: Some(watch), ..self }
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    pub(super) fn goes_on(&self, done: u64, total: u64) -> bool {
        self.watch.is_none_or(|watch| watch(done, total).is_continue())
    }
}
