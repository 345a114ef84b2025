//! A rate, kept as the moment up to which somebody has used it: no task refills it, and time is an argument.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// How much of a rate may be saved up and used at once.
const BURST: Duration = Duration::from_secs(1);

/// So many units a second for one peer; without a limit nothing ever waits.
pub(super) struct RateLimiter {
    per_second: Option<NonZeroU64>,
    burst: Duration,
    used_up_to: Instant,
}

impl RateLimiter {
    pub(super) fn new(per_second: Option<NonZeroU64>, now: Instant) -> Self {
        Self { per_second, burst: BURST, used_up_to: now }
    }

    /// The same, where so many units may be saved up and used at once.
    pub(super) fn with_burst(per_second: NonZeroU64, at_once: u64, now: Instant) -> Self {
        let burst = Duration::try_from_secs_f64(at_once as f64 / per_second.get() as f64).unwrap_or(Duration::MAX);
        Self { per_second: Some(per_second), burst, used_up_to: now }
    }

    /// Uses so many units. What goes beyond the rate makes the next use wait, not this one.
    pub(super) fn charge(&mut self, units: u64, now: Instant) {
        if let Some(per_second) = self.per_second {
            let time = Duration::from_secs_f64(units as f64 / per_second.get() as f64);
            self.used_up_to = self.used_up_to.max(now) + time;
        }
    }

    /// The moment from which more may be used, if it is still to come.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        let over = self.used_up_to.checked_duration_since(now)?.checked_sub(self.burst)?;
        (!over.is_zero()).then(|| now + over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_may_be_used_at_once_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(NonZeroU64::new(100), start);
        let mut now = start;
        for _ in 0..1000 {
            now = rate.wait(now).unwrap_or(now);
            rate.charge(1, now);
        }
        let took = (now - start).as_secs_f64();
        assert!((8.9..=9.1).contains(&took), "1000 units at 100 a second took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_used_is_saved_for_one_second_only() {
        let start = Instant::now();
        let mut rate = RateLimiter::new(NonZeroU64::new(100), start);
        let later = start + Duration::from_secs(60);
        rate.charge(150, later);
        assert_eq!(rate.wait(later), Some(later + Duration::from_millis(500)));
        assert_eq!(RateLimiter::new(None, start).wait(start), None);
    }
}
