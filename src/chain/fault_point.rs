//! Where the tests end the process: between any two steps that change a file, here and in the rooms above.

/// Does nothing outside this crate's own tests.
#[cfg(not(test))]
pub(crate) fn reach(_point: &str) {}

/// Kills the process, as `kill -9` would, when the point named by the environment is reached for the given time.
#[cfg(test)]
pub(crate) fn reach(point: &str) {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static FATAL: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let (point, times) = std::env::var("TACITLY_TEST_FATAL_POINT")
            .ok()?
            .rsplit_once('#')
            .map(|(point, times)| (point.to_owned(), times.parse().unwrap()))?;
        Some((point, AtomicU64::new(times)))
    });
    if let Some((fatal, left)) = &*FATAL
        && fatal == point
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let me = rustix::process::getpid();
        rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        std::thread::park();
    }
}
