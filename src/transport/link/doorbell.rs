//! What wakes whoever computes for a session: a thread that stays for a while, or a task once that thread has gone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Rings for one listener, a thread or a task. A ring that nobody waits for is kept for the next who does.
///
/// A channel or a `Notify` alone would cost a system call or a task's turn for each frame, also when the listener is at
/// work and needs none.
#[derive(Debug, Default)]
pub struct Doorbell {
    rang: AtomicBool,
    /// The thread that waits.
    sleeper: Mutex<Option<Thread>>,
    /// For a task that waits.
    task: Notify,
}

impl Doorbell {
    /// Wakes the listener.
    pub fn ring(&self) {
        if self.rang.swap(true, Ordering::SeqCst) {
            return;
        }
        match &*self.sleeper() {
            Some(sleeper) => sleeper.unpark(),
            None => self.task.notify_one(),
        }
    }

    /// Makes this thread wait for a ring, for at most so long of real time. Returns whether it rang.
    pub fn wait(&self, most: Duration) -> bool {
        let end = Instant::now() + most;
        *self.sleeper() = Some(thread::current());
        let rang = loop {
            if self.rang.swap(false, Ordering::SeqCst) {
                break true;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break false;
            }
            thread::park_timeout(left);
        };
        *self.sleeper() = None;
        rang
    }

    /// Waits for a ring.
    pub async fn rung(&self) {
        while !self.rang.swap(false, Ordering::SeqCst) {
            self.task.notified().await;
        }
    }

    fn sleeper(&self) -> MutexGuard<'_, Option<Thread>> {
        self.sleeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_ring_reaches_a_thread_and_a_task_before_and_while_they_wait() {
        let bell = Arc::new(Doorbell::default());
        bell.ring();
        assert!(bell.wait(LONG), "kept for the thread");
        assert!(!bell.wait(Duration::from_millis(1)), "and used up");
        bell.ring();
        bell.rung().await;
        let waiting = tokio::task::spawn_blocking({
            let bell = bell.clone();
            move || bell.wait(LONG)
        });
        while bell.sleeper().is_none() {
            tokio::task::yield_now().await;
        }
        bell.ring();
        assert!(waiting.await.unwrap());
        let waiting = tokio::spawn({
            let bell = bell.clone();
            async move { bell.rung().await }
        });
        tokio::task::yield_now().await;
        bell.ring();
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_ring_that_comes_as_the_thread_goes_is_heard_by_the_task_after_it() {
        let bell = Arc::new(Doorbell::default());
        for _ in 0..200 {
            let ringing = tokio::task::spawn_blocking({
                let bell = bell.clone();
                move || bell.ring()
            });
            if !bell.wait(Duration::from_micros(20)) {
                tokio::time::timeout(LONG, bell.rung()).await.expect("the ring was lost");
            }
            ringing.await.unwrap();
        }
    }
}
