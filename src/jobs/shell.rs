//! The world around the job machine: each step's rows in one transaction, then its words, tasks, places and timers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tacitly_core::PartyId;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::agree;
use super::asking::Gone;
use super::machine::{self, Activity, Decided, Effect, Event, Finish, Message, Standing, Write};
use super::message::{self, Answer, Ask, generated as pb};
use super::office::Jobs;
use super::outcome::Outcome;
use super::places::Place;
use super::running::{IN_VAIN, Machine, Running};
use super::state::State;
use crate::codes::{self, Trouble};
use crate::store::{Decision, Failure, Job, JobChange, JobId, JobResult, PartyChange};

/// The pause before a party is asked again that is just starting or stopping.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// The pause before something is tried again that the store refused.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// What a protocol session gets beyond the deadline, to end by itself and say where it stood.
const LAST_WORD: Duration = Duration::from_secs(2);

impl Jobs {
    /// Takes up every job that is not over, after a start.
    ///
    /// # Errors
    /// Trouble of the store.
    pub async fn take_up_all(self: &Arc<Self>) -> Result<(), Trouble> {
        self.end_restored().await?;
        self.datasets.frames().sweep().await?;
        for job in self.store.unfinished().await? {
            self.happen_at_last(job.id, Event::Started);
        }
        Ok(())
    }

    /// Makes one step of a job. Returns how the job stands here by then.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`]; trouble of the store or the log, and then nothing has changed.
    pub(super) async fn happen(self: &Arc<Self>, id: JobId, event: Event) -> Result<Standing, Trouble> {
        self.happen_with(id, event, None).await
    }

    /// The same for what must not get lost: it is tried again while the store or the log takes nothing.
    pub(super) fn happen_at_last(self: &Arc<Self>, id: JobId, event: Event) {
        let this = self.clone();
        self.tasks.spawn(async move {
            let mut failed = false;
            while let Err(error) = this.happen(id, event.clone()).await {
                failed = true;
                let may_pass = [codes::DISK_FULL, codes::STORE, codes::LOG].contains(&error.code);
                tracing::warn!(job = %id, %error, may_pass, "a step of the job could not be made");
                if !may_pass && matches!(event, Event::Finished { .. }) {
                    // An end that cannot be noted is one, too: nothing computes any more, and no place is held for it.
                    this.blame(id, error);
                    return;
                }
                if !may_pass || this.closing.is_cancelled() {
                    return;
                }
                this.running.of(id).wait_for("waiting until the store takes writes");
                this.running.bump();
                tokio::select! {
                    () = sleep(STORE_PAUSE) => {}
                    () = this.closing.cancelled() => return,
                }
            }
            if failed {
                tracing::info!(job = %id, "the step of the job was made at last");
            }
        });
    }

    async fn happen_with(
        self: &Arc<Self>,
        id: JobId,
        mut event: Event,
        place: Option<Place>,
    ) -> Result<Standing, Trouble> {
        let running = self.running.of(id);
        let mut held = running.machine.lock().await;
        if held.is_none() {
            let row = match self.store.job(id).await {
                Ok(row) => row,
                Err(error) => {
                    let error = Trouble::from(error);
                    // Where the store cannot be read for the moment, whoever waits here must find the same job.
                    if error.code == codes::JOB_UNKNOWN {
                        self.running.forget(id);
                    }
                    return Err(error);
                }
            };
            let job = machine::Job::of(agree::ledger(&row, self.settings.me)?);
            *held = Some(Machine::of(row, job));
        }
        let Some(machine) = held.as_mut() else {
            return Err(Trouble::internal("a job that was just taken up is there"));
        };
        machine.place = machine.place.take().or(place);
        if let Event::Start { place, .. } = &mut event {
            // A leader that asks for no room is held to the same pace.
            if machine.place.is_none() && machine.may_begin() {
                machine.place = self.places.try_take(id, others(&machine.job));
            }
            *place = machine.place.is_some();
        }
        let waits_for_a_person = matches!(event, Event::Decided { decision: Decided::Pending, .. });
        let (job, effects) = machine::step(machine.job.clone(), event);
        let committed = self.commit(machine, &job, &effects).await;
        if committed.is_ok() {
            machine.job = job;
        }
        if !machine.job.holds_place() {
            machine.place = None;
        }
        committed?;
        let mut free = false;
        for effect in effects {
            if let Effect::Answer { free: asked } = effect {
                free = asked && machine.may_begin() && self.places.has_room(&others(&machine.job));
            } else {
                self.take_effect(&running, machine, effect).await;
            }
        }
        self.watch_links(id, machine);
        running.wait_for(words(&machine.job, waits_for_a_person));
        if machine.job.ledger.state != State::Running {
            machine.deadline = None;
        }
        let standing = machine.job.standing(free);
        if standing.state.is_over() && machine.telling.is_empty() {
            self.running.forget(id);
        }
        self.running.bump();
        Ok(standing)
    }

    /// The rows of a step, in one transaction. What is to be on record before a result is released goes there first.
    async fn commit(
        self: &Arc<Self>,
        machine: &mut Machine,
        job: &machine::Job,
        effects: &[Effect],
    ) -> Result<(), Trouble> {
        let found = machine.row.state.clone();
        let mut change =
            JobChange { failure: job.ledger.failure.as_ref().map(Failure::from), ..JobChange::by("daemon") };
        let (mut writes, mut end) = (false, None);
        for write in effects.iter().filter_map(|effect| match effect {
            Effect::Write(write) => Some(write),
            _ => None,
        }) {
            writes = true;
            let party = |party: PartyId| PartyChange::of(party);
            match write {
                Write::State { by, .. } => change.by.clone_from(by),
                Write::End { state, by, .. } => {
                    change.by.clone_from(by);
                    end = Some(*state);
                }
                Write::Attempt(attempt) => change.attempt = Some(*attempt),
                Write::Consent { party: id, consent } => {
                    change.parties.push(PartyChange { decision: Some(Decision::Signed(consent.clone())), ..party(*id) })
                }
                Write::Refused { party: id } => {
                    change.parties.push(PartyChange { decision: Some(Decision::Refused), left_out: true, ..party(*id) })
                }
                Write::LeftOut { party: id } => change.parties.push(PartyChange { left_out: true, ..party(*id) }),
                Write::Receipt { party: id, receipt } => {
                    change.parties.push(PartyChange { receipt: Some(*receipt), ..party(*id) });
                }
            }
        }
        if !writes {
            return Ok(());
        }
        let (id, to, from) = (machine.row.id, job.ledger.state, [found.as_str()]);
        machine.row = match end {
            None => self.store.advance(id, &from, to.name(), change).await?,
            Some(State::Done) => {
                self.record_done(&machine.row, None).await?;
                let bytes = match job.ledger.parties.get(&job.ledger.me) {
                    Some(me) if me.receives => self.store.get_checkpoint(id, Self::OUTCOME).await?,
                    _ => None,
                };
                let outcome = bytes.as_ref().map(|bytes| Outcome::decode(bytes)).transpose();
                let outcome = outcome.map_err(|error| Trouble::internal(error.to_string()))?;
                let result = match (&outcome, &bytes) {
                    (Some(outcome), Some(bytes)) => outcome.to_result(bytes),
                    _ => JobResult::Nothing,
                };
                self.store.finish(id, &from, to.name(), change, result).await?
            }
            Some(_) => self.store.finish(id, &from, to.name(), change, JobResult::Nothing).await?,
        };
        if found != to.name() {
            let code = job.ledger.failure.as_ref().map_or("", |failure| failure.code.name);
            tracing::info!(job = %id, from = found, to = to.name(), code, "the job moved");
        }
        Ok(())
    }

    async fn take_effect(self: &Arc<Self>, running: &Arc<Running>, machine: &mut Machine, effect: Effect) {
        let id = machine.row.id;
        match effect {
            Effect::Write(_) | Effect::Answer { .. } => {}
            Effect::Tell { to, message } => self.tell_about(machine, to, message),
            Effect::SeekPlace { turn } => {
                let (this, places, peers) = (self.clone(), self.places.clone(), others(&machine.job));
                machine.queue = Some(self.spawn_until_dropped(async move {
                    let place = places.take(id, peers).await;
                    this.take_place(id, turn, place);
                }));
            }
            Effect::LeavePlace => machine.queue = None,
            Effect::Run { attempt, .. } => self.run(running, machine, attempt),
            Effect::StopTask => running.stop(),
            Effect::Wake { turn, after } => {
                let (this, time) = (self.clone(), after.time(rand::rng().random()));
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = sleep(time) => this.happen_at_last(id, Event::Woke { turn }),
                        () = this.closing.cancelled() => {}
                    }
                });
            }
            Effect::RecordEnd => self.record_end(&machine.row).await,
        }
    }

    /// It is our turn. The queue is left with the step that this begins, and the step does not end with it.
    fn take_place(self: &Arc<Self>, id: JobId, turn: u64, place: Place) {
        let this = self.clone();
        self.tasks.spawn(async move {
            if let Err(error) = this.happen_with(id, Event::Place { turn }, Some(place)).await {
                tracing::warn!(job = %id, %error, "the attempt could not begin");
                this.happen_at_last(id, Event::Woke { turn });
            }
        });
    }

    /// Begins the task of an attempt.
    fn run(self: &Arc<Self>, running: &Arc<Running>, machine: &mut Machine, attempt: u32) {
        machine.note_begun();
        let id = machine.row.id;
        let until = match &machine.deadline {
            Some((until, _)) => *until,
            None => {
                let until = Instant::now() + self.settings.deadline;
                let (this, at_work) = (self.clone(), running.clone());
                let late = self.spawn_until_dropped(async move {
                    sleep_until(until + LAST_WORD).await;
                    let stage = at_work.stage();
                    let why = Trouble::new(codes::DEADLINE, format!("the job's time was over: {stage}"));
                    this.happen_at_last(id, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() });
                });
                machine.deadline = Some((until, late));
                until
            }
        };
        let work = running.begin(attempt, until);
        let (this, running, row) = (self.clone(), running.clone(), machine.row.clone());
        self.tasks.spawn(async move {
            let began = Instant::now();
            let (inner, inner_work, inner_row) = (this.clone(), work.clone(), row.clone());
            // On a task of its own, so that a panic in it ends this job and no other.
            let mut task = tokio::spawn(async move { inner.attempt(&inner_row, attempt, &inner_work).await });
            let ended = tokio::select! {
                ended = &mut task => ended,
                () = work.stop.cancelled() => {
                    task.abort();
                    let _ended = task.await;
                    return running.end(attempt);
                }
            };
            running.end(attempt);
            let ended =
                ended.unwrap_or_else(|_| Err(Gone::Trouble(Trouble::internal("the attempt ended unexpectedly"))));
            let how = match ended {
                Ok(()) => this.computed(&row),
                // The daemon stops: the job is taken up at the next start.
                Err(Gone::Stopped) if this.closing.is_cancelled() => return,
                Err(Gone::Stopped | Gone::Restarted) => Finish::Void,
                Err(Gone::Lost(why)) => {
                    tracing::warn!(job = %id, stage = why.stage, "a party is lost");
                    Finish::Lost { who: why.who.unwrap_or(row.leader), why }
                }
                Err(Gone::Trouble(why)) => {
                    tracing::warn!(job = %id, code = why.code.name, stage = why.stage, text = why.text, "failed");
                    Finish::Failed(why)
                }
            };
            this.happen_at_last(id, Event::Finished { attempt, how, quick: began.elapsed() < IN_VAIN });
        });
    }

    /// Our part is done; a receiver says so with its signature.
    fn computed(&self, row: &Job) -> Finish {
        if !row.party(self.settings.me).is_some_and(|me| me.receives) {
            return Finish::Computed(None);
        }
        match self.signer.sign(super::RECEIPT_CONTEXT, &row.terms_hash.0) {
            Ok(receipt) => Finish::Computed(Some(receipt)),
            Err(error) => Finish::Failed(Trouble::internal(error.to_string())),
        }
    }

    /// Says something about a job until it is answered.
    fn tell_about(self: &Arc<Self>, machine: &mut Machine, to: PartyId, message: Message) {
        let (id, number) = (machine.row.id, machine.words);
        machine.words += 1;
        let (this, slot) = (self.clone(), message.slot());
        let said = self.spawn_until_dropped(async move {
            loop {
                this.peers.link_up(to).await;
                let Some(ask) = this.word(id, &message).await else { return };
                let Some(answer) = this.ask_once(to, ask).await else { continue };
                if let Answer::Busy(_) = answer {
                    sleep(BUSY_PAUSE).await;
                    continue;
                }
                // The word is no longer being said, and what is being said is dropped by the step that this begins.
                let (inner, message) = (this.clone(), message.clone());
                this.tasks.spawn(async move { inner.answered(id, to, number, message, answer).await });
                return;
            }
        });
        machine.telling.insert((to, slot), (number, said));
    }

    /// A word as it is now: what it says may have changed while its receiver was away.
    async fn word(&self, id: JobId, message: &Message) -> Option<Ask> {
        let running = self.running.of(id);
        let held = running.machine.lock().await;
        let machine = held.as_ref()?;
        let job = id.to_string();
        let ours = machine.row.party(self.settings.me)?;
        let consent = match &ours.decision {
            Decision::Signed(consent) => Some(agree::write_consent(consent)),
            Decision::Open | Decision::Refused => None,
        };
        Some(match message {
            Message::Propose => Ask::Propose(pb::Propose { job, terms: machine.row.terms.canonical().into(), consent }),
            Message::Decided => {
                let refused = match &consent {
                    Some(_) => None,
                    None => Some(message::reason(machine.job.ledger.failure.as_ref()?)),
                };
                Ask::Decided(pb::Decided { job, consent, refused })
            }
            Message::Begin { attempt } => Ask::Begin(pb::Begin { job, attempt: *attempt }),
            Message::Start { attempt, with } => {
                let with = with.iter().map(ToString::to_string).collect();
                Ask::Start(pb::Start { job, attempt: *attempt, with })
            }
            Message::Stop { attempt } => Ask::Stop(pb::Stop { job, attempt: *attempt }),
            Message::Standing => Ask::Standing(agree::write_standing(id, &machine.job.standing(false))),
        })
    }

    /// A party has answered a word of ours.
    async fn answered(self: &Arc<Self>, id: JobId, from: PartyId, number: u64, message: Message, answer: Answer) {
        let running = self.running.of(id);
        let mut held = running.machine.lock().await;
        let Some(machine) = held.as_mut() else { return self.running.forget(id) };
        let slot = message.slot();
        if machine.telling.get(&(from, slot)).is_some_and(|(current, _)| *current == number) {
            machine.telling.remove(&(from, slot));
        }
        let event = self.event_of(&machine.row, from, message, answer).await;
        drop(held);
        match event {
            Ok(event) => self.happen_at_last(id, event),
            Err(why) => self.blame(id, why),
        }
    }

    async fn event_of(&self, row: &Job, from: PartyId, message: Message, answer: Answer) -> Result<Event, Trouble> {
        match answer {
            Answer::Decided(decided) if message == Message::Propose => {
                Ok(Event::Decided { from, decision: self.read_decision(row, from, &decided).await? })
            }
            Answer::Pending(_) => Ok(Event::Decided { from, decision: Decided::Pending }),
            Answer::Standing(standing) => {
                let standing = self.read_standing(row, from, &standing).await?;
                Ok(Event::Standing { from, standing, answers: Some(message) })
            }
            Answer::Unknown(_) => Ok(Event::Unknown { from }),
            _ => Err(Trouble::new(codes::PEER_FAILED, format!("{from} did not answer about the job")).with(from)),
        }
    }

    /// Another party has broken the rules: the job ends here, and names it.
    pub(super) fn blame(self: &Arc<Self>, id: JobId, why: Trouble) {
        self.happen_at_last(id, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() });
    }

    /// Watches the links of those that a job waits for while it does not compute.
    fn watch_links(self: &Arc<Self>, id: JobId, machine: &mut Machine) {
        let awaited = awaited(&machine.job);
        if machine.watched == awaited {
            return;
        }
        machine.watching = awaited
            .iter()
            .map(|who| {
                let (this, who) = (self.clone(), *who);
                self.spawn_until_dropped(async move {
                    let why = this.peers.link_given_up(who).await;
                    this.happen_at_last(id, Event::Lost { who, why });
                })
            })
            .collect();
        machine.watched = awaited;
    }

    /// Work that ends when the guard is dropped, or when the daemon stops.
    fn spawn_until_dropped(
        self: &Arc<Self>,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> tokio_util::sync::DropGuard {
        let dropped = CancellationToken::new();
        let (until, this) = (dropped.clone(), self.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = until.cancelled() => {}
                () = this.closing.cancelled() => {}
            }
        });
        dropped.drop_guard()
    }
}

/// The other parties of a job.
fn others(job: &machine::Job) -> BTreeSet<PartyId> {
    job.ledger.others().collect()
}

/// Those without whose links the job cannot go on, where nothing else watches them.
fn awaited(job: &machine::Job) -> BTreeSet<PartyId> {
    let me = job.ledger.me;
    match (&job.work.activity, job.ledger.state) {
        (Activity::Starting { .. } | Activity::Computing { .. }, _) => BTreeSet::new(),
        (Activity::Gathering { with, .. } | Activity::Queued { with, .. }, _) => {
            with.iter().copied().filter(|party| *party != me).collect()
        }
        (_, State::Running) if job.ledger.leads() => {
            job.ledger.included().into_iter().filter(|party| *party != me).collect()
        }
        (_, State::Running) => BTreeSet::from([job.ledger.leader]),
        _ => BTreeSet::new(),
    }
}

/// What a job waits for while it does not compute.
fn words(job: &machine::Job, for_a_person: bool) -> &'static str {
    let leads = job.ledger.leads();
    match (&job.work.activity, job.ledger.state) {
        (_, State::Proposed) if leads && for_a_person => "waiting for a person there to approve",
        (_, State::Proposed) if leads => "waiting for the peer to be reached",
        (Activity::Gathering { .. } | Activity::Queued { .. } | Activity::Pausing, _) => "waiting for room",
        (Activity::Starting { .. } | Activity::Computing { .. }, _) => "starting",
        (Activity::Idle, State::Running) if job.work.computed => "waiting until the peer has stored its result",
        (Activity::Idle, State::Approved | State::Running) if !leads => "waiting for the proposer to begin again",
        _ => "",
    }
}
