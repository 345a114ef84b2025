//! The places of jobs that compute at the same time, shared fairly between peers.
//!
//! A place goes to whoever has waited longest among those whose peers hold the fewest. Where there is more than one place,
//! no peer's jobs hold all of them.
//!
//! A job that waits for others *rests*: its place is free for others meanwhile. When something comes it wakes and computes
//! at once, also where that is one job more than there are places: those who wait for it have waited, its data is in
//! memory already, and two jobs that each hold the place for which the other waits cannot be. What it would have taken is
//! taken from jobs that have not begun. So that no peer fills our memory with jobs that rest, they count where all of
//! their parties take part: whoever is silent in the one job is silent in the other, too.

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
    /// It waits for others, and computes nothing.
    rests: bool,
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
        free.then(|| self.hold(&mut state, Claim { job, peers, rests: false }))
    }

    /// Waits for a place.
    pub(super) async fn take(&self, job: JobId, peers: BTreeSet<PartyId>) -> Place {
        let claim = Claim { job, peers, rests: false };
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

    /// The job waits for others from now on: its place is free for jobs with others.
    pub(super) fn rest(&self, job: JobId) {
        if self.set_rests(job, true) {
            self.0.changed.notify_waiters();
        }
    }

    /// The job computes again.
    pub(super) fn wake(&self, job: JobId) {
        self.set_rests(job, false);
    }

    /// Returns whether that is new.
    fn set_rests(&self, job: JobId, rests: bool) -> bool {
        let mut state = self.lock();
        let claim = state.held.iter_mut().find(|claim| claim.job == job);
        claim.is_some_and(|claim| std::mem::replace(&mut claim.rests, rests) != rests)
    }

    /// How many jobs hold a place or rest beside one.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.lock().held.len()
    }

    /// How many jobs compute.
    pub(super) fn computing(&self) -> usize {
        self.lock().computing().count()
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
        let with_these_only = state.held.iter().filter(|claim| claim.peers.is_subset(peers)).count();
        state.computing().count() < self.0.capacity
            && peers.iter().all(|peer| state.computing_with(*peer) < most)
            && with_these_only < most
    }

    /// Whose turn it is, if there is a place for anybody who waits.
    fn first<'a>(&self, state: &'a State) -> Option<&'a Claim> {
        let fitting = state.waiting.iter().filter(|claim| self.fits(state, &claim.peers));
        fitting.min_by_key(|claim| claim.peers.iter().map(|peer| state.computing_with(*peer)).max())
    }
}

impl State {
    fn computing(&self) -> impl Iterator<Item = &Claim> {
        self.held.iter().filter(|claim| !claim.rests)
    }

    fn computing_with(&self, peer: PartyId) -> usize {
        self.computing().filter(|claim| claim.peers.contains(&peer)).count()
    }
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

    use rand::rngs::ChaCha20Rng;
    use rand::{RngExt as _, SeedableRng as _};

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

    #[test]
    fn a_job_that_rests_makes_room_for_jobs_with_others_and_computes_at_once_when_it_wakes() {
        let places = Places::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let silent = JobId::fresh();
        let held = places.try_take(silent, with("shop")).unwrap();
        let mut lender = pin!(places.take(JobId::fresh(), with("lender")));
        assert!(lender.as_mut().poll(&mut context).is_pending());
        places.rest(silent);
        assert!(!places.has_room(&with("shop")), "no second job waits in memory for the same silent peer");
        let std::task::Poll::Ready(lenders) = lender.as_mut().poll(&mut context) else { panic!("the place is free") };
        places.wake(silent);
        assert_eq!((places.held(), places.computing()), (2, 2));
        drop(lenders);
        assert!(!places.has_room(&with("lender")), "the one that woke holds the place again");
        drop(held);
        assert!(places.has_room(&with("lender")));
    }

    #[test]
    fn a_job_that_rests_keeps_no_job_from_a_place_in_which_not_all_of_its_parties_are() {
        let names: Vec<PartyId> = (0..5).map(|at| format!("party-{at}").parse().unwrap()).collect();
        for seed in 0..2_000 {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            let capacity = rng.random_range(1..5);
            let places = Places::new(capacity);
            let some = |rng: &mut ChaCha20Rng| {
                let first = names[rng.random_range(0..names.len())];
                let others = names.iter().filter(|_| rng.random_range(0..4) == 0);
                others.copied().chain([first]).collect::<BTreeSet<PartyId>>()
            };
            let mut held: Vec<(JobId, BTreeSet<PartyId>, Place, bool)> = Vec::new();
            let mut woken = 0;
            for _ in 0..60 {
                match rng.random_range(0..4) {
                    0 | 1 => {
                        let (job, peers) = (JobId::fresh(), some(&mut rng));
                        if let Some(place) = places.try_take(job, peers.clone()) {
                            held.push((job, peers, place, false));
                        }
                    }
                    2 if !held.is_empty() => {
                        let at = rng.random_range(0..held.len());
                        let (job, _, _, rests) = &mut held[at];
                        if *rests {
                            places.wake(*job);
                            woken += 1;
                        } else {
                            places.rest(*job);
                        }
                        *rests = !*rests;
                    }
                    3 if !held.is_empty() => drop(held.swap_remove(rng.random_range(0..held.len()))),
                    _ => {}
                }
                let computing = held.iter().filter(|(.., rests)| !rests).count();
                assert_eq!(places.computing(), computing, "seed {seed}");
                assert!(computing <= capacity + woken, "seed {seed}: more than {capacity} jobs have begun");
                // The same jobs at work in a house where nobody rests.
                let without = Places::new(capacity);
                let computing = held.iter().filter(|(.., rests)| !rests);
                without.lock().held.extend(computing.map(|(job, peers, ..)| Claim {
                    job: *job,
                    peers: peers.clone(),
                    rests: false,
                }));
                let wanted = some(&mut rng);
                let same_parties = |peers: &BTreeSet<PartyId>| peers.is_subset(&wanted);
                if !held.iter().any(|(_, peers, _, rests)| *rests && same_parties(peers)) {
                    assert_eq!(places.has_room(&wanted), without.has_room(&wanted), "seed {seed}: {wanted:?}");
                }
            }
        }
    }
}
