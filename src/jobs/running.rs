//! The jobs at work in this process: the machine of each, one step at a time, and where its attempt stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tacitly_core::PartyId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gathered_words::GatheredWords;
use super::machine::{self, Slot};
use super::meter::Meter;
use super::part::Shown;
use super::places::Place;
use crate::session::{Status, Traffic};
use crate::store::{Job, JobId};

/// An attempt that ends sooner has brought nothing.
pub(super) const IN_VAIN: Duration = Duration::from_secs(10);
/// The longest pause between such attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Where a job stands this moment; what outlives the process is in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobProgress {
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

/// Where an attempt of several parts stands, apart from the session of the part that runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Course {
    /// Which part of which, in words.
    pub(super) words: String,
    /// How it is counted.
    pub(super) shown: Shown,
    /// Units that are through.
    pub(super) done: u64,
    /// Bytes of the sessions that are over.
    pub(super) bytes_out: u64,
    pub(super) bytes_in: u64,
}

/// One job at work.
#[derive(Clone)]
pub(super) struct RunningJob {
    stage: Arc<Mutex<Stage>>,
    course: Arc<Mutex<Option<Course>>>,
    /// What all parties have said, as far as the leader has heard.
    pub(super) gathered: Arc<GatheredWords>,
    /// Whether it waits or computes.
    pub(super) meter: Arc<Meter>,
    /// Ends the attempt that runs, without a word about why: whoever stops it says why in the ledger.
    pub(super) stop: CancellationToken,
    /// The attempt that runs.
    pub(super) attempt: u32,
    /// When it must be over.
    pub(super) until: Instant,
}

/// What a job is doing.
enum Stage {
    Words(&'static str),
    Session(watch::Receiver<Status>),
}

/// A job in this process.
#[derive(Default)]
pub(super) struct Running {
    /// Its machine; whoever makes a step holds it.
    pub(super) machine: tokio::sync::Mutex<Option<Machine>>,
    /// What its attempt is at.
    work: Mutex<Option<RunningJob>>,
    /// What it waits for, where there is no attempt.
    waits: Mutex<&'static str>,
}

/// The machine of a job, with all that its effects have begun. Dropped, they end.
pub(super) struct Machine {
    /// The job as the ledger has it.
    pub(super) row: Job,
    pub(super) job: machine::Job,
    /// The place that it holds.
    pub(super) place: Option<Place>,
    /// Frees it for others while everybody is told to begin.
    pub(super) starting: Option<DropGuard>,
    /// Its turn in the queue for one.
    pub(super) queue: Option<DropGuard>,
    /// What is being said, to whom.
    pub(super) telling: BTreeMap<(PartyId, Slot), (u64, DropGuard)>,
    /// The next number of a word that is being said.
    pub(super) words: u64,
    /// Whose links are watched, because the job waits for them.
    pub(super) watched: BTreeSet<PartyId>,
    pub(super) watching: Vec<DropGuard>,
    /// Its service, if it serves.
    pub(super) serving: Option<DropGuard>,
    /// Looks at the job when its terms are over.
    pub(super) expiry: Option<DropGuard>,
    /// Ends the job when its time is over: since when it runs without a pause.
    pub(super) deadline: Option<(Instant, DropGuard)>,
    /// When the leader last had us begin an attempt, and how many in a row were over soon after.
    begun: Option<(Instant, u32)>,
}

/// All jobs at work, by number.
#[derive(Default)]
pub(super) struct RunningJobs {
    jobs: Mutex<BTreeMap<JobId, Arc<Running>>>,
    changed: watch::Sender<u64>,
}

impl RunningJobs {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<JobId, Arc<Running>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job, at work from now on.
    pub(super) fn of(&self, job: JobId) -> Arc<Running> {
        self.lock().entry(job).or_default().clone()
    }

    /// What the attempt at a job is at, if there is one.
    pub(super) fn find(&self, job: JobId) -> Option<RunningJob> {
        self.lock().get(&job)?.work()
    }

    /// What the job is at or waits for, in words and numbers.
    pub(super) fn progress(&self, job: JobId) -> Option<(JobProgress, bool)> {
        let running = self.lock().get(&job)?.clone();
        match running.work() {
            Some(work) => Some((work.progress(), true)),
            None => Some((JobProgress { stage: running.waits().to_owned(), ..JobProgress::default() }, false)),
        }
    }

    /// Forgets a job that is over and has nothing left to say.
    pub(super) fn forget(&self, job: JobId) {
        self.lock().remove(&job);
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<JobId> {
        self.lock().keys().copied().collect()
    }

    /// Waits until this attempt at a job is under way here, or a later one.
    pub(super) async fn at_attempt(&self, job: JobId, attempt: u32) -> Option<RunningJob> {
        let mut changes = self.changed.subscribe();
        loop {
            match self.find(job) {
                Some(work) if work.attempt == attempt => return Some(work),
                Some(work) if work.attempt > attempt => return None,
                _ => changes.changed().await.ok()?,
            }
        }
    }

    /// Wakes those who watch jobs.
    pub(super) fn notify(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes whenever any job does.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

impl Running {
    fn work(&self) -> Option<RunningJob> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An attempt begins; an earlier one ends.
    pub(super) fn begin(&self, attempt: u32, until: Instant) -> RunningJob {
        let work = RunningJob::new(attempt, until);
        if let Some(earlier) = self.work.lock().unwrap_or_else(PoisonError::into_inner).replace(work.clone()) {
            earlier.stop.cancel();
        }
        work
    }

    /// The attempt is over; `attempt` tells it from a later one.
    pub(super) fn end(&self, attempt: u32) {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.as_ref().is_some_and(|work| work.attempt == attempt) {
            *work = None;
        }
    }

    /// Ends the attempt without a word.
    pub(super) fn stop(&self) {
        if let Some(work) = self.work.lock().unwrap_or_else(PoisonError::into_inner).take() {
            work.stop.cancel();
        }
    }

    /// What the attempt is at, or what the job waits for.
    pub(super) fn stage(&self) -> String {
        self.work().map_or_else(|| self.waits().to_owned(), |work| work.progress().stage)
    }

    fn waits(&self) -> &'static str {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what the job waits for.
    pub(super) fn wait_for(&self, words: &'static str) {
        *self.waits.lock().unwrap_or_else(PoisonError::into_inner) = words;
    }
}

impl Machine {
    pub(super) fn of(row: Job, job: machine::Job) -> Self {
        Self {
            row,
            job,
            place: None,
            starting: None,
            queue: None,
            telling: BTreeMap::new(),
            words: 0,
            watched: BTreeSet::new(),
            watching: Vec::new(),
            serving: None,
            expiry: None,
            deadline: None,
            begun: None,
        }
    }

    /// Whether an attempt may begin that the leader asks for: those that end as soon as they begin come slower and slower,
    /// however fast they are asked for.
    pub(super) fn may_begin(&self) -> bool {
        self.begun.is_none_or(|(last, in_vain)| {
            last.elapsed() >= LONGEST_PAUSE.min(Duration::from_millis(10 << in_vain.min(10)))
        })
    }

    /// Notes that the leader had us begin an attempt.
    pub(super) fn record_begun(&mut self) {
        let in_vain = match self.begun {
            Some((last, in_vain)) if last.elapsed() < IN_VAIN => in_vain.saturating_add(1),
            _ => 0,
        };
        self.begun = Some((Instant::now(), in_vain));
    }
}

impl RunningJob {
    fn new(attempt: u32, until: Instant) -> Self {
        Self {
            stage: Arc::new(Mutex::new(Stage::Words("starting"))),
            course: Arc::default(),
            gathered: Arc::default(),
            meter: Arc::default(),
            stop: CancellationToken::new(),
            attempt,
            until,
        }
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
    pub(super) fn progress(&self) -> JobProgress {
        let progress = self.session();
        match &*self.course.lock().unwrap_or_else(PoisonError::into_inner) {
            // One part is shown as it goes.
            None => progress,
            Some(course) => {
                if course.shown.units == 0 {
                    let (bytes_out, bytes_in) =
                        (course.bytes_out + progress.bytes_out, course.bytes_in + progress.bytes_in);
                    return JobProgress { bytes_out, bytes_in, ..progress };
                }
                let of_this_part =
                    if progress.stage == course.shown.stage { progress.done.min(course.shown.units) } else { 0 };
                JobProgress {
                    stage: if course.words.is_empty() {
                        progress.stage
                    } else {
                        format!("{}: {}", course.words, progress.stage)
                    },
                    done: course.done + of_this_part,
                    total: course.shown.total,
                    bytes_out: course.bytes_out + progress.bytes_out,
                    bytes_in: course.bytes_in + progress.bytes_in,
                }
            }
        }
    }

    /// Where the session that runs stands this moment.
    pub(super) fn session(&self) -> JobProgress {
        match &*self.stage.lock().unwrap_or_else(PoisonError::into_inner) {
            Stage::Words(words) => JobProgress { stage: (*words).to_owned(), ..JobProgress::default() },
            Stage::Session(status) => {
                let status = status.borrow();
                let down = status.peers.iter().find(|(_, traffic)| !traffic.up);
                let stage = match down {
                    Some((peer, _)) => format!("link down: waiting for {peer}"),
                    None => status.stage.to_owned(),
                };
                let bytes = |of: fn(&Traffic) -> u64| status.peers.values().map(of).sum();
                JobProgress {
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
