//! Work that nobody waits for: counted, and told to end when the daemon stops.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The background work of one daemon. A clone is the same work.
#[derive(Clone, Debug, Default)]
pub struct Background {
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Background {
    /// Begins work that a stop waits for.
    pub fn spawn<W>(&self, work: W) -> JoinHandle<W::Output>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(work)
    }

    /// Begins work that a stop ends.
    pub fn spawn_until_stopped<W>(&self, work: W) -> JoinHandle<Option<W::Output>>
    where
        W: Future<Output: Send> + Send + 'static,
    {
        self.tasks.spawn(self.closing.clone().run_until_cancelled_owned(work))
    }

    /// What counts the work.
    #[must_use]
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// What tells it to end.
    #[must_use]
    pub fn closing(&self) -> &CancellationToken {
        &self.closing
    }
}
