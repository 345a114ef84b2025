//! The one runtime of the process, and how Python waits for it: without the GIL, and never deaf to Ctrl-C.

use std::future::Future;
use std::process;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// How long a Ctrl-C may go unnoticed.
const SLICE: Duration = Duration::from_millis(50);

/// The runtime with the process that made it: its threads do not survive a fork.
static RUNTIME: OnceLock<(u32, Runtime)> = OnceLock::new();

fn runtime() -> PyResult<&'static Runtime> {
    if RUNTIME.get().is_none() {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).clamp(2, 4);
        let made = Builder::new_multi_thread().worker_threads(threads).thread_name("tacitly").enable_all().build();
        let made = made.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        // Two first calls at once: one of the two runtimes is let go.
        if let Err((_, spare)) = RUNTIME.set((process::id(), made)) {
            spare.shutdown_background();
        }
    }
    match RUNTIME.get() {
        Some((maker, runtime)) if *maker == process::id() => Ok(runtime),
        _ => Err(PyRuntimeError::new_err(
            "this process was forked after tacitly was used; use it only in the child, or start the child with \
             multiprocessing's spawn",
        )),
    }
}

/// Waits for `future` without the GIL. A signal that Python turns into an exception, such as Ctrl-C, ends the future and
/// is raised.
pub(crate) fn wait<T: Send + 'static>(py: Python<'_>, future: impl Future<Output = T> + Send + 'static) -> PyResult<T> {
    let runtime = runtime()?;
    let mut task = runtime.spawn(future);
    loop {
        let slice = py.detach(|| runtime.block_on(async { tokio::time::timeout(SLICE, &mut task).await }));
        match slice {
            Ok(ended) => return ended.map_err(|error| PyRuntimeError::new_err(error.to_string())),
            Err(_still_at_work) => {
                if let Err(interrupt) = py.check_signals() {
                    task.abort();
                    return Err(interrupt);
                }
            }
        }
    }
}
