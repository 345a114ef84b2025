//! Counts of this process, for whoever watches it: bytes, endings, errors of the store. Labels come from fixed sets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The counts of this process.
pub(crate) static COUNTERS: Counters = Counters::new();

/// What has been counted since the process started.
#[derive(Debug)]
pub struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    endings: Mutex<BTreeMap<String, u64>>,
    store_errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    const fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            endings: Mutex::new(BTreeMap::new()),
            store_errors: Mutex::new(BTreeMap::new()),
        }
    }

    /// The counts of this process.
    #[must_use]
    pub fn of_process() -> &'static Self {
        &COUNTERS
    }

    /// Application bytes sent and received by protocol sessions that are over.
    #[must_use]
    pub fn traffic(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }

    /// Protocol sessions that are over, by stable code; `done` for those that came to their answer.
    #[must_use]
    pub fn endings(&self) -> BTreeMap<String, u64> {
        self.endings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Errors of the store, by stable code.
    #[must_use]
    pub fn store_errors(&self) -> BTreeMap<&'static str, u64> {
        self.store_errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn bytes(&self, sent: u64, received: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.received.fetch_add(received, Ordering::Relaxed);
    }

    pub(crate) fn ending(&self, code: &str) {
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        *endings.entry(code.to_owned()).or_default() += 1;
    }

    pub(crate) fn store_error(&self, code: &'static str) {
        *self.store_errors.lock().unwrap_or_else(PoisonError::into_inner).entry(code).or_default() += 1;
    }
}
