//! The world around the job machine: each step's rows in one transaction, then its words, tasks, places and timers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tacitly_core::PartyId;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::asking;
use super::attempt::attempt;
use super::consent::{Signatures, ledger, write_consent, write_standing};
use super::core::{Core, terms_of};
use super::ends::Ends;
use super::kind::Kinds;
use super::machine::{self, Activity, Decided, Effect, Event, Finish, Message, Quorum, Standing, Write};
use super::message::{self, Answer, Ask, generated as pb};
use super::part::Stop;
use super::places::Place;
use super::running::{IN_VAIN, Machine, Running};
use super::serving::{Services, serve};
use super::silence::{RESTS_AFTER, silence};
use super::state::State;
use crate::codes::{self, Error};
use crate::store::{Decision, Failure, Job, JobChange, JobId, JobResult, PartyChange};

/// The pause before a party is asked again that is just starting or stopping.
const BUSY_PAUSE: Duration = Duration::from_millis(500);
/// A turn that no activity has: its timer changes nothing but what time itself does.
const NO_TURN: u64 = u64::MAX;
/// The pause before something is tried again that the store refused.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// What a protocol session gets beyond the deadline, to end by itself and say where it stood.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Makes the steps of all jobs. A clone is the same.
#[derive(Clone)]
pub(super) struct Shell {
    core: Arc<Core>,
    kinds: Kinds,
    pub(super) services: Arc<Services>,
}

impl Shell {
    /// The shell over these rooms. Steps that must not get lost come over `events`.
    pub(super) fn start(core: Arc<Core>, kinds: Kinds, mut events: UnboundedReceiver<(JobId, Event)>) -> Self {
        let services = Arc::new(Services::new());
        let (weak, kinds_there, services_there) = (Arc::downgrade(&core), kinds.clone(), services.clone());
        // It ends with the engine, and not with a drain: what ends meanwhile is noted.
        tokio::spawn(async move {
            while let Some((job, event)) = events.recv().await {
                let Some(core) = weak.upgrade() else { return };
                let shell = Self { core, kinds: kinds_there.clone(), services: services_there.clone() };
                shell.core.tasks.clone().spawn(async move { shell.insist(job, event).await });
            }
        });
        Self { core, kinds, services }
    }

    /// Who must sign and begin, and how many may be lost; and whether the job serves where another is done. Terms of a kind
    /// that this version does not know need everybody.
    fn nature(&self, job: &Job) -> Result<(Quorum, bool), Error> {
        let terms = terms_of(job)?;
        let kind = self.kinds.find(&terms.kind);
        Ok(kind.map_or((Quorum::All, false), |kind| (kind.quorum(&terms), kind.serves(&terms))))
    }

    /// Makes one step of a job. Returns how the job stands here by then.
    ///
    /// # Errors
    /// [`codes::JOB_UNKNOWN`]; an error of the store or the log, and then nothing has changed.
    pub(super) async fn happen(&self, id: JobId, event: Event) -> Result<Standing, Error> {
        self.happen_with(id, event, None).await
    }

    /// Makes a step that must not get lost.
    async fn insist(&self, id: JobId, event: Event) {
        let core = &self.core;
        let mut failed = false;
        while let Err(error) = self.happen(id, event.clone()).await {
            failed = true;
            let may_pass = [codes::DISK_FULL, codes::STORE, codes::LOG].contains(&error.code);
            tracing::warn!(job = %id, %error, may_pass, "a step of the job could not be made");
            if !may_pass && matches!(event, Event::Finished { .. }) {
                // An end that cannot be noted is one, too: nothing computes any more, and no place is held for it.
                core.blame(id, error);
                return;
            }
            if !may_pass || core.closing.is_cancelled() {
                return;
            }
            core.running.of(id).wait_for("waiting until the store takes writes");
            core.running.notify();
            tokio::select! {
                () = sleep(STORE_PAUSE) => {}
                () = core.closing.cancelled() => return,
            }
        }
        if failed {
            tracing::info!(job = %id, "the step of the job was made at last");
        }
    }

    async fn happen_with(&self, id: JobId, mut event: Event, place: Option<Place>) -> Result<Standing, Error> {
        let core = &self.core;
        let running = core.running.of(id);
        let mut held = running.machine.lock().await;
        if held.is_none() {
            let row = match core.store.jobs().get(id).await {
                Ok(row) => row,
                Err(error) => {
                    let error = Error::from(error);
                    // Where the store cannot be read for the moment, whoever waits here must find the same job.
                    if error.code == codes::JOB_UNKNOWN {
                        core.running.forget(id);
                    }
                    return Err(error);
                }
            };
            let job = machine::Job::of(ledger(&row, core.me(), self.nature(&row)?)?);
            let mut machine = Machine::of(row, job);
            self.watch_expiry(id, &mut machine)?;
            *held = Some(machine);
        }
        let Some(machine) = held.as_mut() else {
            return Err(Error::internal("a job that was just taken up is there"));
        };
        if machine.job.awaits_an_attempt() && terms_of(&machine.row)?.is_over(core.store.now()) {
            event = over(event);
        }
        machine.place = machine.place.take().or(place);
        if let Event::Start { place, .. } = &mut event {
            // A leader that asks for no room is held to the same pace.
            if machine.place.is_none() && machine.may_begin() {
                machine.place = core.places.try_take(id, others(&machine.job));
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
                free = asked && machine.may_begin() && core.places.has_room(&others(&machine.job));
            } else {
                self.handle_effect(&running, machine, effect).await;
            }
        }
        self.rest_while_starting(id, machine);
        self.watch_links(id, machine);
        running.wait_for(words(&machine.job, waits_for_a_person));
        if machine.job.ledger.state != State::Running {
            machine.deadline = None;
        }
        let standing = machine.job.standing(free);
        if standing.state.is_over() && machine.telling.is_empty() {
            core.running.forget(id);
        }
        core.running.notify();
        Ok(standing)
    }

    /// A job whose terms are over ends: no attempt begins any more. One that computes comes to its end first.
    fn watch_expiry(&self, id: JobId, machine: &mut Machine) -> Result<(), Error> {
        let Some(moment) = terms_of(&machine.row)?.expiry() else { return Ok(()) };
        if machine.job.ledger.state.is_over() {
            return Ok(());
        }
        let core = self.core.clone();
        machine.expiry = Some(self.core.spawn_until_dropped(async move {
            let left = moment.duration_since(core.store.now());
            sleep(left.try_into().unwrap_or_default()).await;
            core.happen_at_last(id, Event::Woke { turn: NO_TURN });
        }));
        Ok(())
    }

    /// The rows of a step, in one transaction. What is to be on record before a result is released goes there first.
    pub(super) async fn commit(
        &self,
        machine: &mut Machine,
        job: &machine::Job,
        effects: &[Effect],
    ) -> Result<(), Error> {
        let store = &self.core.store;
        let found = machine.row.state.clone();
        let mut change =
            JobChange { failure: job.ledger.failure.as_ref().map(Failure::from), ..JobChange::by("daemon") };
        let (mut writes, mut end, mut serves) = (false, None, false);
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
                Write::Serving { by } => {
                    change.by.clone_from(by);
                    serves = true;
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
            None if serves => {
                Ends(&self.core).record_done(&machine.row).await?;
                let (_, summary, traffic) = Ends(&self.core).result(&machine.row).await?;
                let change = JobChange { summary, traffic: Some(traffic), wipes_secrets: true, ..change };
                store.jobs().advance(id, &from, to.name(), change).await?
            }
            None => store.jobs().advance(id, &from, to.name(), change).await?,
            Some(State::Done) => {
                Ends(&self.core).record_done(&machine.row).await?;
                let (result, summary, traffic) = Ends(&self.core).result(&machine.row).await?;
                let change = JobChange { summary, traffic: Some(traffic), ..change };
                let receives = machine.row.party(self.core.me()).is_some_and(|me| me.receives);
                let result = if receives { result } else { JobResult::Nothing };
                store.jobs().finish(id, &from, to.name(), change, result).await?
            }
            Some(_) => {
                self.core.reserve.forget(id);
                store.jobs().finish(id, &from, to.name(), change, JobResult::Nothing).await?
            }
        };
        if found != to.name() {
            let code = job.ledger.failure.as_ref().map_or("", |failure| failure.code.name);
            tracing::info!(job = %id, from = found, to = to.name(), code, "the job moved");
        }
        Ok(())
    }

    async fn handle_effect(&self, running: &Arc<Running>, machine: &mut Machine, effect: Effect) {
        let (core, id) = (&self.core, machine.row.id);
        match effect {
            Effect::Write(_) | Effect::Answer { .. } => {}
            Effect::Tell { to, message } => self.tell(machine, to, message),
            Effect::SeekPlace { turn } => {
                let (this, places, peers) = (self.clone(), core.places.clone(), others(&machine.job));
                machine.queue = Some(core.spawn_until_dropped(async move {
                    let place = places.take(id, peers).await;
                    this.handle_place(id, turn, place);
                }));
            }
            Effect::LeavePlace => machine.queue = None,
            Effect::Run { attempt, with } => self.run(running, machine, attempt, with),
            Effect::StopTask => running.stop(),
            Effect::Wake { turn, after } => {
                let (core, time) = (core.clone(), after.time(rand::rng().random()));
                core.tasks.clone().spawn(async move {
                    if core.closing.run_until_cancelled(sleep(time)).await.is_some() {
                        core.happen_at_last(id, Event::Woke { turn });
                    }
                });
            }
            Effect::Serve => {
                let serving = serve(core.clone(), self.services.clone(), self.kinds.clone(), machine.row.clone());
                machine.serving = Some(core.spawn_until_dropped(serving));
            }
            Effect::StopServing => machine.serving = None,
            Effect::RecordEnd => Ends(core).record_end(&machine.row).await,
        }
    }

    /// It is our turn. The queue is left with the step that this begins, and the step does not end with it.
    fn handle_place(&self, id: JobId, turn: u64, place: Place) {
        let this = self.clone();
        self.core.tasks.spawn(async move {
            if let Err(error) = this.happen_with(id, Event::Place { turn }, Some(place)).await {
                tracing::warn!(job = %id, %error, "the attempt could not begin");
                this.core.happen_at_last(id, Event::Woke { turn });
            }
        });
    }

    /// Begins the task of an attempt.
    fn run(&self, running: &Arc<Running>, machine: &mut Machine, number: u32, with: BTreeSet<PartyId>) {
        machine.record_begun();
        let (core, id) = (&self.core, machine.row.id);
        let until = match &machine.deadline {
            Some((until, _)) => *until,
            None => {
                let until = Instant::now() + core.settings.deadline;
                let (inner, at_work) = (core.clone(), running.clone());
                let late = core.spawn_until_dropped(async move {
                    sleep_until(until + LAST_WORD).await;
                    let stage = at_work.stage();
                    let why = Error::new(codes::DEADLINE, format!("the job's time was over: {stage}"));
                    inner.happen_at_last(id, Event::Ended { state: State::Failed, why, by: "daemon".to_owned() });
                });
                machine.deadline = Some((until, late));
                until
            }
        };
        let work = running.begin(number, until);
        let (core, kinds, running, row) = (core.clone(), self.kinds.clone(), running.clone(), machine.row.clone());
        let serves = machine.job.ledger.serves;
        core.tasks.clone().spawn(async move {
            let began = Instant::now();
            let (inner, inner_work, inner_row) = (core.clone(), work.clone(), row.clone());
            // On a task of its own, so that a panic in it ends this job and no other.
            let mut task =
                tokio::spawn(async move { attempt(&inner, &kinds, &inner_row, (number, with), &inner_work).await });
            core.places.wake(id);
            let ended = tokio::select! {
                ended = &mut task => ended,
                lost = silence(&core, &row, &work) => {
                    task.abort();
                    let _ended = task.await;
                    Ok(Err(Stop::Lost(lost)))
                }
                () = work.stop.cancelled() => {
                    task.abort();
                    let _ended = task.await;
                    return running.end(number);
                }
            };
            running.end(number);
            let unexpected = |_| Err(Stop::Failed(Error::internal("the attempt ended unexpectedly")));
            let how = match ended.unwrap_or_else(unexpected) {
                Ok(()) => computed(&core, &row, serves),
                // The daemon stops: the job is taken up at the next start.
                Err(Stop::Stopped) if core.closing.is_cancelled() => return,
                Err(Stop::Stopped | Stop::Restarted) => Finish::Void,
                Err(Stop::Lost(why)) => {
                    tracing::warn!(job = %id, stage = why.stage, "a party is lost");
                    Finish::Lost { who: why.who.unwrap_or(row.leader), why }
                }
                Err(Stop::Failed(why)) => {
                    tracing::warn!(job = %id, code = why.code.name, stage = why.stage, text = why.text, "failed");
                    Finish::Failed(why)
                }
            };
            core.happen_at_last(id, Event::Finished { attempt: number, how, quick: began.elapsed() < IN_VAIN });
        });
    }

    /// While everybody is told to begin the job computes nothing: whoever does not answer holds up no other job.
    fn rest_while_starting(&self, id: JobId, machine: &mut Machine) {
        if !matches!(machine.job.work.activity, Activity::Starting { .. }) {
            machine.starting = None;
        } else if machine.starting.is_none() {
            let core = self.core.clone();
            machine.starting = Some(self.core.spawn_until_dropped(async move {
                sleep(RESTS_AFTER).await;
                core.places.rest(id);
            }));
        }
    }

    /// Says something about a job until it is answered.
    fn tell(&self, machine: &mut Machine, to: PartyId, message: Message) {
        let (id, number) = (machine.row.id, machine.words);
        machine.words += 1;
        let (this, slot) = (self.clone(), message.slot());
        let said = self.core.spawn_until_dropped(async move {
            loop {
                this.core.peers.link_up(to).await;
                let Some(ask) = this.word(id, &message).await else { return };
                let Some(answer) = asking::once(&this.core.peers, to, ask).await else { continue };
                if let Answer::Busy(_) = answer {
                    sleep(BUSY_PAUSE).await;
                    continue;
                }
                // The word is no longer being said, and what is being said is dropped by the step that this begins.
                let (inner, message) = (this.clone(), message.clone());
                this.core.tasks.spawn(async move { inner.answered(id, to, number, message, answer).await });
                return;
            }
        });
        machine.telling.insert((to, slot), (number, said));
    }

    /// A word as it is now: what it says may have changed while its receiver was away.
    async fn word(&self, id: JobId, message: &Message) -> Option<Ask> {
        let running = self.core.running.of(id);
        let held = running.machine.lock().await;
        let machine = held.as_ref()?;
        let job = id.to_string();
        let ours = machine.row.party(self.core.me())?;
        let consent = match &ours.decision {
            Decision::Signed(consent) => Some(write_consent(consent)),
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
            Message::Standing => Ask::Standing(write_standing(id, &machine.job.standing(false))),
        })
    }

    /// A party has answered a word of ours.
    async fn answered(&self, id: JobId, from: PartyId, number: u64, message: Message, answer: Answer) {
        let core = &self.core;
        let running = core.running.of(id);
        let mut held = running.machine.lock().await;
        let Some(machine) = held.as_mut() else { return core.running.forget(id) };
        let slot = message.slot();
        if machine.telling.get(&(from, slot)).is_some_and(|(current, _)| *current == number) {
            machine.telling.remove(&(from, slot));
        }
        let event = self.event_of(&machine.row, from, message, answer).await;
        drop(held);
        match event {
            Ok(event) => core.happen_at_last(id, event),
            Err(why) => core.blame(id, why),
        }
    }

    async fn event_of(&self, row: &Job, from: PartyId, message: Message, answer: Answer) -> Result<Event, Error> {
        let signatures = Signatures(&self.core);
        match answer {
            Answer::Decided(decided) if message == Message::Propose => {
                Ok(Event::Decided { from, decision: signatures.read_decision(row, from, &decided).await? })
            }
            Answer::Pending(_) => Ok(Event::Decided { from, decision: Decided::Pending }),
            Answer::Standing(standing) => {
                let standing = signatures.read_standing(row, from, &standing).await?;
                Ok(Event::Standing { from, standing, answers: Some(message) })
            }
            Answer::Unknown(_) => Ok(Event::Unknown { from }),
            _ => Err(Error::new(codes::PEER_FAILED, format!("{from} did not answer about the job")).with(from)),
        }
    }

    /// Watches the links of those that a job waits for while it does not compute.
    fn watch_links(&self, id: JobId, machine: &mut Machine) {
        let awaited = awaited(&machine.job);
        if machine.watched == awaited {
            return;
        }
        let watch = |who: &PartyId| {
            let (core, who) = (self.core.clone(), *who);
            self.core.spawn_until_dropped(async move {
                let why = core.peers.link_given_up(who).await;
                core.happen_at_last(id, Event::Lost { who, why });
            })
        };
        machine.watching = awaited.iter().map(watch).collect();
        machine.watched = awaited;
    }
}

/// What becomes of an event of a job whose terms are over: whatever would begin an attempt ends the job. What others say of
/// an attempt that has come to its end still counts.
fn over(event: Event) -> Event {
    match event {
        Event::Standing { .. }
        | Event::Decided { decision: Decided::Refused(_), .. }
        | Event::Ended { .. }
        | Event::Finished { .. }
        | Event::Stop { .. }
        | Event::Unknown { .. }
        | Event::Draining => event,
        _ => {
            let why = Error::new(codes::TERMS_EXPIRED, codes::TERMS_EXPIRED.cause);
            Event::Ended { state: State::Failed, why, by: "daemon".to_owned() }
        }
    }
}

/// Our part is done; a receiver, or a party of a service, says so with its signature.
fn computed(core: &Core, row: &Job, serves: bool) -> Finish {
    if !serves && !row.party(core.me()).is_some_and(|me| me.receives) {
        return Finish::Computed(None);
    }
    match Signatures(core).receipt(row.terms_hash) {
        Ok(receipt) => Finish::Computed(Some(receipt)),
        Err(error) => Finish::Failed(error),
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
