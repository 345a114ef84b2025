//! The places of jobs that compute at the same time, shared fairly between peers.
//!
//! A place goes to whoever has waited longest among those whose peers hold the fewest. Where there is more than one place,
//! no peer's jobs hold all of them: a peer that is slow, silent or dead leaves one to the others.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacitly_core::PartyId;
use tokio::sync::Notify;

use crate::store::JobId;

/// All places of this party. A clone is the same places.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    capacity: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    held: Vec<Claim>,
    /// Whoever waits, the first to come first.
    waiting: Vec<Claim>,
}

/// A job, and the other parties in it.
#[derive(Clone, PartialEq, Eq)]
struct Claim {
    job: JobId,
    peers: BTreeSet<PartyId>,
}

/// A place that is held; it is free again when this is dropped.
pub(super) struct Place {
    places: Places,
    job: JobId,
}

/// A turn in the queue; left when this is dropped.
struct Turn<'a> {
    places: &'a Places,
    job: JobId,
}

impl Places {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Arc::new(Inner { capacity: capacity.max(1), state: Mutex::default(), changed: Notify::new() }))
    }

    /// Whether a job with these peers could take a place at this moment.
    pub(super) fn has_room(&self, peers: &BTreeSet<PartyId>) -> bool {
        self.fits(&self.lock(), peers)
    }

    /// Takes a place if there is one for a job with these peers, and nobody waits who comes before it.
    pub(super) fn try_take(&self, job: JobId, peers: BTreeSet<PartyId>) -> Option<Place> {
        let mut state = self.lock();
        let free = self.fits(&state, &peers) && self.first(&state).is_none();
        free.then(|| self.hold(&mut state, Claim { job, peers }))
    }

    /// Waits for a place.
    pub(super) async fn take(&self, job: JobId, peers: BTreeSet<PartyId>) -> Place {
        let claim = Claim { job, peers };
        self.lock().waiting.push(claim.clone());
        let _turn = Turn { places: self, job };
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if self.first(&state).is_some_and(|first| first == &claim) {
                    return self.hold(&mut state, claim);
                }
            }
            changed.await;
        }
    }

    /// How many places are held.
    pub(super) fn held(&self) -> usize {
        self.lock().held.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, state: &mut State, claim: Claim) -> Place {
        let job = claim.job;
        state.waiting.retain(|waiting| waiting.job != job);
        state.held.push(claim);
        Place { places: self.clone(), job }
    }

    fn fits(&self, state: &State, peers: &BTreeSet<PartyId>) -> bool {
        let most = if self.0.capacity > 1 { self.0.capacity - 1 } else { 1 };
        state.held.len() < self.0.capacity && peers.iter().all(|peer| held_with(state, *peer) < most)
    }

    /// Whose turn it is, if there is a place for anybody who waits.
    fn first<'a>(&self, state: &'a State) -> Option<&'a Claim> {
        let fitting = state.waiting.iter().filter(|claim| self.fits(state, &claim.peers));
        fitting.min_by_key(|claim| claim.peers.iter().map(|peer| held_with(state, *peer)).max())
    }
}

fn held_with(state: &State, peer: PartyId) -> usize {
    state.held.iter().filter(|claim| claim.peers.contains(&peer)).count()
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().held.retain(|claim| claim.job != self.job);
        self.places.0.changed.notify_waiters();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.places.lock().waiting.retain(|claim| claim.job != self.job);
        // Somebody else may be the first now.
        self.places.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn with(name: &str) -> BTreeSet<PartyId> {
        BTreeSet::from([name.parse().unwrap()])
    }

    #[test]
    fn one_peers_jobs_leave_a_place_to_the_others() {
        let places = Places::new(3);
        let held: Vec<_> = (0..5).filter_map(|_| places.try_take(JobId::fresh(), with("shop"))).collect();
        assert_eq!(held.len(), 2);
        assert!(!places.has_room(&with("shop")));
        let other = places.try_take(JobId::fresh(), with("lender"));
        assert!(other.is_some() && !places.has_room(&with("third")));
        drop(held);
        assert!(places.has_room(&with("shop")));
        assert_eq!(places.held(), 1);
    }

    #[test]
    fn a_single_place_serves_everybody() {
        let places = Places::new(1);
        let held = places.try_take(JobId::fresh(), with("shop"));
        assert!(held.is_some() && !places.has_room(&with("lender")));
        drop(held);
        assert!(places.try_take(JobId::fresh(), with("lender")).is_some());
    }

    #[test]
    fn who_waits_comes_before_who_comes_and_after_whoever_holds_less() {
        let places = Places::new(2);
        let mut context = Context::from_waker(Waker::noop());
        let first = places.try_take(JobId::fresh(), with("shop")).unwrap();
        let second = places.try_take(JobId::fresh(), with("lender")).unwrap();
        let mut shop = pin!(places.take(JobId::fresh(), with("shop")));
        let mut lender = pin!(places.take(JobId::fresh(), with("lender")));
        assert!(shop.as_mut().poll(&mut context).is_pending() && lender.as_mut().poll(&mut context).is_pending());
        drop(second);
        // The shop has waited longer, and holds a place already.
        assert!(places.try_take(JobId::fresh(), with("third")).is_none(), "others wait for it");
        assert!(shop.as_mut().poll(&mut context).is_pending());
        assert!(lender.as_mut().poll(&mut context).is_ready());
        drop(first);
        assert!(shop.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn who_leaves_the_queue_keeps_nobody_waiting() {
        let places = Places::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let held = places.try_take(JobId::fresh(), with("shop")).unwrap();
        let mut gone = Box::pin(places.take(JobId::fresh(), with("shop")));
        assert!(gone.as_mut().poll(&mut context).is_pending());
        let mut next = pin!(places.take(JobId::fresh(), with("lender")));
        assert!(next.as_mut().poll(&mut context).is_pending());
        drop(gone);
        drop(held);
        assert!(next.as_mut().poll(&mut context).is_ready());
    }
}
