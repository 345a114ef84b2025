//! Meetings: two programs ask for the same job under the same name, each of its own daemon, and neither has to know what
//! the other calls its data. Whoever comes first waits.
//!
//! Both daemons say what they bring until each has heard the other. Equal: the side whose name sorts first proposes,
//! and the job goes on as any other. Different: both asks end, naming the field and both values.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tacitly_core::{PartyId, Value};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};

use super::message::{Answer, Ask, generated as pb, printable, reason, trouble};
use super::office::{Jobs, Submission};
use super::terms::{JobTerms, Kind};
use super::view::JobView;
use crate::codes::{self, Trouble};
use crate::datasets::{Frames, peer_named};
use crate::store::{Dataset, JobFilter, JobId};

/// The longest name of a meeting.
const MAX_NAME: usize = 200;
/// The longest that a side waits.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a side that waits says again what it brings: a restart can come between any two words.
const AGAIN: Duration = Duration::from_secs(5);
/// How often the ledger is asked for a job that was announced.
const SOON: Duration = Duration::from_millis(50);
/// How long an offer that differed stays on the table: the peer may not have read it yet.
const LINGER: Duration = Duration::from_secs(30);

/// What one side asks for.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The name, the same on both sides.
    pub name: String,
    /// A name of [`Kind`].
    pub kind: String,
    /// Our dataset.
    pub dataset: String,
    /// The other side.
    pub peer: String,
    /// `us`, `peer` or `both`.
    pub receiver: String,
    /// Why; the same on both sides.
    pub purpose: String,
    /// How long to wait for the other side.
    pub wait: Duration,
}

type Place = (PartyId, String);

/// Where programs wait for each other.
#[derive(Default)]
pub(super) struct Meetings(Mutex<BTreeMap<Place, Seat>>);

/// One program that waits.
struct Seat {
    offer: pb::Offer,
    /// The peer's call that brought something else, and still has to hear of it; others find the seat empty.
    differed: Option<String>,
    heard: watch::Sender<Heard>,
}

/// What the side that waits has heard.
#[derive(Clone, Default)]
enum Heard {
    #[default]
    Nothing,
    /// What the peer brings, and later its number for the job.
    Offer(pb::Offer),
    /// There will be no job.
    Refused(Trouble),
}

impl Meetings {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Seat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leave(&self, place: &Place, offer: &pb::Offer) {
        let mut seats = self.lock();
        if seats.get(place).is_some_and(|seat| seat.offer.call == offer.call) {
            seats.remove(place);
        }
    }
}

/// Gives a seat up when its program ends, however it ends.
struct Seated {
    jobs: Arc<Jobs>,
    place: Place,
    offer: pb::Offer,
    differed: bool,
    met: bool,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let (jobs, place, offer) = (self.jobs.clone(), self.place.clone(), self.offer.clone());
        let (differed, met) = (self.differed, self.met);
        if !differed {
            jobs.meetings.leave(&place, &offer);
        }
        // While a runtime is taken down nothing can be begun: the next start sweeps.
        if met || tokio::runtime::Handle::try_current().is_err() {
            return;
        }
        // The program is gone or was refused: so is its approval of a job on its frame.
        self.jobs.tasks.spawn(async move {
            if let Err(error) = jobs.withdraw_frame(&offer.dataset).await {
                tracing::warn!(%error, "a frame could not be withdrawn");
            }
            if differed {
                tokio::select! {
                    () = sleep(LINGER) => {}
                    () = jobs.closing.cancelled() => {}
                }
                jobs.meetings.leave(&place, &offer);
            }
        });
    }
}

impl Jobs {
    /// Asks for a job together with the peer's program that asks for the same under the same name. Returns the job once
    /// it stands in our ledger.
    ///
    /// # Errors
    /// [`codes::TERMS_DIFFER`], naming the field and both values; [`codes::NOT_MET`] if the peer does not come in time;
    /// those of [`Jobs::submit`], on either side.
    pub async fn meet_peer(self: &Arc<Self>, asked: Meeting) -> Result<JobView, Trouble> {
        let me = self.settings.me;
        let bad = |text: &str| Trouble::new(codes::BAD_REQUEST, text);
        let kind = Kind::of(&asked.kind).ok_or_else(|| bad("the kind is intersect, align or cardinality"))?;
        let peer = peer_named(&asked.peer)?;
        self.store.peer(peer).await?;
        let receivers = self.receivers(kind, peer, &asked.receiver)?;
        if asked.name.is_empty() || asked.name.len() > MAX_NAME || asked.name.chars().any(char::is_control) {
            return Err(bad("the name of a job that both sides ask for is one line of 1 to 200 bytes"));
        }
        let dataset = self.store.dataset(&asked.dataset).await?;
        let ours = pb::Offer {
            meeting: asked.name.clone(),
            kind: kind.name().to_owned(),
            key: dataset.keys.iter().map(|key| key.profile.clone()).collect(),
            receivers: receivers.iter().map(ToString::to_string).collect(),
            purpose: asked.purpose.clone(),
            dataset: asked.dataset.clone(),
            job: String::new(),
            call: JobId::fresh().to_string(),
            refused: None,
        };
        let since = self.store.now();
        let mut seated = self.take_seat(peer, &ours)?;
        let deadline = Instant::now() + asked.wait.min(LONGEST);
        let late = |_| {
            let state = if self.peers.link_up_since(peer).is_some() { "up" } else { "down" };
            let seconds = asked.wait.as_secs();
            let text = format!("{peer} did not ask for {:?} within {seconds} s; the link is {state}", asked.name);
            Trouble::new(codes::NOT_MET, text).with(peer).during("waiting for the peer to ask for the same job")
        };
        let theirs = timeout_at(deadline, self.hear(peer, &ours, &seated)).await.map_err(late)??;
        if let Err(difference) = same_offer((me, &ours), (peer, &theirs)) {
            seated.differed = true;
            if let Some(seat) = self.meetings.lock().get_mut(&seated.place) {
                seat.differed = Some(theirs.call);
            }
            return Err(difference);
        }
        let view = if me < peer {
            let submission = Submission {
                kind: asked.kind,
                dataset: asked.dataset,
                peer: asked.peer,
                peer_dataset: theirs.dataset,
                receiver: asked.receiver,
                purpose: asked.purpose,
                request_key: String::new(),
            };
            match self.submit(submission, "operator").await {
                Ok(view) => {
                    self.tell(peer, Ask::Meet(pb::Offer { job: view.id.clone(), ..ours }));
                    view
                }
                Err(trouble) => {
                    // The other side waits for our proposal.
                    let refused = pb::Refusal { call: theirs.call, reason: Some(reason(&trouble)) };
                    self.tell(peer, Ask::Meet(pb::Offer { refused: Some(refused), ..ours }));
                    return Err(trouble);
                }
            }
        } else {
            timeout_at(deadline.max(Instant::now() + AGAIN), self.announced(peer, &seated, since))
                .await
                .map_err(late)??
        };
        seated.met = true;
        Ok(view)
    }

    fn take_seat(self: &Arc<Self>, peer: PartyId, offer: &pb::Offer) -> Result<Seated, Trouble> {
        let place = (peer, offer.meeting.clone());
        let mut seats = self.meetings.lock();
        if seats.get(&place).is_some_and(|seat| seat.differed.is_none()) {
            let text = "another program of this party waits for a job of the same name";
            return Err(Trouble::new(codes::BAD_REQUEST, text));
        }
        seats.insert(place.clone(), Seat { offer: offer.clone(), differed: None, heard: watch::Sender::default() });
        Ok(Seated { jobs: self.clone(), place, offer: offer.clone(), differed: false, met: false })
    }

    fn heard(&self, seated: &Seated) -> watch::Receiver<Heard> {
        let seats = self.meetings.lock();
        seats.get(&seated.place).map_or_else(|| watch::channel(Heard::Nothing).1, |seat| seat.heard.subscribe())
    }

    /// Says what we bring until we know what the peer does.
    async fn hear(&self, peer: PartyId, ours: &pb::Offer, seated: &Seated) -> Result<pb::Offer, Trouble> {
        let mut heard = self.heard(seated);
        let ask = async {
            loop {
                if let Answer::Offer(theirs) = self.ask_until_answered(peer, Ask::Meet(ours.clone())).await {
                    return theirs;
                }
                sleep(AGAIN).await;
            }
        };
        let told = async {
            match heard.wait_for(|heard| !matches!(heard, Heard::Nothing)).await.map(|heard| heard.clone()) {
                Ok(Heard::Offer(theirs)) => Ok(theirs),
                Ok(Heard::Refused(why)) => Err(why),
                // The seat is ours: nobody takes it from under us.
                Ok(Heard::Nothing) | Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            theirs = ask => Ok(theirs),
            told = told => told,
        }
    }

    /// Waits for the job that the peer has proposed for this meeting. What the peer announces is checked against what we
    /// asked for: an earlier job, or one on other terms, would be another answer than the caller's.
    async fn announced(&self, peer: PartyId, seated: &Seated, since: Timestamp) -> Result<JobView, Trouble> {
        let mut heard = self.heard(seated);
        loop {
            let named = heard.wait_for(|heard| match heard {
                Heard::Nothing => false,
                Heard::Offer(theirs) => !theirs.job.is_empty(),
                Heard::Refused(_) => true,
            });
            let id = match named.await.map(|heard| heard.clone()) {
                Ok(Heard::Offer(theirs)) => theirs.job,
                Ok(Heard::Refused(why)) => return Err(why),
                // The seat is ours: nobody takes it from under us.
                Ok(Heard::Nothing) | Err(_) => return std::future::pending().await,
            };
            match self.find_with(&id, peer).await {
                Ok(job) if job.created_at >= since && is_what_was_asked(&Self::terms(&job)?, &seated.offer, peer) => {
                    return self.view(&job);
                }
                Ok(_) => {
                    let text = "the peer announced another job than the one both sides asked for";
                    return Err(Trouble::new(codes::PROTOCOL_VIOLATION, text).with(peer));
                }
                Err(trouble) if trouble.code == codes::JOB_UNKNOWN => sleep(SOON).await,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    /// The peer says what it brings to a meeting, or that there will be no job.
    pub(super) fn take_offer(&self, from: PartyId, theirs: pb::Offer) -> Answer {
        let seats = self.meetings.lock();
        let Some(seat) = seats.get(&(from, theirs.meeting.clone())) else { return Answer::Pending(pb::Pending {}) };
        if seat.differed.as_ref().is_some_and(|call| *call != theirs.call) {
            return Answer::Pending(pb::Pending {});
        }
        let refused = theirs.refused.as_ref();
        let to_another = refused.is_some_and(|refusal| refusal.call != seat.offer.call);
        let over = match &*seat.heard.borrow() {
            Heard::Nothing => false,
            Heard::Offer(known) => !known.job.is_empty() && theirs.job.is_empty(),
            Heard::Refused(_) => true,
        };
        if !over && !to_another {
            let why = refused.map(|refusal| trouble(from, refusal.reason.as_ref()));
            seat.heard.send_replace(why.map_or(Heard::Offer(theirs), Heard::Refused));
        }
        Answer::Offer(seat.offer.clone())
    }

    /// We do not even write the peer's proposal down: whoever waits here for a job on these terms hears it, too.
    pub(super) fn refuse_meeting(&self, from: PartyId, terms: &JobTerms, why: &Trouble) {
        let seats = self.meetings.lock();
        let waiting = seats.iter().filter(|((peer, _), seat)| {
            *peer == from && seat.differed.is_none() && is_what_was_asked(terms, &seat.offer, from)
        });
        waiting.for_each(|(_, seat)| drop(seat.heard.send_replace(Heard::Refused(why.clone()))));
    }

    /// A frame was handed over for one job: the one that its program waits for at this moment, and no other.
    pub(super) fn check_frame(&self, from: PartyId, terms: &JobTerms, dataset: &Dataset) -> Result<(), Trouble> {
        if !Frames::is_frame(dataset) {
            return Ok(());
        }
        let seats = self.meetings.lock();
        let asked = seats.iter().any(|((peer, _), seat)| *peer == from && is_what_was_asked(terms, &seat.offer, from));
        if asked {
            return Ok(());
        }
        Err(Trouble::new(codes::REFUSED_BY_RULE, "no program here waits for this job on its frame"))
    }

    /// Ends whatever was begun on a frame and forgets it. Other datasets are left alone.
    async fn withdraw_frame(self: &Arc<Self>, name: &str) -> Result<(), Trouble> {
        let Ok(dataset) = self.store.dataset(name).await else { return Ok(()) };
        if !Frames::is_frame(&dataset) {
            return Ok(());
        }
        let filter = JobFilter { dataset: Some(name.to_owned()), ..JobFilter::default() };
        let open: Vec<JobId> =
            self.store.jobs(&filter).await?.iter().filter(|job| job.finished_at.is_none()).map(|job| job.id).collect();
        for job in open {
            self.cancel(&job.to_string(), "operator").await?;
        }
        self.datasets.frames().forget(name).await
    }
}

/// Whether signed terms are those that this side offered.
fn is_what_was_asked(terms: &JobTerms, ours: &pb::Offer, peer: PartyId) -> bool {
    let receivers: Vec<String> = terms.receivers.iter().map(ToString::to_string).collect();
    terms.proposer == peer
        && terms.approver_dataset == ours.dataset
        && terms.kind.name() == ours.kind
        && terms.key == ours.key
        && terms.purpose == ours.purpose
        && receivers == ours.receivers
}

/// Both sides bring the same, but for the dataset.
fn same_offer((me, ours): (PartyId, &pb::Offer), (peer, theirs): (PartyId, &pb::Offer)) -> Result<(), Trouble> {
    let fields = |offer: &pb::Offer| {
        [
            ("kind", Value::from(offer.kind.as_str())),
            ("key", Value::from(offer.key.clone())),
            ("receivers", Value::from(offer.receivers.clone())),
            ("purpose", Value::from(offer.purpose.as_str())),
        ]
    };
    let difference = fields(ours).into_iter().zip(fields(theirs)).find(|(ours, theirs)| ours != theirs);
    let Some(((field, ours), (_, theirs))) = difference else { return Ok(()) };
    let theirs = printable(&theirs.to_string());
    let text = format!("the sides differ in {field}: {me} has {ours}, {peer} has {theirs}");
    Err(Trouble::new(codes::TERMS_DIFFER, text).with(peer).during("comparing what both sides ask for"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> (JobTerms, pb::Offer, PartyId) {
        let (bank, shop): (PartyId, PartyId) = ("bank".parse().unwrap(), "shop".parse().unwrap());
        let terms = JobTerms {
            job: "01J".to_owned(),
            kind: Kind::Align,
            proposer: bank,
            approver: shop,
            proposer_dataset: "frame-a".to_owned(),
            approver_dataset: "frame-b".to_owned(),
            proposer_rows: 7,
            key: vec!["cn-mobile".to_owned()],
            receivers: vec![bank, shop],
            purpose: "pilot".to_owned(),
        };
        let ours = pb::Offer {
            kind: "align".to_owned(),
            key: vec!["cn-mobile".to_owned()],
            receivers: vec!["bank".to_owned(), "shop".to_owned()],
            purpose: "pilot".to_owned(),
            dataset: "frame-b".to_owned(),
            ..pb::Offer::default()
        };
        (terms, ours, bank)
    }

    #[test]
    fn a_job_on_other_terms_than_this_side_offered_is_not_the_one() {
        let (terms, ours, bank) = asked();
        assert!(is_what_was_asked(&terms, &ours, bank));
        for other in [
            JobTerms { proposer: terms.approver, approver: bank, ..terms.clone() },
            JobTerms { approver_dataset: "customers".to_owned(), ..terms.clone() },
            JobTerms { kind: Kind::Intersect, ..terms.clone() },
            JobTerms { key: vec!["raw".to_owned()], ..terms.clone() },
            JobTerms { purpose: "other".to_owned(), ..terms.clone() },
            JobTerms { receivers: vec![bank], ..terms.clone() },
        ] {
            assert!(!is_what_was_asked(&other, &ours, bank), "{other:?}");
        }
    }

    #[test]
    fn a_difference_is_named_with_both_values_and_without_a_peers_control_characters() {
        let (_, ours, bank) = asked();
        let shop: PartyId = "shop".parse().unwrap();
        let same = pb::Offer { dataset: "members".to_owned(), call: "other".to_owned(), ..ours.clone() };
        assert_eq!(same_offer((shop, &ours), (bank, &same)), Ok(()));
        let theirs = pb::Offer { purpose: "no\u{1b}[31m".to_owned(), ..ours.clone() };
        let trouble = same_offer((shop, &ours), (bank, &theirs)).unwrap_err();
        assert_eq!((trouble.code, trouble.who), (codes::TERMS_DIFFER, Some(bank)));
        assert!(trouble.text.contains("purpose") && trouble.text.contains("pilot"), "{}", trouble.text);
        assert!(!trouble.text.chars().any(char::is_control), "{}", trouble.text);
    }
}
