//! A world of parties around the machine: words that are lost, late and repeated, crashes between any two effects,
//! places that are taken by others. Every order comes from a seed.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::ChaCha20Rng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use tacitly_core::PartyId;

use super::super::*;
use crate::store::{Consent, Signature};

/// How hostile a world is.
#[derive(Clone, Copy, Debug)]
pub(in crate::jobs) struct Weather {
    pub(in crate::jobs) parties: usize,
    pub(in crate::jobs) quorum: Quorum,
    pub(in crate::jobs) receivers: usize,
    /// Of a thousand deliveries, so many are lost or repeated.
    pub(in crate::jobs) lossy: u32,
    /// Of a thousand turns, so many crash a party, so many let a person or a rule end the job.
    pub(in crate::jobs) crashes: u32,
    pub(in crate::jobs) endings: u32,
    /// A party that goes away for ever at a random moment.
    pub(in crate::jobs) one_never_returns: bool,
    /// Links are given up although the party at their other end comes back.
    pub(in crate::jobs) losses: bool,
    /// The kind of job serves.
    pub(in crate::jobs) serves: bool,
}

/// What becomes of a world's rows beside what it remembers of them.
pub(in crate::jobs) trait Rows {
    /// A job is written down at a party.
    fn create(&mut self, ledger: &Ledger);
    /// The rows of one step at `after.ledger.me`.
    fn commit(&mut self, after: &Job, effects: &[Effect]);
    /// A party's part of an attempt came to its end, and what it receives is stored; `whole` is not set if it crashes
    /// on the way.
    fn compute(&mut self, ledger: &Ledger, whole: bool);
    /// A party's process is gone. Returns what its ledger holds when it is opened again.
    fn reopen(&mut self, party: PartyId) -> Option<Ledger>;
    /// Everything is over: what a party has must be what it was promised.
    fn judge(&self, party: PartyId);
}

/// A party's process and what survives it.
pub(in crate::jobs) struct Process {
    pub(in crate::jobs) job: Option<Job>,
    /// What the ledger kept: rows of whole steps only.
    pub(in crate::jobs) ledger: Option<Ledger>,
    /// Its result is stored.
    pub(in crate::jobs) stored: bool,
    pub(in crate::jobs) released: u32,
    pub(in crate::jobs) task: Option<u32>,
    /// The last attempt whose task came to its end.
    ended_task: u32,
    telling: BTreeMap<(PartyId, Slot), Message>,
    timers: BTreeSet<u64>,
    queue: Option<u64>,
    holds_place: bool,
    /// Its service runs.
    pub(in crate::jobs) serving: bool,
    /// It was revoked or had expired before.
    was_ended: bool,
    pub(in crate::jobs) gone: bool,
}

pub(in crate::jobs) struct World {
    pub(in crate::jobs) weather: Weather,
    pub(in crate::jobs) names: Vec<PartyId>,
    pub(in crate::jobs) all: BTreeMap<PartyId, Process>,
    /// Words on their way that will arrive late: answers and repetitions.
    late: Vec<(PartyId, Event)>,
    rng: ChaCha20Rng,
    pub(in crate::jobs) calm: bool,
    pub(in crate::jobs) ended_by_somebody: bool,
    seed: u64,
    rows: Option<Box<dyn Rows>>,
}

fn signature() -> Signature {
    Signature::Ed25519(ed25519_dalek::Signature::from_bytes(&[0; 64]))
}

pub(super) fn consent() -> Box<Consent> {
    Box::new(Consent { contribution: Vec::new(), signature: signature() })
}

impl World {
    pub(in crate::jobs) fn new(weather: Weather, seed: u64) -> Self {
        Self::with_rows(weather, seed, |_| None)
    }

    /// A world whose rows are also kept elsewhere, by what `rows` makes for the first ledger.
    pub(in crate::jobs) fn with_rows(
        weather: Weather,
        seed: u64,
        rows: impl FnOnce(&Ledger) -> Option<Box<dyn Rows>>,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let names: Vec<PartyId> = (0..weather.parties).map(|at| format!("p{at:02}").parse().unwrap()).collect();
        let first_receiver = rng.random_range(0..weather.parties);
        let process = |_| Process {
            job: None,
            ledger: None,
            stored: false,
            released: 0,
            task: None,
            ended_task: 0,
            telling: BTreeMap::new(),
            timers: BTreeSet::new(),
            queue: None,
            holds_place: false,
            serving: false,
            was_ended: false,
            gone: false,
        };
        let all = names.iter().map(|name| (*name, process(*name))).collect();
        let mut world = Self {
            weather,
            names,
            all,
            late: Vec::new(),
            rng,
            calm: false,
            ended_by_somebody: false,
            seed,
            rows: None,
        };
        let leader = world.names[0];
        let ledger = world.ledger(leader, first_receiver);
        world.rows = rows(&ledger);
        world.note(ledger);
        world.start(leader);
        world
    }

    fn ledger(&self, me: PartyId, first_receiver: usize) -> Ledger {
        let receives =
            |at: usize| (at + self.weather.parties - first_receiver) % self.weather.parties < self.weather.receivers;
        let member = |(at, name): (usize, &PartyId)| {
            let signed = *name == self.names[0];
            let decision = if signed { Decision::Signed(consent()) } else { Decision::Open };
            (*name, Member { receives: receives(at), decision, left_out: false, receipt: None })
        };
        Ledger {
            me,
            leader: self.names[0],
            quorum: self.weather.quorum,
            serves: self.weather.serves,
            state: State::Proposed,
            attempt: 0,
            parties: self.names.iter().enumerate().map(member).collect(),
            failure: None,
        }
    }

    /// A job is written down.
    fn note(&mut self, ledger: Ledger) {
        if let Some(rows) = &mut self.rows {
            rows.create(&ledger);
        }
        let me = ledger.me;
        self.all.get_mut(&me).unwrap().ledger = Some(ledger);
    }

    fn chance(&mut self, of_a_thousand: u32) -> bool {
        !self.calm && self.rng.random_range(0..1000) < of_a_thousand
    }

    /// A process takes up what its ledger has.
    fn start(&mut self, party: PartyId) {
        let process = self.all.get_mut(&party).unwrap();
        if let Some(ledger) = process.ledger.clone() {
            process.job = Some(Job::of(ledger));
            self.happen(party, Event::Started);
        }
    }

    fn crash(&mut self, party: PartyId) {
        let process = self.all.get_mut(&party).unwrap();
        process.job = None;
        process.task = None;
        process.ended_task = 0;
        process.telling.clear();
        process.timers.clear();
        process.queue = None;
        process.holds_place = false;
        process.serving = false;
        if let Some(rows) = &mut self.rows {
            assert_eq!(rows.reopen(party), process.ledger, "seed {}: what {party} had written", self.seed);
        }
    }

    /// One event at one party. A crash may come before the rows, or between any two effects.
    pub(in crate::jobs) fn happen(&mut self, party: PartyId, event: Event) {
        let Some(job) = self.all.get_mut(&party).unwrap().job.take() else { return };
        let before = job.ledger.clone();
        let (job, effects) = step(job, event.clone());
        assert!(
            before == job.ledger || effects.iter().any(|effect| matches!(effect, Effect::Write(_))),
            "the ledger changed without a row: {event:?}"
        );
        let rows_last = effects.iter().rposition(|effect| matches!(effect, Effect::Write(_)));
        let crash_at = self.chance(self.weather.crashes).then(|| self.rng.random_range(0..=effects.len()));
        if crash_at == Some(0) {
            self.crash(party);
            return;
        }
        let process = self.all.get_mut(&party).unwrap();
        if rows_last.is_some() {
            process.ledger = Some(job.ledger.clone());
            if let Some(rows) = &mut self.rows {
                rows.commit(&job, &effects);
            }
        }
        for effect in &effects {
            if let Effect::Write(Write::End { state, .. }) = effect {
                assert!(!before.state.is_over(), "a job ended twice");
                if *state == State::Done && job.ledger.parties[&party].receives {
                    assert!(process.stored, "released before it was stored");
                    process.released += 1;
                }
            }
        }
        process.job = Some(job);
        for (at, effect) in effects.into_iter().filter(|effect| !matches!(effect, Effect::Write(_))).enumerate() {
            if crash_at.is_some_and(|crash| at >= crash) {
                self.crash(party);
                return;
            }
            self.take_effect(party, effect);
        }
        self.check(party);
        let process = self.all.get_mut(&party).unwrap();
        let ended = matches!(process.state(), Some(State::Revoked | State::Expired));
        assert!(ended || !process.was_ended, "seed {}: {party} lives again", self.seed);
        process.was_ended = ended;
    }

    fn take_effect(&mut self, party: PartyId, effect: Effect) {
        let process = self.all.get_mut(&party).unwrap();
        match effect {
            Effect::Tell { to, message } => drop(process.telling.insert((to, message.slot()), message)),
            Effect::SeekPlace { turn } => process.queue = Some(turn),
            Effect::LeavePlace => (process.queue, process.holds_place) = (None, false),
            Effect::Run { attempt, .. } => {
                assert!(process.task.is_none(), "two tasks of one job at once");
                process.task = Some(attempt);
            }
            Effect::StopTask => process.task = None,
            Effect::Wake { turn, .. } => drop(process.timers.insert(turn)),
            Effect::Serve => {
                assert!(!process.serving && process.stored, "it serves twice, or without its set-up");
                process.serving = true;
            }
            Effect::StopServing => process.serving = false,
            Effect::Write(_) | Effect::RecordEnd | Effect::Answer { .. } => {}
        }
    }

    /// What must hold after every step.
    fn check(&self, party: PartyId) {
        let process = &self.all[&party];
        let job = process.job.as_ref().unwrap();
        assert_eq!(job.holds_place(), process.holds_place, "seed {}: {party} {:?}", self.seed, job.work.activity);
        let waits = !matches!(job.work.activity, Activity::Starting { .. } | Activity::Computing { .. });
        assert!(!(waits && process.holds_place), "seed {}: a place is held while {party} waits", self.seed);
        assert!(job.computing().is_some() || process.task.is_none(), "seed {}: a task without a place", self.seed);
        let state = job.ledger.state;
        assert!(!(state.is_over() || state.is_service()) || !process.holds_place);
        assert_eq!(process.serving, state == State::Serving, "seed {}: {party} is {state}", self.seed);
    }

    /// Delivers a word and brings the answer back, unless either is lost.
    fn deliver(&mut self, from: PartyId, to: PartyId, message: Message) {
        if self.all[&to].gone || self.all[&from].gone || self.chance(self.weather.lossy) {
            return;
        }
        if self.chance(self.weather.lossy) {
            // It arrives once more, late.
            if let Some(event) = self.word(from, to, &message) {
                self.late.push((to, event));
            }
        }
        if self.all[&to].job.is_none() && self.all[&to].ledger.is_none() {
            if message != Message::Propose {
                return;
            }
            self.judge(to, from);
        }
        if self.all[&to].job.is_none() {
            return;
        }
        if let Some(event) = self.word(from, to, &message) {
            self.happen(to, event);
        }
        // The answer says how the job stands by then.
        let Some(answering) = self.all[&to].job.as_ref() else { return };
        let event = match (&message, &answering.ledger.parties[&to].decision) {
            (Message::Propose, Decision::Signed(consent)) => {
                Event::Decided { from: to, decision: Decided::Signed(consent.clone()) }
            }
            (Message::Propose, Decision::Refused) => {
                let why = answering.ledger.failure.clone().unwrap();
                Event::Decided { from: to, decision: Decided::Refused(why) }
            }
            (Message::Propose, Decision::Open) if !answering.ledger.state.is_over() => {
                Event::Decided { from: to, decision: Decided::Pending }
            }
            _ => {
                let free = matches!(message, Message::Begin { .. })
                    && answering.ledger.attempt < attempt_of(&message)
                    && answering.computing().is_none()
                    && matches!(answering.ledger.state, State::Approved | State::Running);
                let standing = answering.standing(free && (self.calm || self.rng.random_range(0..4) > 0));
                Event::Standing { from: to, standing, answers: Some(message.clone()) }
            }
        };
        if self.chance(self.weather.lossy) {
            return;
        }
        if self.chance(self.weather.lossy) {
            self.late.push((from, event.clone()));
        }
        // Answered: it is not said again, unless something newer took its place meanwhile.
        let key = (to, message.slot());
        let process = self.all.get_mut(&from).unwrap();
        if process.telling.get(&key) == Some(&message) {
            process.telling.remove(&key);
        }
        self.happen(from, event);
    }

    /// The event that a word is at its receiver.
    fn word(&mut self, from: PartyId, to: PartyId, message: &Message) -> Option<Event> {
        let sender = self.all[&from].job.as_ref()?;
        Some(match message {
            Message::Propose => return None,
            Message::Decided => {
                let decision = match &sender.ledger.parties[&from].decision {
                    Decision::Signed(consent) => Decided::Signed(consent.clone()),
                    Decision::Refused => Decided::Refused(sender.ledger.failure.clone()?),
                    Decision::Open => return None,
                };
                Event::Decided { from, decision }
            }
            Message::Begin { attempt } => Event::Begin { attempt: *attempt },
            Message::Start { attempt, with } => {
                let calm = self.calm;
                let place = calm || self.rng.random_range(0..5) > 0;
                let process = self.all.get_mut(&to).unwrap();
                let place = place || process.holds_place;
                process.holds_place |= place && process.job.is_some();
                Event::Start { attempt: *attempt, with: with.clone(), place }
            }
            Message::Stop { attempt } => Event::Stop { attempt: *attempt },
            Message::Standing => Event::Standing { from, standing: sender.standing(false), answers: None },
        })
    }

    /// A proposal arrives: it is written down together with what our rule says.
    fn judge(&mut self, party: PartyId, leader: PartyId) {
        let mut ledger = self.all[&leader].ledger.clone().unwrap();
        ledger.me = party;
        ledger.state = State::Proposed;
        ledger.attempt = 0;
        ledger.failure = None;
        for (name, member) in &mut ledger.parties {
            let signed = *name == leader;
            member.decision = if signed { Decision::Signed(consent()) } else { Decision::Open };
            (member.left_out, member.receipt) = (false, None);
        }
        let me = ledger.parties.get_mut(&party).unwrap();
        if self.rng.random_range(0..3) > 0 {
            me.decision = Decision::Signed(consent());
            ledger.state = State::Approved;
        }
        self.note(ledger);
        self.start(party);
    }

    /// Something happens that may happen.
    pub(in crate::jobs) fn turn(&mut self) {
        let party = *self.names.choose(&mut self.rng).unwrap();
        if self.all[&party].gone {
            return;
        }
        if self.weather.one_never_returns && !self.calm && self.rng.random_range(0..200) == 0 {
            let last = *self.names.last().unwrap();
            self.crash(last);
            self.all.get_mut(&last).unwrap().gone = true;
            return;
        }
        if self.chance(self.weather.crashes) {
            self.crash(party);
        }
        if self.all[&party].job.is_none() {
            self.start(party);
            return;
        }
        if self.chance(self.weather.endings) {
            self.somebody_ends(party);
            return;
        }
        match self.rng.random_range(0..8) {
            0..=2 => {
                let telling: Vec<_> = self.all[&party].telling.iter().map(|((to, _), m)| (*to, m.clone())).collect();
                if let Some((to, message)) = telling.choose(&mut self.rng).cloned() {
                    self.deliver(party, to, message);
                }
            }
            3 => {
                let timer = self.all[&party].timers.iter().next().copied();
                if let Some(turn) = timer {
                    self.all.get_mut(&party).unwrap().timers.remove(&turn);
                    self.happen(party, Event::Woke { turn });
                }
            }
            4 => {
                if let Some(turn) = self.all.get_mut(&party).unwrap().queue.take() {
                    self.all.get_mut(&party).unwrap().holds_place = true;
                    self.happen(party, Event::Place { turn });
                }
            }
            5 => self.compute(party),
            6 => self.a_person_acts(party),
            _ => {
                if !self.late.is_empty() {
                    let at = self.rng.random_range(0..self.late.len());
                    let (to, event) = self.late.swap_remove(at);
                    self.arrives_late(to, event);
                }
            }
        }
    }

    fn arrives_late(&mut self, to: PartyId, event: Event) {
        let event = match event {
            Event::Start { attempt, with, .. } => {
                let place = self.all[&to].holds_place;
                Event::Start { attempt, with, place }
            }
            other => other,
        };
        self.happen(to, event);
    }

    fn somebody_ends(&mut self, party: PartyId) {
        let job = self.all[&party].job.as_ref().unwrap();
        let proposed_here = job.ledger.state == State::Proposed && !job.ledger.leads();
        self.ended_by_somebody |= !job.ledger.state.is_over();
        let (state, code) = match self.rng.random_range(0..3) {
            0 if job.ledger.state.is_service() => (State::Expired, codes::TERMS_EXPIRED),
            1 if job.ledger.state.is_service() => (State::Revoked, codes::REVOKED),
            0 if proposed_here => (State::Refused, codes::REFUSED_BY_PERSON),
            1 => (State::Failed, codes::REFUSED_BY_RULE),
            _ => (State::Cancelled, codes::CANCELLED),
        };
        let why = Error::new(code, "somebody ended it").with(party);
        self.happen(party, Event::Ended { state, why, by: "person".to_owned() });
    }

    fn a_person_acts(&mut self, party: PartyId) {
        let ledger = &self.all[&party].job.as_ref().unwrap().ledger;
        let (state, leads, by) = (ledger.state, ledger.leads(), "person".to_owned());
        match state {
            State::Proposed if !leads => self.happen(party, Event::Approved { consent: consent(), by }),
            State::Suspended => self.happen(party, Event::Resumed { by }),
            State::Serving if self.chance(100) => self.happen(party, Event::Paused { by }),
            State::Paused => self.happen(party, Event::Unpaused { by }),
            _ => {}
        }
    }

    /// The task of a party goes on: it ends well once all others are at the same attempt, or were; otherwise it may
    /// find that somebody is not there.
    fn compute(&mut self, party: PartyId) {
        let Some(attempt) = self.all[&party].task else {
            self.links(party);
            return;
        };
        let Activity::Computing { with, .. } = &self.all[&party].job.as_ref().unwrap().work.activity else { return };
        let with = with.clone();
        let there = |other: &PartyId| {
            let other = &self.all[other];
            other.task == Some(attempt) || other.ended_task == attempt
        };
        let missing = with.iter().copied().find(|other| !there(other));
        let receives = self.all[&party].job.as_ref().unwrap().ledger.parties[&party].receives;
        let how = match missing {
            None => {
                let crashes_before = self.chance(self.weather.crashes);
                self.compute_rows(party, !crashes_before);
                if crashes_before {
                    self.crash(party);
                    return;
                }
                self.all.get_mut(&party).unwrap().stored |= receives;
                if self.chance(self.weather.crashes) {
                    self.crash(party);
                    return;
                }
                Finish::Computed(receives.then(signature))
            }
            // A session waits for those who are a little behind.
            Some(who) if self.calm && !self.all[&who].gone && self.rng.random_range(0..40) > 0 => return,
            Some(who)
                if self.all[&who].gone || (self.weather.losses && !self.calm && self.rng.random_range(0..4) == 0) =>
            {
                let why = Error::new(codes::PEER_LOST, "lost").with(who);
                Finish::Lost { who, why }
            }
            Some(_) => Finish::Void,
        };
        let quick = self.rng.random_range(0..4) > 0;
        let process = self.all.get_mut(&party).unwrap();
        process.task = None;
        if matches!(how, Finish::Computed(_)) {
            process.ended_task = attempt;
        }
        self.happen(party, Event::Finished { attempt, how, quick });
    }

    fn compute_rows(&mut self, party: PartyId, whole: bool) {
        if let (Some(rows), Some(job)) = (&mut self.rows, &self.all[&party].job) {
            rows.compute(&job.ledger, whole);
        }
    }

    /// A link was down for the whole window.
    fn links(&mut self, party: PartyId) {
        let others: Vec<PartyId> = self.names.iter().copied().filter(|other| *other != party).collect();
        let who = *others.choose(&mut self.rng).unwrap();
        if self.all[&who].gone || (self.weather.losses && self.chance(20)) {
            let why = Error::new(codes::PEER_LOST, "the link was down").with(who);
            self.happen(party, Event::Lost { who, why });
        }
    }

    /// What is kept elsewhere of a party whose job is over is as it should be.
    pub(in crate::jobs) fn judge_rows(&self, party: PartyId) {
        if let Some(rows) = &self.rows {
            rows.judge(party);
        }
    }

    /// How every party stands, for a failure's message.
    pub(in crate::jobs) fn story(&self) -> Vec<String> {
        let told = |(name, process): (&PartyId, &Process)| {
            let job = process.job.as_ref().map(|job| (&job.work, job.ledger.attempt, &job.ledger.state));
            format!(
                "\n{name}: {job:?} timers {:?} telling {:?} task {:?} queue {:?}",
                process.timers, process.telling, process.task, process.queue
            )
        };
        self.all.iter().map(told).collect()
    }

    /// Whether nothing can change any more: every party that is there is over, or serves.
    pub(in crate::jobs) fn is_over(&self) -> bool {
        let over = |process: &Process| process.gone || process.over();
        let serves = |process: &Process| process.gone || process.serving;
        self.late.is_empty() && (self.all.values().all(over) || self.all.values().all(serves))
    }
}

impl Process {
    pub(in crate::jobs) fn state(&self) -> Option<State> {
        self.ledger.as_ref().map(|ledger| ledger.state)
    }

    fn over(&self) -> bool {
        self.job.is_some() && self.state().is_some_and(State::is_over)
    }
}

fn attempt_of(message: &Message) -> u32 {
    match message {
        Message::Begin { attempt } | Message::Start { attempt, .. } | Message::Stop { attempt } => *attempt,
        _ => 0,
    }
}
