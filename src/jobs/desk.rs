//! The jobs at work in this process: where each stands, how to stop it, and what its peer said last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacitly_attestation::entry::LeafHash;
use tacitly_psi::PsiParty;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::plan::Wish;
use crate::session::{Status, Traffic};
use crate::store::JobId;

/// An attempt that ends sooner has brought nothing; the longest pause between such attempts.
pub(super) const IN_VAIN: Duration = Duration::from_secs(10);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where a job stands this moment; what outlives the process is in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// What is being done, in a few words.
    pub stage: String,
    /// Units done.
    pub done: u64,
    /// Units in all, 0 if unknown.
    pub total: u64,
    /// Application bytes sent in this attempt.
    pub bytes_out: u64,
    /// Application bytes received in this attempt.
    pub bytes_in: u64,
}

/// The peer has read its data for an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerReady {
    pub(super) attempt: u32,
    pub(super) items: u64,
    pub(super) wants_size: bool,
    /// The entry of its data.
    pub(super) dataset: Option<LeafHash>,
    pub(super) wish: Wish,
    pub(super) draw: Option<u32>,
    pub(super) sized: u32,
    pub(super) finished: u32,
}

/// Where a job in buckets stands, apart from the session of its bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Which bucket of which, in words.
    pub(super) words: String,
    /// Entries of our lists that are through, and in all.
    pub(super) done: u64,
    pub(super) total: u64,
    /// Bytes of the sessions that are over.
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
}

/// One job at work.
#[derive(Clone)]
pub(super) struct Work {
    stage: Arc<Mutex<Stage>>,
    course: Arc<Mutex<Option<Course>>>,
    pub(super) peer_ready: Arc<watch::Sender<Option<PeerReady>>>,
    /// The peer has stored its result while ours is still to come.
    pub(super) peer_done: Arc<watch::Sender<bool>>,
    /// What went over in this attempt stands in the ledger.
    reported: Arc<AtomicBool>,
    /// Ends the attempt that runs, without a word about why: whoever stops it says why in the ledger.
    pub(super) stop: CancellationToken,
    /// The attempt that runs; 0 while the job only waits.
    pub(super) attempt: u32,
    /// When it must be over.
    pub(super) until: Instant,
}

/// What a job is doing.
enum Stage {
    Words(&'static str),
    Session(watch::Receiver<Status>),
}

/// All jobs at work, by number.
#[derive(Default)]
pub(super) struct Desk {
    works: Mutex<BTreeMap<JobId, Work>>,
    /// Jobs that a task of ours leads.
    led: Mutex<BTreeSet<JobId>>,
    changed: watch::Sender<u64>,
    /// When the peer last had us begin an attempt at a job, and how many in a row were over soon after.
    begun: Mutex<BTreeMap<JobId, (Instant, u32)>>,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Work>> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job on the desk for an attempt, ending any earlier one.
    pub(super) fn begin(&self, job: JobId, attempt: u32, until: Instant) -> Work {
        let mut works = self.lock();
        if let Some(earlier) = works.remove(&job) {
            earlier.stop.cancel();
        }
        let work = Work {
            stage: Arc::new(Mutex::new(Stage::Words("starting"))),
            course: Arc::default(),
            peer_ready: Arc::new(watch::Sender::new(None)),
            peer_done: Arc::new(watch::Sender::new(false)),
            reported: Arc::default(),
            stop: CancellationToken::new(),
            attempt,
            until,
        };
        works.insert(job, work.clone());
        drop(works);
        self.bump();
        work
    }

    /// The job, if it is on the desk.
    pub(super) fn find(&self, job: JobId) -> Option<Work> {
        self.lock().get(&job).cloned()
    }

    /// Whether another attempt at a job may begin now that the peer asks for.
    pub(super) fn may_begin(&self, job: JobId) -> bool {
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.get(&job).is_none_or(|(last, in_vain)| {
            last.elapsed() >= LONGEST_PAUSE.min(Duration::from_millis(10 << (*in_vain).min(10)))
        })
    }

    /// Notes that the peer had us begin an attempt.
    pub(super) fn note_begun(&self, job: JobId) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        // Jobs that nobody has begun for long are forgotten.
        begun.retain(|_, (last, _)| last.elapsed() < IN_VAIN);
        let in_vain = begun.get(&job).map_or(0, |(_, in_vain)| in_vain.saturating_add(1));
        begun.insert(job, (Instant::now(), in_vain));
    }

    /// Claims the lead of a job. Returns whether nobody had it.
    pub(super) fn claim(&self, job: JobId) -> bool {
        self.led.lock().unwrap_or_else(PoisonError::into_inner).insert(job)
    }

    /// Gives the lead of a job back.
    pub(super) fn release(&self, job: JobId) {
        self.led.lock().unwrap_or_else(PoisonError::into_inner).remove(&job);
    }

    /// Takes a job off the desk, unless a later attempt has taken its place.
    pub(super) fn end(&self, job: JobId, attempt: u32) {
        let mut works = self.lock();
        if works.get(&job).is_some_and(|work| work.attempt == attempt) {
            works.remove(&job);
        }
        drop(works);
        self.bump();
    }

    /// Takes a job off the desk and ends its attempt.
    pub(super) fn stop(&self, job: JobId) {
        if let Some(work) = self.lock().remove(&job) {
            work.stop.cancel();
        }
        self.bump();
    }

    /// Ends the work of every job that only waits for its peer.
    pub(super) fn stop_waiting(&self) {
        for work in self.lock().values() {
            if matches!(&*work.stage.lock().unwrap_or_else(PoisonError::into_inner), Stage::Words(_)) {
                work.stop.cancel();
            }
        }
    }

    /// Notes what the peer has read. Returns whether our side is at the same attempt.
    pub(super) fn note_ready(&self, job: JobId, ready: PeerReady) -> bool {
        match self.find(job) {
            Some(work) if work.attempt == ready.attempt => {
                work.peer_ready.send_replace(Some(ready));
                true
            }
            _ => false,
        }
    }

    /// How many jobs are on the desk.
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Wakes those who watch jobs.
    pub(super) fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes whenever any job does.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Work {
    /// Notes that what went over in this attempt stands in the ledger.
    pub(super) fn note_reported(&self) {
        self.reported.store(true, Ordering::Release);
    }

    /// Whether it does.
    pub(super) fn is_reported(&self) -> bool {
        self.reported.load(Ordering::Acquire)
    }

    /// Shows a stage that has no numbers.
    pub(super) fn show(&self, words: &'static str) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Words(words);
    }

    /// Shows a protocol session from now on; the sender tells how it goes.
    pub(super) fn show_session(&self) -> watch::Sender<Status> {
        let (sender, receiver) = watch::channel(Status::default());
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = Stage::Session(receiver);
        sender
    }

    /// Shows the sessions from now on as parts of a larger job.
    pub(super) fn show_course(&self, course: Course) {
        *self.course.lock().unwrap_or_else(PoisonError::into_inner) = Some(course);
    }

    /// Where the job stands this moment.
    pub(super) fn live(&self) -> Live {
        let live = self.session();
        match &*self.course.lock().unwrap_or_else(PoisonError::into_inner) {
            None => live,
            Some(course) => {
                // Our own list leaves while the peer's is multiplied; what comes behind takes little time.
                let of_this_bucket = if live.stage == PsiParty::BLINDING { live.done } else { 0 };
                Live {
                    stage: format!("{}: {}", course.words, live.stage),
                    done: course.done + of_this_bucket,
                    total: course.total,
                    bytes_out: course.bytes_out + live.bytes_out,
                    bytes_in: course.bytes_in + live.bytes_in,
                }
            }
        }
    }

    /// Where the session that runs stands this moment.
    pub(super) fn session(&self) -> Live {
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Words(words) => Live { stage: (*words).to_owned(), ..Live::default() },
            Stage::Session(status) => {
                let status = status.borrow();
                let down = status.peers.iter().find(|(_, traffic)| !traffic.up);
                let stage = match down {
                    Some((peer, _)) => format!("link down: waiting for {peer}"),
                    None => status.stage.to_owned(),
                };
                let bytes = |of: fn(&Traffic) -> u64| status.peers.values().map(of).sum();
                Live {
                    stage,
                    done: status.done,
                    total: status.total,
                    bytes_out: bytes(|traffic| traffic.bytes_out),
                    bytes_in: bytes(|traffic| traffic.bytes_in),
                }
            }
        }
    }
}
