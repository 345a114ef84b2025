//! Where programs wait for each other, and whether they ask for the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tacitly_core::text::printable;
use tacitly_core::{PartyId, Terms, Value};
use tokio::sync::watch;

use super::kind::{Asked, AskedParty};
use super::message::{Answer, MAX_REASON, error, generated as pb};
use super::terms::JobTerms;
use crate::codes::{self, Error};

pub(super) type Place = (PartyId, String);

/// Where programs wait for each other. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Waiters(Arc<Mutex<BTreeMap<Place, Waiter>>>);

/// One program that waits for one other party.
pub(super) struct Waiter {
    pub(super) offer: pb::Offer,
    /// The other's call that brought something else, and still has to hear of it; others find the place empty.
    pub(super) differed: Option<String>,
    pub(super) heard: watch::Sender<Heard>,
}

/// What the side that waits has heard.
#[derive(Clone, Default)]
pub(super) enum Heard {
    #[default]
    Nothing,
    /// What the other brings, and later its number for the job.
    Offer(pb::Offer),
    /// There will be no job.
    Refused(Error),
}

impl Waiters {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<Place, Waiter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leave(&self, place: &Place, offer: &pb::Offer) {
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
            let why = refused.map(|refusal| error(from, refusal.reason.as_ref()));
            waiter.heard.send_replace(why.map_or(Heard::Offer(theirs), Heard::Refused));
        }
        Answer::Offer(waiter.offer.clone())
    }

    /// We do not even write a proposal down: whoever waits here for a job on these terms hears it, too.
    pub(super) fn refuse(&self, from: PartyId, terms: &JobTerms, why: &Error) {
        let waiters = self.lock();
        let waiting = waiters.iter().filter(|((peer, _), waiter)| {
            *peer == from && waiter.differed.is_none() && is_what_was_asked(terms, &waiter.offer, from)
        });
        waiting.for_each(|(_, waiter)| drop(waiter.heard.send_replace(Heard::Refused(why.clone()))));
    }

    /// A frame was handed over for one job: the one that its program waits for at this moment, and no other.
    pub(super) fn check_frame(&self, is_frame: bool, from: PartyId, terms: &JobTerms) -> Result<(), Error> {
        let asked =
            |((peer, _), waiter): (&Place, &Waiter)| *peer == from && is_what_was_asked(terms, &waiter.offer, from);
        if !is_frame || self.lock().iter().any(asked) {
            return Ok(());
        }
        Err(Error::new(codes::REFUSED_BY_RULE, "no program here waits for this job on its frame"))
    }
}

/// What all sides of a meeting bring alike, in one canonical form.
pub(super) fn terms_to_meet(kind: &str, purpose: &str, asked: &Asked) -> Terms {
    let party = |(id, party): (&PartyId, &AskedParty)| {
        let fields = [
            ("role".to_owned(), Value::from(party.role_in_terms())),
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
pub(super) fn is_what_was_asked(terms: &JobTerms, ours: &pb::Offer, leader: PartyId) -> bool {
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
pub(super) fn same_offer(
    (me, ours): (PartyId, &pb::Offer),
    (peer, theirs): (PartyId, &pb::Offer),
) -> Result<(), Error> {
    let differ = |field: &str, ours: String, theirs: String| {
        let text = format!("the sides differ in {field}: {me} has {ours}, {peer} has {theirs}");
        Error::new(codes::TERMS_DIFFER, text).with(peer).during("comparing what both sides ask for")
    };
    let unreadable = |_| Error::lie(peer, "what it brings to a meeting cannot be read");
    let [our_terms, their_terms] = [Terms::parse(&ours.terms), Terms::parse(&theirs.terms)];
    let (our_terms, their_terms) = (our_terms.map_err(unreadable)?, their_terms.map_err(unreadable)?);
    let shown = |value: Option<&Value>| printable(&value.map_or("nothing".to_owned(), ToString::to_string), MAX_REASON);
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
                    return Err(differ(
                        &printable(&field, MAX_REASON),
                        shown(group.get(name)),
                        shown(others.get(name)),
                    ));
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
        let error = same_offer((shop, &ours), (bank, &theirs)).unwrap_err();
        assert_eq!((error.code, error.who), (codes::TERMS_DIFFER, Some(bank)));
        assert!(error.text.contains("purpose") && error.text.contains("pilot"), "{}", error.text);
        assert!(!error.text.chars().any(char::is_control), "{}", error.text);
        let theirs = offer(&JobTerms { params: Terms::new().with("rows", 8), ..terms }, "bank");
        let error = same_offer((shop, &ours), (bank, &theirs)).unwrap_err();
        assert!(error.text.contains("rows: shop has 7, bank has 8"), "{}", error.text);
    }
}
