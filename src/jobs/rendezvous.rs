//! Rendezvous: the programs of all parties ask for the same job under the same name, each of its own daemon, and none has
//! to know what the others call their data. Whoever comes first waits.
//!
//! Every daemon says what it brings until it has heard all others. Equal: the party whose name sorts first proposes, and
//! the job goes on as any other. Different: all asks end, naming the field and both values.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tacitly_core::{PartyId, Terms, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::core::{Core, terms_of};
use super::kind::{Asked, AskedParty, Kinds, Local};
use super::machine::Event;
use super::message::{self, Answer, Ask, generated as pb, printable, reason, trouble};
use super::proposals::{Proposals, Submission};
use super::shell::Shell;
use super::state::State;
use super::terms::JobTerms;
use crate::codes::{self, Trouble};
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
pub struct Meeting {
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

type Place = (PartyId, String);

/// Where programs wait for each other. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Meetings(Arc<Mutex<BTreeMap<Place, Waiter>>>);

/// One program that waits for one other party.
struct Waiter {
    offer: pb::Offer,
    /// The other's call that brought something else, and still has to hear of it; others find the place empty.
    differed: Option<String>,
    heard: watch::Sender<Heard>,
}

/// What the side that waits has heard.
#[derive(Clone, Default)]
enum Heard {
    #[default]
    Nothing,
    /// What the other brings, and later its number for the job.
    Offer(pb::Offer),
    /// There will be no job.
    Refused(Trouble),
}

impl Meetings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, place: &Place, offer: &pb::Offer) {
        let mut waiters = self.lock();
        if waiters.get(place).is_some_and(|waiter| waiter.offer.call == offer.call) {
            waiters.remove(place);
        }
    }

    /// Another party says what it brings to a meeting, or that there will be no job.
    pub(super) fn answer(&self, from: PartyId, theirs: pb::Offer) -> Answer {
        let waiters = self.lock();
        let Some(waiter) = waiters.get(&(from, theirs.meeting.clone())) else { return Answer::Pending(pb::Pending {}) };
        if waiter.differed.as_ref().is_some_and(|call| *call != theirs.call) {
            return Answer::Pending(pb::Pending {});
        }
        let refused = theirs.refused.as_ref();
        let to_another = refused.is_some_and(|refusal| refusal.call != waiter.offer.call);
        let over = match &*waiter.heard.borrow() {
            Heard::Nothing => false,
            Heard::Offer(known) => !known.job.is_empty() && theirs.job.is_empty(),
            Heard::Refused(_) => true,
        };
        if !over && !to_another {
            let why = refused.map(|refusal| trouble(from, refusal.reason.as_ref()));
            waiter.heard.send_replace(why.map_or(Heard::Offer(theirs), Heard::Refused));
        }
        Answer::Offer(waiter.offer.clone())
    }

    /// We do not even write a proposal down: whoever waits here for a job on these terms hears it, too.
    pub(super) fn refuse(&self, from: PartyId, terms: &JobTerms, why: &Trouble) {
        let waiters = self.lock();
        let waiting = waiters.iter().filter(|((peer, _), waiter)| {
            *peer == from && waiter.differed.is_none() && is_what_was_asked(terms, &waiter.offer, from)
        });
        waiting.for_each(|(_, waiter)| drop(waiter.heard.send_replace(Heard::Refused(why.clone()))));
    }

    /// A frame was handed over for one job: the one that its program waits for at this moment, and no other.
    pub(super) fn check_frame(&self, is_frame: bool, from: PartyId, terms: &JobTerms) -> Result<(), Trouble> {
        let asked =
            |((peer, _), waiter): (&Place, &Waiter)| *peer == from && is_what_was_asked(terms, &waiter.offer, from);
        if !is_frame || self.lock().iter().any(asked) {
            return Ok(());
        }
        Err(Trouble::new(codes::REFUSED_BY_RULE, "no program here waits for this job on its frame"))
    }
}

/// Has programs meet.
#[derive(Clone)]
pub(super) struct Rendezvous {
    pub(super) core: Arc<Core>,
    pub(super) kinds: Kinds,
    pub(super) shell: Shell,
    pub(super) proposals: Proposals,
    pub(super) meetings: Meetings,
}

/// Gives the places up when its program ends, however it ends.
struct Seated {
    all: Rendezvous,
    places: Vec<Place>,
    offer: pb::Offer,
    differed: bool,
    met: bool,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let (all, places, offer) = (self.all.clone(), std::mem::take(&mut self.places), self.offer.clone());
        let (differed, met) = (self.differed, self.met);
        let leave = move |all: &Rendezvous, offer: &pb::Offer| {
            places.iter().for_each(|place| all.meetings.leave(place, offer));
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
    pub(super) async fn meet(&self, meeting: Meeting) -> Result<Job, Trouble> {
        let (core, me) = (&self.core, self.core.me());
        let bad = |text: &str| Trouble::new(codes::BAD_REQUEST, text);
        let kind = self.kinds.find(&meeting.kind)?;
        let Meeting { name, asked, purpose, wait, .. } = meeting.clone();
        if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
            return Err(bad("the name of a job that all sides ask for is one line of 1 to 200 bytes"));
        }
        let ours = asked.parties.get(&me).ok_or_else(|| bad("we are none of the parties of the job"))?;
        let dataset = match &ours.dataset {
            Some(name) => Some(core.store.dataset(name).await?),
            None => None,
        };
        let others: Vec<PartyId> = asked.parties.keys().copied().filter(|party| *party != me).collect();
        for party in &others {
            core.peers.require_peer(*party).await?;
        }
        let local = Local { me, dataset, ..Local::of(me) };
        let completed = kind.complete(asked.clone(), &local)?;
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
        let mut seated = self.take_places(&others, &offer)?;
        let deadline = Instant::now() + wait.min(LONGEST);
        let late = |party: PartyId| {
            let state = if core.peers.link_up_since(party).is_some() { "up" } else { "down" };
            let seconds = wait.as_secs();
            let text = format!("{party} did not ask for {name:?} within {seconds} s; the link is {state}");
            Trouble::new(codes::NOT_MET, text).with(party).during("waiting for the others to ask for the same job")
        };
        let mut brought = BTreeMap::from([(me, offer.clone())]);
        for party in &others {
            let theirs = timeout_at(deadline, self.hear(*party, &offer)).await.map_err(|_| late(*party))??;
            if let Err(difference) = same_offer((me, &offer), (*party, &theirs)) {
                seated.differed = true;
                if let Some(waiter) = self.meetings.lock().get_mut(&(*party, name.clone())) {
                    waiter.differed = Some(theirs.call);
                }
                return Err(difference);
            }
            brought.insert(*party, theirs);
        }
        let leader = *brought.keys().next().unwrap_or(&me);
        let job = if leader == me {
            let mut asked = completed;
            for (party, asked) in &mut asked.parties {
                let dataset = brought.get(party).map(|offer| offer.dataset.clone());
                asked.dataset = dataset.filter(|dataset| !dataset.is_empty());
            }
            let submission = Submission { kind: meeting.kind, asked, purpose, request_key: String::new() };
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
            timeout_at(deadline.max(Instant::now() + AGAIN), announced).await.map_err(|_| late(leader))??
        };
        seated.met = true;
        Ok(job)
    }

    fn take_places(&self, others: &[PartyId], offer: &pb::Offer) -> Result<Seated, Trouble> {
        let places: Vec<Place> = others.iter().map(|party| (*party, offer.meeting.clone())).collect();
        let mut waiters = self.meetings.lock();
        let is_taken = |place: &Place| waiters.get(place).is_some_and(|waiter| waiter.differed.is_none());
        if places.iter().any(is_taken) {
            let text = "another program of this party waits for a job of the same name";
            return Err(Trouble::new(codes::BAD_REQUEST, text));
        }
        for place in &places {
            let waiter = Waiter { offer: offer.clone(), differed: None, heard: watch::Sender::default() };
            waiters.insert(place.clone(), waiter);
        }
        drop(waiters);
        Ok(Seated { all: self.clone(), places, offer: offer.clone(), differed: false, met: false })
    }

    fn heard(&self, party: PartyId, offer: &pb::Offer) -> watch::Receiver<Heard> {
        let waiters = self.meetings.lock();
        let place = (party, offer.meeting.clone());
        waiters.get(&place).map_or_else(|| watch::channel(Heard::Nothing).1, |waiter| waiter.heard.subscribe())
    }

    fn tell(&self, party: PartyId, offer: pb::Offer) {
        let core = self.core.clone();
        core.tasks.clone().spawn(async move {
            let said = message::ask_until_answered(&core.peers, party, Ask::Meet(offer));
            let _answered = core.closing.run_until_cancelled(said).await;
        });
    }

    /// Says what we bring until we know what another party does.
    async fn hear(&self, party: PartyId, ours: &pb::Offer) -> Result<pb::Offer, Trouble> {
        let mut heard = self.heard(party, ours);
        let ask = async {
            loop {
                let answer = message::ask_until_answered(&self.core.peers, party, Ask::Meet(ours.clone())).await;
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
    async fn announced(&self, leader: PartyId, offer: &pb::Offer, since: Timestamp) -> Result<Job, Trouble> {
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
                    return Err(Trouble::new(codes::PROTOCOL_VIOLATION, text).with(leader));
                }
                Err(trouble) if trouble.code == codes::JOB_UNKNOWN => sleep(SOON).await,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// Ends whatever was begun on a frame and forgets it. Other datasets are left alone.
    async fn withdraw_frame(&self, name: &str) -> Result<(), Trouble> {
        let core = &self.core;
        let Ok(dataset) = core.store.dataset(name).await else { return Ok(()) };
        if !Frames::is_frame(&dataset) {
            return Ok(());
        }
        for job in core.store.unfinished().await? {
            if job.dataset.as_deref() == Some(name) {
                let text = format!("cancelled by an operator of {}", core.me());
                let why = Trouble::new(codes::CANCELLED, text).with(core.me());
                let ended = Event::Ended { state: State::Cancelled, why, by: "operator".to_owned() };
                self.shell.happen(job.id, ended).await?;
            }
        }
        core.datasets.frames().forget(name).await
    }
}

/// What all sides of a meeting bring alike, in one canonical form.
fn terms_to_meet(kind: &str, purpose: &str, asked: &Asked) -> Terms {
    let party = |(id, party): (&PartyId, &AskedParty)| {
        let fields = [
            ("role".to_owned(), Value::from(party.role.as_str())),
            ("receives".to_owned(), Value::from(u64::from(party.receives))),
        ];
        (id.to_string(), Value::from(BTreeMap::from(fields)))
    };
    let params: BTreeMap<String, Value> =
        asked.params.fields().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    Terms::new()
        .with("kind", kind)
        .with("purpose", purpose)
        .with("parties", asked.parties.iter().map(party).collect::<BTreeMap<_, _>>())
        .with("params", params)
}

/// Whether signed terms are those that this side offered.
fn is_what_was_asked(terms: &JobTerms, ours: &pb::Offer, leader: PartyId) -> bool {
    let ours_is_there =
        terms.parties.values().any(|party| party.dataset.as_deref() == Some(&*ours.dataset)) || ours.dataset.is_empty();
    let asked = Asked {
        parties: terms
            .parties
            .iter()
            .map(|(id, party)| {
                let (role, receives) = (party.role.clone(), party.receives);
                (*id, AskedParty { role, dataset: None, receives })
            })
            .collect(),
        params: terms.params.clone(),
    };
    terms.leader == leader
        && ours_is_there
        && terms_to_meet(&terms.kind, &terms.purpose, &asked).canonical() == ours.terms
}

/// All sides bring the same, but for their datasets.
fn same_offer((me, ours): (PartyId, &pb::Offer), (peer, theirs): (PartyId, &pb::Offer)) -> Result<(), Trouble> {
    let differ = |field: &str, ours: String, theirs: String| {
        let text = format!("the sides differ in {field}: {me} has {ours}, {peer} has {theirs}");
        Trouble::new(codes::TERMS_DIFFER, text).with(peer).during("comparing what both sides ask for")
    };
    let unreadable = |_| Trouble::lie(peer, "what it brings to a meeting cannot be read");
    let [our_terms, their_terms] = [Terms::parse(&ours.terms), Terms::parse(&theirs.terms)];
    let (our_terms, their_terms) = (our_terms.map_err(unreadable)?, their_terms.map_err(unreadable)?);
    let shown = |value: Option<&Value>| printable(&value.map_or("nothing".to_owned(), ToString::to_string));
    for (field, value) in our_terms.fields() {
        let other = their_terms.get(field);
        if other == Some(value) {
            continue;
        }
        // Inside a group the one that differs is named.
        if let (Some(group), Some(others)) = (value.as_map(), other.and_then(Value::as_map)) {
            let names: BTreeSet<&String> = group.keys().chain(others.keys()).collect();
            for name in names {
                if group.get(name) != others.get(name) {
                    let field = if field == "params" { name.clone() } else { format!("{field}, {name}") };
                    return Err(differ(&printable(&field), shown(group.get(name)), shown(others.get(name))));
                }
            }
        }
        return Err(differ(field, shown(Some(value)), shown(other)));
    }
    if our_terms == their_terms { Ok(()) } else { Err(differ("terms", "fewer".to_owned(), "more".to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::super::terms::PartyTerms;
    use super::super::terms::tests::terms_of as job_terms;
    use super::*;

    fn offer(terms: &JobTerms, me: &str) -> pb::Offer {
        let party = |(id, party): (&PartyId, &PartyTerms)| {
            (*id, AskedParty { role: party.role.clone(), dataset: None, receives: party.receives })
        };
        let asked = Asked { parties: terms.parties.iter().map(party).collect(), params: terms.params.clone() };
        pb::Offer {
            meeting: "monthly".into(),
            kind: terms.kind.clone(),
            terms: terms_to_meet(&terms.kind, &terms.purpose, &asked).canonical().into(),
            dataset: format!("{me}-ids"),
            ..pb::Offer::default()
        }
    }

    #[test]
    fn a_job_on_other_terms_than_this_side_offered_is_not_the_one() {
        let terms = job_terms(&["bank", "lender", "shop"]);
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let ours = offer(&terms, "shop");
        assert!(is_what_was_asked(&terms, &ours, bank));
        assert!(!is_what_was_asked(&terms, &ours, shop), "another party leads");
        let mut withheld = terms.clone();
        withheld.parties.get_mut(&shop).unwrap().receives = false;
        let mut elsewhere = terms.clone();
        elsewhere.parties.get_mut(&shop).unwrap().dataset = Some("customers".into());
        for other in [
            withheld,
            elsewhere,
            JobTerms { kind: "other".into(), ..terms.clone() },
            JobTerms { params: Terms::new().with("rows", 8), ..terms.clone() },
            JobTerms { purpose: "other".into(), ..terms.clone() },
            job_terms(&["bank", "shop"]),
        ] {
            assert!(!is_what_was_asked(&other, &ours, bank), "{other:?}");
        }
    }

    #[test]
    fn a_difference_is_named_with_both_values_and_without_a_peers_control_characters() {
        let terms = job_terms(&["bank", "shop"]);
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let ours = offer(&terms, "shop");
        let same = pb::Offer { call: "other".into(), ..offer(&terms, "bank") };
        assert_eq!(same_offer((shop, &ours), (bank, &same)), Ok(()));
        let theirs = offer(&JobTerms { purpose: "no\u{1b}[31m".into(), ..terms.clone() }, "bank");
        let trouble = same_offer((shop, &ours), (bank, &theirs)).unwrap_err();
        assert_eq!((trouble.code, trouble.who), (codes::TERMS_DIFFER, Some(bank)));
        assert!(trouble.text.contains("purpose") && trouble.text.contains("pilot"), "{}", trouble.text);
        assert!(!trouble.text.chars().any(char::is_control), "{}", trouble.text);
        let theirs = offer(&JobTerms { params: Terms::new().with("rows", 8), ..terms }, "bank");
        let trouble = same_offer((shop, &ours), (bank, &theirs)).unwrap_err();
        assert!(trouble.text.contains("rows: shop has 7, bank has 8"), "{}", trouble.text);
    }
}
