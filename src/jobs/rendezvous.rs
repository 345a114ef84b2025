//! Rendezvous: the programs of all parties ask for the same job under the same name, each of its own daemon, and none has
//! to know what the others call their data. Whoever comes first waits.
//!
//! Every daemon says what it brings until it has heard all others. Equal: the party whose name sorts first proposes, and
//! the job goes on as any other. Different: all asks end, naming the field and both values.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tacitly_core::PartyId;
use tacitly_core::text::is_plain;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};

use super::asking;
use super::core::{Core, terms_of};
use super::kind::{Asked, Kinds, Local};
use super::machine::Event;
use super::message::{Answer, Ask, generated as pb, reason};
use super::proposals::{Proposals, Submission};
use super::shell::Shell;
use super::state::State;
use super::waiters::{Heard, Place, Waiter, Waiters, is_what_was_asked, same_offer, terms_to_meet};
use crate::codes::{self, Error};
use crate::datasets::Frames;
use crate::store::{Job, JobId};

/// The longest name of a meeting.
const MAX_NAME: usize = 200;
/// The longest that a side waits.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a side that waits says again what it brings: a restart can come between any two words.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the ledger is asked for a job that was announced.
const SOON: Duration = Duration::from_millis(50);
/// How long an offer that differed stays on the table: the others may not have read it yet.
const LINGER: Duration = Duration::from_secs(30);

/// What one side asks for.
#[derive(Clone, Debug, Default)]
pub struct RendezvousRequest {
    /// The name, the same on all sides.
    pub name: String,
    /// The name of a kind of job.
    pub kind: String,
    /// Who takes part; of the datasets only ours is named.
    pub asked: Asked,
    /// Why; the same on all sides.
    pub purpose: String,
    /// How long to wait for the others.
    pub wait: Duration,
}

/// Has programs meet.
#[derive(Clone)]
pub(super) struct Rendezvous {
    pub(super) core: Arc<Core>,
    pub(super) kinds: Kinds,
    pub(super) shell: Shell,
    pub(super) proposals: Proposals,
    pub(super) waiters: Waiters,
}

/// Gives the places up when its program ends, however it ends.
struct Registration {
    all: Rendezvous,
    places: Vec<Place>,
    offer: pb::Offer,
    differed: bool,
    met: bool,
}

impl Drop for Registration {
    fn drop(&mut self) {
        let (all, places, offer) = (self.all.clone(), std::mem::take(&mut self.places), self.offer.clone());
        let (differed, met) = (self.differed, self.met);
        let leave = move |all: &Rendezvous, offer: &pb::Offer| {
            places.iter().for_each(|place| all.waiters.leave(place, offer));
        };
        if !differed {
            leave(&all, &offer);
        }
        // While a runtime is taken down nothing can be begun: the next start sweeps.
        if met || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        // The program is gone or was refused: so is its approval of a job on its frame.
        self.all.core.tasks.spawn(async move {
            if let Err(error) = all.withdraw_frame(&offer.dataset).await {
                tracing::warn!(%error, "a frame could not be withdrawn");
            }
            if differed {
                let _closing = all.core.closing.run_until_cancelled(sleep(LINGER)).await;
                leave(&all, &offer);
            }
        });
    }
}

impl Rendezvous {
    /// Asks for a job together with the programs of all other parties that ask for the same under the same name. Returns
    /// the job once it stands in our ledger.
    pub(super) async fn join(&self, meeting: RendezvousRequest) -> Result<Job, Error> {
        let (core, me) = (&self.core, self.core.me());
        let bad = |text: &str| Error::new(codes::BAD_REQUEST, text);
        let kind = self.kinds.find(&meeting.kind)?;
        let RendezvousRequest { name, asked, purpose, wait, .. } = meeting.clone();
        if name.is_empty() || name.len() > MAX_NAME || !is_plain(&name) {
            return Err(bad("the name of a job that all sides ask for is one line of 1 to 200 bytes"));
        }
        let ours = asked.parties.get(&me).ok_or_else(|| bad("we are none of the parties of the job"))?;
        let dataset = match &ours.dataset {
            Some(name) => Some(core.store.datasets().get(name).await?),
            None => None,
        };
        let others: Vec<PartyId> = asked.parties.keys().copied().filter(|party| *party != me).collect();
        for party in &others {
            core.peers.require_peer(*party).await?;
        }
        let local = Local { me, dataset, ..Local::of(me) };
        // The party whose name sorts first proposes.
        let leader = asked.parties.keys().next().copied().unwrap_or(me);
        let completed = kind.complete(asked.clone(), leader, &local)?;
        let terms = terms_to_meet(kind.name(), &purpose, &completed);
        let offer = pb::Offer {
            meeting: name.clone(),
            kind: kind.name().to_owned(),
            terms: terms.canonical().into(),
            dataset: ours.dataset.clone().unwrap_or_default(),
            job: String::new(),
            call: JobId::fresh().to_string(),
            refused: None,
        };
        let since = core.store.now();
        let mut registration = self.take_places(&others, &offer)?;
        let deadline = Instant::now() + wait.min(LONGEST);
        let late = |missing: &[PartyId]| {
            let state = |party: &PartyId| {
                let link = if core.peers.link_up_since(*party).is_some() { "up" } else { "down" };
                format!("{party} (the link is {link})")
            };
            let (names, seconds) = (missing.iter().map(state).collect::<Vec<_>>().join(", "), wait.as_secs());
            let text = format!("within {seconds} s nothing asked for {name:?} at {names}");
            let why = Error::new(codes::NOT_MET, text).during("waiting for the others to ask for the same job");
            Error { who: missing.first().copied(), ..why }
        };
        let mut brought = BTreeMap::from([(me, offer.clone())]);
        let mut hearing = JoinSet::new();
        for party in others.clone() {
            let (this, offer) = (self.clone(), offer.clone());
            hearing.spawn(async move { (party, timeout_at(deadline, this.hear(party, &offer)).await) });
        }
        let mut missing = Vec::new();
        while let Some(heard) = hearing.join_next().await {
            let (party, heard) = heard.map_err(|_| Error::internal("waiting ended unexpectedly"))?;
            let Ok(theirs) = heard else {
                missing.push(party);
                continue;
            };
            let theirs = theirs?;
            if let Err(difference) = same_offer((me, &offer), (party, &theirs)) {
                registration.differed = true;
                if let Some(waiter) = self.waiters.lock().get_mut(&(party, name.clone())) {
                    waiter.differed = Some(theirs.call);
                }
                return Err(difference);
            }
            brought.insert(party, theirs);
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            return Err(late(&missing));
        }
        let job = if leader == me {
            let mut asked = completed;
            for (party, asked) in &mut asked.parties {
                let dataset = brought.get(party).map(|offer| offer.dataset.clone());
                asked.dataset = dataset.filter(|dataset| !dataset.is_empty());
            }
            let submission = Submission { kind: meeting.kind, asked, purpose, ..Submission::default() };
            let submitted = self.proposals.submit(submission, "operator").await;
            for party in &others {
                let word = match &submitted {
                    Ok(job) => pb::Offer { job: job.id.to_string(), ..offer.clone() },
                    // The others wait for our proposal.
                    Err(why) => {
                        let call = brought[party].call.clone();
                        pb::Offer { refused: Some(pb::Refusal { call, reason: Some(reason(why)) }), ..offer.clone() }
                    }
                };
                self.tell(*party, word);
            }
            submitted?
        } else {
            let announced = self.announced(leader, &offer, since);
            timeout_at(deadline.max(Instant::now() + AGAIN), announced).await.map_err(|_| late(&[leader]))??
        };
        registration.met = true;
        Ok(job)
    }

    fn take_places(&self, others: &[PartyId], offer: &pb::Offer) -> Result<Registration, Error> {
        let places: Vec<Place> = others.iter().map(|party| (*party, offer.meeting.clone())).collect();
        let mut waiters = self.waiters.lock();
        let is_taken = |place: &Place| waiters.get(place).is_some_and(|waiter| waiter.differed.is_none());
        if places.iter().any(is_taken) {
            let text = "another program of this party waits for a job of the same name";
            return Err(Error::new(codes::BAD_REQUEST, text));
        }
        for place in &places {
            let waiter = Waiter { offer: offer.clone(), differed: None, heard: watch::Sender::default() };
            waiters.insert(place.clone(), waiter);
        }
        drop(waiters);
        Ok(Registration { all: self.clone(), places, offer: offer.clone(), differed: false, met: false })
    }

    fn heard(&self, party: PartyId, offer: &pb::Offer) -> watch::Receiver<Heard> {
        let waiters = self.waiters.lock();
        let place = (party, offer.meeting.clone());
        waiters.get(&place).map_or_else(|| watch::channel(Heard::Nothing).1, |waiter| waiter.heard.subscribe())
    }

    fn tell(&self, party: PartyId, offer: pb::Offer) {
        let core = self.core.clone();
        core.tasks.clone().spawn(async move {
            let said = asking::until_answered(&core.peers, party, Ask::Meet(offer));
            let _answered = core.closing.run_until_cancelled(said).await;
        });
    }

    /// Says what we bring until we know what another party does.
    async fn hear(&self, party: PartyId, ours: &pb::Offer) -> Result<pb::Offer, Error> {
        let mut heard = self.heard(party, ours);
        let ask = async {
            loop {
                let answer = asking::until_answered(&self.core.peers, party, Ask::Meet(ours.clone())).await;
                if let Answer::Offer(theirs) = answer {
                    return theirs;
                }
                sleep(AGAIN).await;
            }
        };
        let told = async {
            match heard.wait_for(|heard| !matches!(heard, Heard::Nothing)).await.map(|heard| heard.clone()) {
                Ok(Heard::Offer(theirs)) => Ok(theirs),
                Ok(Heard::Refused(why)) => Err(why),
                // The place is ours: nobody takes it from under us.
                Ok(Heard::Nothing) | Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            theirs = ask => Ok(theirs),
            told = told => told,
        }
    }

    /// Waits for the job that the leader has proposed for this meeting. What it announces is checked against what we asked
    /// for: an earlier job, or one on other terms, would be another answer than the caller's.
    async fn announced(&self, leader: PartyId, offer: &pb::Offer, since: Timestamp) -> Result<Job, Error> {
        let mut heard = self.heard(leader, offer);
        loop {
            let named = heard.wait_for(|heard| match heard {
                Heard::Nothing => false,
                Heard::Offer(theirs) => !theirs.job.is_empty(),
                Heard::Refused(_) => true,
            });
            let id = match named.await.map(|heard| heard.clone()) {
                Ok(Heard::Offer(theirs)) => theirs.job,
                Ok(Heard::Refused(why)) => return Err(why),
                // The place is ours: nobody takes it from under us.
                Ok(Heard::Nothing) | Err(_) => return std::future::pending().await,
            };
            match self.core.find_with(&id, leader).await {
                Ok(job) if job.created_at >= since && is_what_was_asked(&terms_of(&job)?, offer, leader) => {
                    return Ok(job);
                }
                Ok(_) => {
                    let text = "the peer announced another job than the one all sides asked for";
                    return Err(Error::new(codes::PROTOCOL_VIOLATION, text).with(leader));
                }
                Err(error) if error.code == codes::JOB_UNKNOWN => sleep(SOON).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Ends whatever was begun on a frame and forgets it. Other datasets are left alone.
    async fn withdraw_frame(&self, name: &str) -> Result<(), Error> {
        let core = &self.core;
        let Ok(dataset) = core.store.datasets().get(name).await else { return Ok(()) };
        if !Frames::is_frame(&dataset) {
            return Ok(());
        }
        for job in core.store.jobs().unfinished().await? {
            if job.dataset.as_deref() == Some(name) {
                let text = format!("cancelled by an operator of {}", core.me());
                let why = Error::new(codes::CANCELLED, text).with(core.me());
                let ended = Event::Ended { state: State::Cancelled, why, by: "operator".to_owned() };
                self.shell.happen(job.id, ended).await?;
            }
        }
        core.datasets.frames().forget(name).await
    }
}
