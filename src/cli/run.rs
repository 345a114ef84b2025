//! The runtime of a command, and what ends it early.

use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::yield_now;

use super::Failure;

/// Commands of this process that listen to Ctrl-C and SIGTERM themselves.
static LISTENING: AtomicUsize = AtomicUsize::new(0);

/// While it lives, Ctrl-C and SIGTERM are for whoever holds it.
pub(crate) struct Listening(());

impl Listening {
    pub(crate) fn begin() -> Self {
        LISTENING.fetch_add(1, Ordering::Relaxed);
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a command to its end, or until Ctrl-C or SIGTERM: then it is dropped, and with it its unfinished files, its
/// folders and the daemons that it has started.
pub(crate) fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        // A terminal sends its signals to the commands that this one runs, too: their end comes after the signal.
        let work = async {
            let ended = work.await;
            if ended.is_err() {
                yield_now().await;
            }
            ended
        };
        tokio::pin!(work);
        loop {
            let ended = tokio::select! {
                biased;
                _ = interrupt.recv() => Err(Failure::ended_by(Signal::INT)),
                _ = terminate.recv() => Err(Failure::ended_by(Signal::TERM)),
                ended = &mut work => break ended,
            };
            if LISTENING.load(Ordering::Relaxed) == 0 {
                break ended;
            }
        }
    });
    // A thread that waits for the reader of a pipe is not waited for.
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::destination::Destination;

    #[test]
    fn a_command_that_is_interrupted_leaves_no_unfinished_file() {
        let folder = tempfile::tempdir().unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        for signal in [Signal::INT, Signal::TERM] {
            let ended = block_on(async {
                let mut begun = Destination::new(&folder.path().join("out.csv"), false).begin().await?;
                begun.add(b"half a row").await?;
                assert_eq!(names(), 0, "it has no name before it is whole");
                rustix::process::kill_process(rustix::process::getpid(), signal).map_err(Failure::plain)?;
                std::future::pending().await
            });
            assert!(ended.unwrap_err().is_silent());
            assert_eq!(names(), 0, "{signal:?}");
        }
    }
}
