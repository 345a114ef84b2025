//! Attempts: the proposer leads and numbers them, the approver follows, and each ends in one of a few ways.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tacitly_core::PartyId;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::desk::{IN_VAIN, LONGEST_PAUSE, Work};
use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use super::outcome::Outcome;
use super::state::State;
use crate::codes::{self, Trouble};
use crate::store::{Job, JobChange, JobId, JobResult, Role};

/// Why waiting or working on a job ended before its end.
pub(super) enum Gone {
    /// Somebody else has moved the job, or the daemon stops: there is nothing left to do here.
    Stopped,
    /// The link to the peer was given up.
    Lost(Trouble),
    /// The peer's process is another one now: the attempt is void, the next one may begin at once.
    Restarted,
    /// The job cannot end well.
    Trouble(Trouble),
}

impl<T: Into<Trouble>> From<T> for Gone {
    fn from(error: T) -> Self {
        Self::Trouble(error.into())
    }
}

/// How long a daemon waits for the answer to one message about a job.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest pause before a busy peer is asked again.
const BUSY_PAUSE_NANOS: i128 = 1_000_000_000;
/// How many attempts in a row may bring nothing before the job waits for a person.
const MOST_IN_VAIN: u32 = 15;
/// What a protocol session gets beyond the deadline, to end by itself and say where it stood.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long a peer's receipt waits for our own side of the session to come to its end.
const RECEIPT_TRIES: u32 = 60;
const RECEIPT_PAUSE: Duration = Duration::from_millis(50);

impl Work {
    /// Returns once the deadline is over, whatever the peer says in the meantime.
    async fn overdue(&self) -> Gone {
        tokio::time::sleep_until(self.until + LAST_WORD).await;
        let stage = self.live().stage;
        Gone::Trouble(Trouble::new(codes::DEADLINE, format!("the job's time was over: {stage}")))
    }
}

impl Jobs {
    /// Takes up every job that is not over, after a start.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn take_up_all(self: &Arc<Self>) -> Result<(), Trouble> {
        self.end_restored().await?;
        self.sweep_frames().await?;
        for job in self.store.unfinished().await? {
            if job.state != State::Suspended.name() {
                self.take_up(&job);
            }
        }
        Ok(())
    }

    /// Goes on with a job: the proposer leads, the approver asks the proposer to.
    pub(super) fn take_up(self: &Arc<Self>, job: &Job) {
        match (job.role, job.state.parse()) {
            (Role::Proposer, _) => self.lead(job.id),
            // A proposal that waits for our decision needs nobody's work.
            (Role::Approver, Ok(State::Proposed)) => {}
            (Role::Approver, _) => self.ask_to_begin(job),
        }
    }

    /// As proposer: moves the job as far as it goes. One task leads a job at a time.
    pub(super) fn lead(self: &Arc<Self>, id: JobId) {
        if !self.desk.claim(id) {
            return;
        }
        let this = self.clone();
        self.tasks.spawn(async move {
            let (mut until, mut in_vain) = (this.deadline(), 0);
            while let Ok(job) = this.store.job(id).await {
                let began = Instant::now();
                let again = match job.state.parse() {
                    Ok(State::Proposed) => {
                        let approved = this.lead_proposal(&job).await;
                        // The time in which the peer was away is not the job's.
                        until = this.deadline();
                        approved
                    }
                    Ok(State::Approved | State::Running) => this.lead_attempt(&job, until, in_vain).await,
                    _ => false,
                };
                if !again {
                    break;
                }
                in_vain = if began.elapsed() < IN_VAIN { in_vain + 1 } else { 0 };
                let pause = LONGEST_PAUSE.min(Duration::from_millis(10 << in_vain.min(10)));
                let _closing = tokio::time::timeout(pause, this.closing.cancelled()).await;
            }
            this.desk.release(id);
        });
    }

    /// Returns whether the job was approved at once.
    async fn lead_proposal(self: &Arc<Self>, job: &Job) -> bool {
        match self.propose(job).await {
            Ok(()) => self.store.job(job.id).await.is_ok_and(|job| job.state == State::Approved.name()),
            Err(gone) => self.conclude(job, gone).await,
        }
    }

    /// When a job that runs from now on without a pause must be over.
    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.deadline
    }

    /// Returns whether another attempt may begin at once. `in_vain` attempts before this one ended as soon as they began.
    async fn lead_attempt(self: &Arc<Self>, job: &Job, until: Instant, in_vain: u32) -> bool {
        let from = [State::Approved.name(), State::Running.name()];
        let number = job.attempt + 1;
        let change = JobChange { attempt: Some(number), ..JobChange::by("daemon") };
        let job = match self.store.advance(job.id, &from, State::Running.name(), change).await {
            Ok(job) => job,
            // A full disk holds the job up; anything else means that somebody has moved it.
            Err(error) => return self.store_may_recover(&error.into()).await,
        };
        let work = self.desk.begin(job.id, number, until);
        let result = async {
            let _room = self.begin(&job, number, &work).await?;
            self.attempt(&job, number, &work).await
        };
        let ended = tokio::select! {
            ended = result => ended,
            () = work.stop.cancelled() => Err(Gone::Stopped),
            late = work.overdue() => Err(late),
        };
        self.desk.end(job.id, number);
        match ended {
            Ok(()) => false,
            Err(Gone::Restarted) if in_vain >= MOST_IN_VAIN => {
                let text = format!("{in_vain} attempts in a row ended as soon as {} had begun them with us", job.peer);
                self.conclude(&job, Gone::Lost(Trouble::new(codes::PEER_LOST, text).with(job.peer))).await
            }
            Err(gone) => self.conclude(&job, gone).await,
        }
    }

    /// As proposer: finds room here and there. Room here is given up while there is none there, so that two daemons
    /// full of jobs led by the other never wait for each other.
    async fn begin(self: &Arc<Self>, job: &Job, number: u32, work: &Work) -> Result<OwnedSemaphorePermit, Gone> {
        loop {
            work.show("waiting for room");
            let room = self.room.clone().acquire_owned().await.map_err(|_| Gone::Stopped)?;
            if self.ask_to_follow(job, number).await? {
                return Ok(room);
            }
            drop(room);
            // A random pause: two daemons that are busy with each other must not stay in step.
            let pause = (Timestamp::now().as_nanosecond() % BUSY_PAUSE_NANOS).unsigned_abs();
            tokio::time::sleep(Duration::from_millis(50) + Duration::from_nanos(pause as u64)).await;
        }
    }

    /// As proposer: tells the approver to begin this attempt. Returns whether it does; it may have no room.
    pub(super) async fn ask_to_follow(self: &Arc<Self>, job: &Job, number: u32) -> Result<bool, Gone> {
        let ask = Ask::Begin(pb::Begin { job: job.id.to_string(), attempt: number });
        match self.ask_within_window(job.peer, ask).await? {
            Answer::Ack(_) => Ok(true),
            Answer::Ended(ended) => {
                self.note_ended(job.peer, &ended).await;
                Err(Gone::Stopped)
            }
            _ => Ok(false),
        }
    }

    /// As approver: the proposer begins an attempt.
    pub(super) async fn take_begin(self: &Arc<Self>, from: PartyId, begin: &pb::Begin) -> Result<Answer, Trouble> {
        let job = self.find_with(&begin.job, from).await?;
        if let Some(ended) = ended_here(&job) {
            return Ok(ended);
        }
        let repeated = self.desk.find(job.id).is_some_and(|work| work.attempt == begin.attempt);
        if repeated {
            return Ok(message::ack());
        }
        let busy = Answer::Busy(pb::Busy {});
        if job.role != Role::Approver || job.state == State::Proposed.name() || self.closing.is_cancelled() {
            return Ok(busy);
        }
        // Attempts that end as soon as they begin come slower and slower, however fast they are asked for.
        if begin.attempt < job.attempt || !self.desk.may_begin(job.id) {
            return Ok(busy);
        }
        // An older attempt ends first; its room is free a moment later, when the proposer asks again.
        if self.desk.find(job.id).is_some_and(|work| work.attempt > 0) {
            self.desk.stop(job.id);
            return Ok(busy);
        }
        let Ok(room) = self.room.clone().try_acquire_owned() else { return Ok(busy) };
        let from_states = [State::Approved.name(), State::Running.name(), State::Suspended.name()];
        let change = JobChange { attempt: Some(begin.attempt), ..JobChange::by(from.as_str()) };
        let job = self.store.advance(job.id, &from_states, State::Running.name(), change).await?;
        self.desk.note_begun(job.id);
        let work = self.desk.begin(job.id, begin.attempt, self.deadline());
        let this = self.clone();
        self.tasks.spawn(async move {
            let ended = tokio::select! {
                ended = this.attempt(&job, work.attempt, &work) => ended,
                () = work.stop.cancelled() => Err(Gone::Stopped),
                late = work.overdue() => Err(late),
            };
            drop(room);
            let ended = match ended {
                // The proposer's process is another one; it begins again when it is ready.
                Err(Gone::Restarted) => this.await_next_attempt(&job, &work).await,
                other => other,
            };
            this.desk.end(job.id, work.attempt);
            if let Err(gone) = ended {
                this.conclude(&job, gone).await;
            }
        });
        Ok(message::ack())
    }

    /// As approver: waits for the proposer to begin again, as long as its link is not given up.
    async fn await_next_attempt(&self, job: &Job, work: &Work) -> Result<(), Gone> {
        work.show("waiting for the proposer to begin again");
        tokio::select! {
            () = work.stop.cancelled() => Err(Gone::Stopped),
            trouble = self.link_given_up(job.peer) => Err(Gone::Lost(trouble)),
            late = work.overdue() => Err(late),
        }
    }

    /// As approver: asks the proposer to begin another attempt, however long it is away.
    fn ask_to_begin(self: &Arc<Self>, job: &Job) {
        let (this, job) = (self.clone(), job.clone());
        self.tasks.spawn(async move {
            let work = this.desk.begin(job.id, 0, this.deadline());
            work.show("waiting for the proposer to begin again");
            let ask = Ask::Nudge(pb::Nudge { job: job.id.to_string() });
            let asked = async {
                match this.ask_patiently(job.peer, ask, &work).await? {
                    Answer::Ended(ended) => {
                        this.note_ended(job.peer, &ended).await;
                        Err(Gone::Stopped)
                    }
                    // It will begin; that ends this work.
                    _ => this.await_next_attempt(&job, &work).await,
                }
            };
            let ended = tokio::select! {
                ended = asked => ended,
                late = work.overdue() => Err(late),
            };
            this.desk.end(job.id, 0);
            if let Err(gone) = ended {
                this.conclude(&job, gone).await;
            }
        });
    }

    /// The peer waits for us: as proposer we begin again unless we are at it; in any case it hears if the job is over.
    pub(super) async fn take_nudge(self: &Arc<Self>, from: PartyId, nudge: &pb::Nudge) -> Result<Answer, Trouble> {
        let job = self.find_with(&nudge.job, from).await?;
        if let Some(ended) = ended_here(&job) {
            return Ok(ended);
        }
        if job.role == Role::Proposer {
            if job.state == State::Suspended.name() {
                let suspended = [State::Suspended.name()];
                let change = JobChange::by(from.as_str());
                self.store.advance(job.id, &suspended, State::Running.name(), change).await?;
            }
            self.lead(job.id);
            return Ok(message::ack());
        }
        // An approver that is not at work waits for the proposer to begin.
        let at_work = self.desk.find(job.id).is_some_and(|work| work.attempt > 0);
        Ok(if at_work { message::ack() } else { Answer::Pending(pb::Pending {}) })
    }

    /// Notes how an attempt went wrong. Returns whether another may begin at once.
    async fn conclude(self: &Arc<Self>, job: &Job, gone: Gone) -> bool {
        match gone {
            Gone::Stopped => false,
            Gone::Restarted => !self.closing.is_cancelled(),
            Gone::Lost(trouble) => {
                // Another attempt may have begun, and lost nobody.
                let (failure, of_attempt) = (Some((&trouble).into()), Some(job.attempt));
                let change = JobChange { failure, of_attempt, ..JobChange::by("daemon") };
                let running = [State::Running.name()];
                let noted = self.store.advance(job.id, &running, State::Suspended.name(), change).await;
                if let Err(error) = noted.map_err(Trouble::from) {
                    tracing::warn!(job = %job.id, %error, "the suspension could not be noted");
                    self.conclude_later(job, Gone::Lost(trouble), error);
                    return false;
                }
                tracing::warn!(job = %job.id, peer = %job.peer, stage = trouble.stage, "suspended: the peer is lost");
                self.desk.bump();
                false
            }
            Gone::Trouble(_) if self.is_over(job.id).await => false,
            Gone::Trouble(trouble) => {
                tracing::warn!(job = %job.id, code = trouble.code.name, stage = trouble.stage, text = trouble.text, "failed");
                match self.end(job, State::Failed, &trouble, "daemon").await {
                    Ok(ended) => {
                        self.desk.stop(ended.id);
                        self.tell_ended(&ended, Some(&trouble));
                    }
                    Err(error) => {
                        tracing::error!(job = %job.id, %error, "the failure could not be noted");
                        self.conclude_later(job, Gone::Trouble(trouble), error);
                    }
                }
                false
            }
        }
    }

    /// A full disk does not keep even the note of how a job ended: the note is tried again until there is room, so
    /// that no job stays in the ledger as running that nobody runs.
    fn conclude_later(self: &Arc<Self>, job: &Job, gone: Gone, error: Trouble) {
        if !is_of_the_store(&error) {
            return;
        }
        let work = self.desk.find(job.id).unwrap_or_else(|| self.desk.begin(job.id, 0, self.deadline()));
        work.show("waiting until the store takes writes, to note how the job ended");
        let (this, job) = (self.clone(), job.clone());
        self.tasks.spawn(async move {
            if this.store_may_recover(&error).await {
                this.desk.end(job.id, 0);
                let _no_attempt_follows = Box::pin(this.conclude(&job, gone)).await;
            }
        });
    }

    /// Whether somebody else has ended the job meanwhile: an operator, the peer, or the peer's lie outside the session.
    async fn is_over(&self, id: JobId) -> bool {
        let state = self.store.job(id).await.ok().and_then(|job| job.state.parse::<State>().ok());
        state.is_some_and(State::is_over)
    }

    /// After a while, whether it is worth trying again what the store refused.
    async fn store_may_recover(&self, error: &Trouble) -> bool {
        const PAUSE: Duration = Duration::from_secs(5);
        if !is_of_the_store(error) {
            return false;
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => true,
            () = self.closing.cancelled() => false,
        }
    }

    /// The peer says that the job is over on its side.
    pub(super) async fn note_ended(self: &Arc<Self>, from: PartyId, ended: &pb::Ended) {
        if let Err(error) = self.try_note_ended(from, ended).await {
            tracing::warn!(peer = %from, %error, "the peer's end of a job could not be noted");
        }
    }

    async fn try_note_ended(self: &Arc<Self>, from: PartyId, ended: &pb::Ended) -> Result<(), Trouble> {
        let job = self.find_with(&ended.job, from).await?;
        let state: State = job.state.parse().map_err(|_| super::trouble::internal("an unknown state"))?;
        if state.is_over() {
            return Ok(());
        }
        let (end, why) = match ended.state.parse() {
            Ok(State::Done) => return self.note_receipt(&job).await,
            Ok(State::Cancelled) => {
                (State::Cancelled, Trouble::new(codes::CANCELLED, format!("cancelled by {from}")).with(from))
            }
            Ok(State::Refused) if state == State::Proposed => {
                (State::Refused, message::trouble(from, ended.reason.as_ref()))
            }
            _ => (State::Failed, message::trouble(from, ended.reason.as_ref())),
        };
        self.end(&job, end, &why, from.as_str()).await?;
        self.desk.stop(job.id);
        Ok(())
    }

    /// The peer has stored its result. The job is done here too, unless our own result is still to come.
    pub(super) async fn note_receipt(self: &Arc<Self>, job: &Job) -> Result<(), Trouble> {
        let states = State::Done.previous();
        let change = JobChange::by(job.peer.as_str());
        // Our own side may be a moment behind: what it has to say of the session goes on record first.
        for _ in 0..RECEIPT_TRIES {
            if self.desk.find(job.id).is_none_or(|work| work.attempt == 0 || work.is_reported()) {
                break;
            }
            tokio::time::sleep(RECEIPT_PAUSE).await;
        }
        if Self::terms(job)?.receives(self.settings.me) {
            let Some(bytes) = self.store.get_checkpoint(job.id, Self::OUTCOME).await? else {
                if let Some(work) = self.desk.find(job.id) {
                    work.peer_done.send_replace(true);
                }
                return Ok(());
            };
            self.record_done(job, None).await?;
            let outcome = Outcome::decode(&bytes).map_err(|error| super::trouble::internal(&error.to_string()))?;
            let result = outcome.to_result(&bytes);
            self.store.finish(job.id, &states, State::Done.name(), change, result).await?;
        } else {
            self.record_done(job, None).await?;
            self.store.finish(job.id, &states, State::Done.name(), change, JobResult::Nothing).await?;
        }
        tracing::info!(job = %job.id, "done");
        self.desk.stop(job.id);
        Ok(())
    }

    /// Tells the peer that a job is over here, and why.
    pub(super) fn tell_ended(self: &Arc<Self>, job: &Job, why: Option<&Trouble>) {
        if let Ok(state) = job.state.parse() {
            self.tell(job.peer, Ask::Ended(message::ended(job.id, state, why.map(message::reason))));
        }
    }

    /// Says something to the peer, however long it is away; the peer's own question finds the same answer before that.
    pub(super) fn tell(self: &Arc<Self>, peer: PartyId, ask: Ask) {
        let this = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _said = this.ask_until_answered(peer, ask) => {}
                () = this.closing.cancelled() => {}
            }
        });
    }

    /// Asks the peer, waiting for its link as long as it takes, until the work is stopped.
    pub(super) async fn ask_patiently(&self, peer: PartyId, ask: Ask, work: &Work) -> Result<Answer, Gone> {
        tokio::select! {
            answer = self.ask_until_answered(peer, ask) => Ok(answer),
            () = work.stop.cancelled() => Err(Gone::Stopped),
            () = self.closing.cancelled() => Err(Gone::Stopped),
        }
    }

    /// Asks the peer, waiting for its link no longer than the reconnect window.
    pub(super) async fn ask_within_window(&self, peer: PartyId, ask: Ask) -> Result<Answer, Gone> {
        tokio::select! {
            answer = self.ask_until_answered(peer, ask) => Ok(answer),
            trouble = self.link_given_up(peer) => Err(Gone::Lost(trouble)),
        }
    }

    pub(super) async fn ask_until_answered(&self, peer: PartyId, ask: Ask) -> Answer {
        let question = message::encode_ask(ask);
        loop {
            self.link_up(peer).await;
            if let Ok(reply) = self.network.request(peer, question.clone(), ANSWER).await
                && let Some(answer) = message::decode_answer(&reply)
            {
                return answer;
            }
            // A link that breaks under a question is noticed within two heartbeats; a peer that cannot answer yet is
            // just starting.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The job of this number, if it is one with `peer`; another party's jobs do not exist for it.
    pub(super) async fn find_with(&self, id: &str, peer: PartyId) -> Result<Job, Trouble> {
        let job = self.find(id).await?;
        if job.peer == peer {
            Ok(job)
        } else {
            Err(Trouble::new(codes::JOB_UNKNOWN, "there is no such job with this peer"))
        }
    }
}

/// What the peer hears if the job is over here.
pub(super) fn ended_here(job: &Job) -> Option<Answer> {
    let state: State = job.state.parse().ok()?;
    let why = job.failure.as_ref().map(|failure| message::reason(&super::trouble::of(failure)));
    state.is_over().then(|| Answer::Ended(message::ended(job.id, state, why)))
}

/// Whether the store itself refused, for want of room say, and may take the same later.
fn is_of_the_store(trouble: &Trouble) -> bool {
    [codes::DISK_FULL, codes::STORE].contains(&trouble.code)
}
