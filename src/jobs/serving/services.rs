//! The services that run in this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacitly_core::PartyId;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::super::core::state_of;
use super::super::state::State;
use super::quota::Quota;
use super::run::ServiceRun;
use super::service::Service;
use crate::attest::queries::Under;
use crate::codes::{self, Error};
use crate::store::{Job, JobId};

/// Sessions that one party may have open with one service.
const MOST_SESSIONS: usize = 4;

/// All of one party.
pub(in crate::jobs) struct Services {
    running: Mutex<BTreeMap<JobId, Arc<RunningService>>>,
    /// Answers that compute at the same time.
    pub(in crate::jobs) answering: Arc<Semaphore>,
}

/// One of them.
pub(in crate::jobs) struct RunningService {
    pub(in crate::jobs) run: ServiceRun,
    pub(in crate::jobs) service: Arc<dyn Service>,
    /// Under what its questions are on record.
    pub(in crate::jobs) under: Under,
    pub(in crate::jobs) quota: Quota,
    pub(in crate::jobs) counts: Counts,
    /// Ends what is under way with it.
    pub(in crate::jobs) stop: CancellationToken,
    pub(in crate::jobs) sessions: Mutex<BTreeMap<PartyId, usize>>,
}

/// Questions since the service began in this process.
#[derive(Default)]
pub(in crate::jobs) struct Counts([AtomicU64; 3]);

impl Counts {
    pub(in crate::jobs) fn answered(&self, number: usize) {
        self.0[0].fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(in crate::jobs) fn refused(&self, number: usize) {
        self.0[1].fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(in crate::jobs) fn asked(&self, number: usize) {
        self.0[2].fetch_add(number as u64, Ordering::Relaxed);
    }

    /// Answered, refused, asked.
    pub(in crate::jobs) fn read(&self) -> [u64; 3] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

/// A session of a service is under way; another may be when this is dropped.
pub(in crate::jobs) struct SessionPlace {
    service: Arc<RunningService>,
    peer: PartyId,
}

/// A service that can be found; it cannot when this is dropped.
pub(in crate::jobs) struct Registered<'a> {
    services: &'a Services,
    job: JobId,
    stop: CancellationToken,
}

impl Services {
    pub(in crate::jobs) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self { running: Mutex::default(), answering: Arc::new(Semaphore::new(threads.max(2))) }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Arc<RunningService>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The service of a job, if it runs.
    pub(in crate::jobs) fn find(&self, job: JobId) -> Option<Arc<RunningService>> {
        self.lock().get(&job).cloned()
    }

    /// Every service that runs.
    pub(in crate::jobs) fn all(&self) -> Vec<Arc<RunningService>> {
        self.lock().values().cloned().collect()
    }

    /// Lets a service be found until what is returned is dropped.
    pub(in crate::jobs) fn register(&self, job: JobId, service: Arc<RunningService>) -> Registered<'_> {
        let stop = service.stop.clone();
        self.lock().insert(job, service);
        Registered { services: self, job, stop }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.stop.cancel();
        self.services.lock().remove(&self.job);
    }
}

impl RunningService {
    /// Whether one more session with a party may be opened.
    pub(in crate::jobs) fn session_place(self: &Arc<Self>, peer: PartyId) -> Option<SessionPlace> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sessions.entry(peer).or_default();
        if *open >= MOST_SESSIONS {
            return None;
        }
        *open += 1;
        Some(SessionPlace { service: self.clone(), peer })
    }
}

impl Drop for SessionPlace {
    fn drop(&mut self) {
        let mut sessions = self.service.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sessions.get_mut(&self.peer) {
            *open = open.saturating_sub(1);
        }
    }
}

/// Why a job does not answer here.
pub(in crate::jobs) fn not_serving(job: &Job) -> Error {
    match state_of(job) {
        Ok(State::Revoked) => Error::new(codes::REVOKED, "the service was revoked"),
        Ok(State::Expired) => Error::new(codes::TERMS_EXPIRED, "the time of the service is over"),
        Ok(State::Serving) => Error::new(codes::NOT_SERVING, "the service is just starting"),
        Ok(state) => Error::new(codes::NOT_SERVING, format!("the job is {state}")),
        Err(error) => error,
    }
}
