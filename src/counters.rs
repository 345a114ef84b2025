//! Counts of this process, for whoever watches it: bytes, endings, errors of the store. Labels come from fixed sets.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The counts of this process.
pub(crate) static COUNTERS: Counters = Counters::new();

/// What has been counted since the process started.
#[derive(Debug)]
pub struct Counters {
    sent: AtomicU64,
    received: AtomicU64,
    endings: Mutex<BTreeMap<String, u64>>,
    store_errors: Mutex<BTreeMap<&'static str, u64>>,
    questions: [AtomicU64; 2],
    question_micros: AtomicU64,
}

impl Counters {
    const fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            endings: Mutex::new(BTreeMap::new()),
            store_errors: Mutex::new(BTreeMap::new()),
            questions: [AtomicU64::new(0), AtomicU64::new(0)],
            question_micros: AtomicU64::new(0),
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

    /// Questions under standing jobs that were answered and refused here, and the time that both took.
    #[must_use]
    pub fn questions(&self) -> (u64, u64, Duration) {
        let [answered, refused] = self.questions.each_ref().map(|count| count.load(Ordering::Relaxed));
        (answered, refused, Duration::from_micros(self.question_micros.load(Ordering::Relaxed)))
    }

    pub(crate) fn question(&self, answered: bool, took: Duration) {
        self.questions[usize::from(!answered)].fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.question_micros.fetch_add(micros, Ordering::Relaxed);
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
