//! The services that run in this process: begun by the machine's effect, kept up beside, and ended with it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::super::core::{Core, about_job, state_of, terms_of};
use super::super::kind::{JobKind, Kinds};
use super::super::part::Stop;
use super::super::state::State;
use super::asking;
use super::quota::Quota;
use super::service::{Service, ServiceRun, Serving};
use crate::attest::queries::{Code, Under};
use crate::codes::{self, Error};
use crate::store::{Job, JobId};
use crate::transport::Pending;

/// The pause before a service is begun anew that could not begin, or whose upkeep has lost a party.
const AGAIN: Duration = Duration::from_secs(5);
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
    pub(in crate::jobs) kind: Arc<dyn JobKind>,
    pub(in crate::jobs) service: Arc<dyn Service>,
    /// Under what its questions are on record.
    pub(in crate::jobs) under: Under,
    pub(in crate::jobs) quota: Quota,
    pub(in crate::jobs) counts: Counts,
    /// Ends what is under way with it.
    pub(in crate::jobs) stop: CancellationToken,
    sessions: Mutex<BTreeMap<PartyId, usize>>,
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
struct Registered<'a> {
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

    fn register(&self, job: JobId, service: Arc<RunningService>) -> Registered<'_> {
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

/// Serves a job until this is dropped, or until the service fails: then the job is over.
pub(in crate::jobs) async fn serve(core: Arc<Core>, services: Arc<Services>, kinds: Kinds, row: Job) {
    let id = row.id;
    loop {
        let why = match begin(&core, &kinds, &row).await {
            Ok((running, upkeep)) => {
                let _found = services.register(id, running.clone());
                let _settled = AbortOnDropHandle::new(tokio::spawn(settle(running)));
                tracing::info!(job = %id, "the service runs");
                core.running.notify();
                // On a task of its own, so that a panic in it ends this service and no other.
                let unexpected = |_| Stop::Failed(Error::internal("the upkeep of the service ended unexpectedly"));
                AbortOnDropHandle::new(tokio::spawn(upkeep)).await.unwrap_or_else(unexpected)
            }
            Err(stop) => stop,
        };
        match why {
            Stop::Failed(why) if ![codes::DISK_FULL, codes::STORE, codes::LOG].contains(&why.code) => {
                tracing::warn!(job = %id, code = why.code.name, text = why.text, "the service failed");
                core.blame(id, why);
                return;
            }
            Stop::Failed(why) | Stop::Lost(why) => {
                tracing::warn!(job = %id, code = why.code.name, text = why.text, "the service begins anew");
            }
            Stop::Stopped | Stop::Restarted => {}
        }
        sleep(AGAIN).await;
    }
}

async fn begin(
    core: &Arc<Core>,
    kinds: &Kinds,
    row: &Job,
) -> Result<(Arc<RunningService>, Pending<'static, Stop>), Stop> {
    let terms = terms_of(row)?;
    let kind = kinds.find(&terms.kind)?.clone();
    let run = ServiceRun::new(core.clone(), row.clone(), terms);
    run.rules().await?;
    let agreement = core.recorder.recorded(&about_job(row.id), "agreement").await?;
    let agreement = agreement.ok_or_else(|| Error::internal("the agreement on the service is not on record"))?;
    let serving = kind.clone().serve(run.clone());
    let unexpected = |_| Error::internal("the service could not begin: its kind ended unexpectedly");
    let Serving { service, upkeep } = AbortOnDropHandle::new(tokio::spawn(serving)).await.map_err(unexpected)??;
    let unit = Code::parse(service.unit()).map_err(|error| Error::internal(error.to_string()))?;
    let under = Under { job: row.id, agreement: agreement.entry.leaf(), unit };
    let (quota, stop, sessions) = (Quota::default(), CancellationToken::new(), Mutex::default());
    Ok((
        Arc::new(RunningService { run, kind, service, under, quota, counts: Counts::default(), stop, sessions }),
        upkeep,
    ))
}

/// Questions that were open when this process was another one are answered, so that both sides' logs say the same.
async fn settle(service: Arc<RunningService>) {
    if let Err(error) = asking::settle(&service).await {
        tracing::warn!(job = %service.run.job().id, %error, "questions from before the start are still open");
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
