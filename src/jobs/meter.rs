//! What an attempt is busy with: whom it waits for, whether it computes, and since when nothing has moved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacitly_core::{Checkpoint, Fault, Frame, Halt, Party, PartyId, Progress, Stall};
use tokio::time::Instant;

/// Told by whatever an attempt does. An attempt that says nothing computes.
pub(super) struct Meter {
    began: Instant,
    /// When something last moved here, and when we last had a sign of life of those we wait for; in milliseconds.
    moved: AtomicU64,
    sign: AtomicU64,
    /// What computes at this moment.
    computing: AtomicUsize,
    waits: Mutex<Waits>,
}

#[derive(Default)]
struct Waits {
    next: u64,
    all: BTreeMap<u64, BTreeSet<PartyId>>,
}

/// The attempt waits for parties until this is dropped.
pub(super) struct Waiting {
    meter: Arc<Meter>,
    number: u64,
}

/// The attempt computes until this is dropped, whoever it waits for beside that.
pub(super) struct Computing<'a>(&'a Meter);

impl Default for Meter {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            moved: AtomicU64::new(0),
            sign: AtomicU64::new(0),
            computing: AtomicUsize::new(0),
            waits: Mutex::default(),
        }
    }
}

impl Meter {
    /// The attempt waits for these parties.
    pub(super) fn wait_for(self: &Arc<Self>, parties: BTreeSet<PartyId>) -> Waiting {
        self.moves();
        let mut waits = self.lock();
        let number = waits.next;
        waits.next += 1;
        waits.all.insert(number, parties);
        drop(waits);
        Waiting { meter: self.clone(), number }
    }

    /// Something of the attempt computes.
    pub(super) fn compute(&self) -> Computing<'_> {
        self.computing.fetch_add(1, Ordering::Relaxed);
        Computing(self)
    }

    /// Something has moved.
    pub(super) fn moves(&self) {
        self.moved.fetch_max(self.now(), Ordering::Relaxed);
    }

    /// Something moved so long ago at those we wait for, or at those they wait for.
    pub(super) fn has_sign(&self, ago: Duration) {
        let ago = u64::try_from(ago.as_millis()).unwrap_or(u64::MAX);
        self.sign.fetch_max(self.now().saturating_sub(ago), Ordering::Relaxed);
    }

    /// Whom the attempt waits for while it computes nothing.
    pub(super) fn awaited(&self) -> BTreeSet<PartyId> {
        if self.computing.load(Ordering::Relaxed) > 0 {
            return BTreeSet::new();
        }
        self.lock().all.values().flatten().copied().collect()
    }

    /// For how long nothing has moved here while we wait; no time at all for an attempt that does not wait.
    pub(super) fn still(&self) -> Duration {
        self.since(self.moved.load(Ordering::Relaxed))
    }

    /// For how long there has been no sign of life either.
    pub(super) fn silent(&self) -> Duration {
        self.since(self.moved.load(Ordering::Relaxed).max(self.sign.load(Ordering::Relaxed)))
    }

    fn since(&self, then: u64) -> Duration {
        if self.awaited().is_empty() { Duration::ZERO } else { Duration::from_millis(self.now().saturating_sub(then)) }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// These are waited for from now on.
    pub(super) fn is_for(&self, parties: BTreeSet<PartyId>) {
        let known = self.meter.lock().all.insert(self.number, parties.clone());
        if known.is_none_or(|known| known != parties) {
            self.meter.moves();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.meter.lock().all.remove(&self.number);
        self.meter.moves();
    }
}

impl Drop for Computing<'_> {
    fn drop(&mut self) {
        self.0.computing.fetch_sub(1, Ordering::Relaxed);
        self.0.moves();
    }
}

/// A party whose session waits but for the moments in which it is asked to compute.
pub(super) struct Metered<P> {
    party: P,
    meter: Arc<Meter>,
}

impl<P: Party> Metered<P> {
    pub(super) fn new(party: P, meter: Arc<Meter>) -> Self {
        Self { party, meter }
    }

    /// Asks for something that there may be or not: only what there is has moved.
    fn ask<T>(&mut self, ask: impl FnOnce(&mut P) -> Option<T>) -> Option<T> {
        self.meter.computing.fetch_add(1, Ordering::Relaxed);
        let answer = ask(&mut self.party);
        self.meter.computing.fetch_sub(1, Ordering::Relaxed);
        if answer.is_some() {
            self.meter.moves();
        }
        answer
    }
}

impl<P: Party> Party for Metered<P> {
    type Output = P::Output;

    fn poll_send(&mut self, to: PartyId) -> Option<Frame> {
        self.ask(|party| party.poll_send(to))
    }

    fn receive(&mut self, from: PartyId, frame: Frame) -> Result<(), Fault> {
        let _computes = self.meter.compute();
        self.party.receive(from, frame)
    }

    fn lost(&mut self, who: PartyId) -> Result<(), Stall> {
        let _computes = self.meter.compute();
        self.party.lost(who)
    }

    fn poll_checkpoint(&mut self) -> Option<Checkpoint> {
        self.ask(P::poll_checkpoint)
    }

    fn stored(&mut self) {
        let _computes = self.meter.compute();
        self.party.stored();
    }

    fn poll_halt(&mut self) -> Option<Halt> {
        self.ask(P::poll_halt)
    }

    fn progress(&self) -> Progress {
        self.party.progress()
    }

    fn output(&mut self) -> Option<P::Output> {
        self.ask(P::output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parties(names: &[&str]) -> BTreeSet<PartyId> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_is_still_while_it_waits_and_computes_nothing() {
        let second = Duration::from_secs(1);
        let meter = Arc::new(Meter::default());
        tokio::time::advance(second).await;
        assert_eq!(meter.still(), Duration::ZERO, "who says nothing computes");
        let waiting = meter.wait_for(parties(&["bank", "shop"]));
        tokio::time::advance(second).await;
        assert_eq!((meter.still(), meter.awaited()), (second, parties(&["bank", "shop"])));
        let computing = meter.compute();
        tokio::time::advance(second).await;
        assert_eq!((meter.still(), meter.awaited()), (Duration::ZERO, parties(&[])));
        drop(computing);
        tokio::time::advance(second).await;
        waiting.is_for(parties(&["bank", "shop"]));
        assert_eq!(meter.still(), second, "the same is no news");
        waiting.is_for(parties(&["shop"]));
        assert_eq!((meter.still(), meter.awaited()), (Duration::ZERO, parties(&["shop"])));
        drop(waiting);
        tokio::time::advance(second).await;
        assert_eq!(meter.still(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sign_of_life_ends_the_silence_and_moves_nothing() {
        let [one, three, ten] = [1, 3, 10].map(Duration::from_secs);
        let meter = Arc::new(Meter::default());
        let _waiting = meter.wait_for(parties(&["bank"]));
        tokio::time::advance(ten).await;
        meter.has_sign(three);
        assert_eq!((meter.still(), meter.silent()), (ten, three));
        meter.has_sign(ten * 2);
        tokio::time::advance(one).await;
        assert_eq!(meter.silent(), three + one, "an older one is none");
        meter.moves();
        assert_eq!((meter.still(), meter.silent()), (Duration::ZERO, Duration::ZERO));
    }
}
