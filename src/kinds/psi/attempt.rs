//! One attempt: read our keys, agree on a way from both offers, run it in one piece or in buckets.
//!
//! Both sides go through the buckets in the same order, each a part of its own, so that an attempt begins where the one
//! that is less far stands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tacitly_core::PartyId;
use tacitly_psi::{Buckets, Flow, Items, MAX_REHASH, Member, PsiParty, PsiTerms};
use tokio::task::spawn_blocking;

use super::contribution::{Contribution, minimum};
use super::limits;
use super::offer::Offer;
use super::part::{MAIN, PartInput, SIZE};
use super::plan::{self, Layout};
use super::sets::{self, RowsOf, Set, Spilled};
use super::settings::{Psi, key_of, peer_of};
use crate::codes::{self, Error};
use crate::datasets::{Input, Progress};
use crate::intake::{self, Keys};
use crate::jobs::{
    self, Inputs, Offers, Pending, Prepared, Quorum, Run, SessionLimits, Shown, Stop, Summary, Task, TaskSeed,
};
use crate::policy::{Limits, Receivers, Rule};

/// Where our offer is kept.
const OFFER: &str = "offer";

/// An attempt whose keys are read.
pub(super) struct Attempt {
    psi: Arc<Psi>,
    peer: PartyId,
    input: Input,
    set: Set,
    offer: Offer,
}

/// Reads our keys. What we offered in an earlier attempt stands.
pub(super) async fn read(psi: Arc<Psi>, run: &Run) -> Result<Attempt, Stop> {
    let peer = peer_of(run.terms(), run.me())?;
    let minimum = minimum(&run.rules().await?);
    let signed = contribution_of(run, run.me())?;
    let dataset = run.dataset().await?;
    let input = run.datasets().input(&dataset)?;
    let (progress, _given_up) = Progress::of("reading our data", run.show_progress());
    let (reading, budget, job) = (input.clone(), psi.budget(), run.terms_hash());
    let set = spawn_blocking(move || sets::read(&reading, &budget, &job, &progress)).await;
    let set = set.map_err(|_| Error::internal("reading ended unexpectedly"))??;
    let (items, most) = (set.items(), psi.settings.items_per_job.min(tacitly_psi::MAX_ITEMS));
    if items > most {
        let text = format!("{} has {items} distinct keys, at most {most} fit into one job", dataset.name);
        return Err(Error::new(codes::TOO_MANY_ROWS, text).into());
    }
    if minimum.is_some() && !signed.wants_size {
        let text = "our rule demands a minimum since this job was signed; submit it again";
        return Err(Error::new(codes::REFUSED_BY_RULE, text).into());
    }
    let offer = match run.kept(OFFER).await?.and_then(|bytes| Offer::of_bytes(&bytes)) {
        Some(earlier) if earlier.items != items => {
            return Err(Error::new(codes::DATASET_CHANGED, "our set is not the one this job began with").into());
        }
        Some(earlier) => earlier,
        None => {
            let offer = Offer { items, wants_size: signed.wants_size, capacity: set.capacity(&psi.budget()) };
            run.keep(OFFER, &offer.to_bytes()?).await?;
            offer
        }
    };
    Ok(Attempt { psi, peer, input, set, offer })
}

/// What a party has signed beside the terms.
fn contribution_of(run: &Run, party: PartyId) -> Result<Contribution, Error> {
    let said = run.contribution(party).and_then(Contribution::of_bytes);
    said.ok_or_else(|| Error::lie(party, "what it adds to the terms cannot be read"))
}

impl Prepared for Attempt {
    fn offer(&self) -> Vec<u8> {
        self.offer.to_bytes().unwrap_or_default()
    }

    fn run(self: Box<Self>, run: Run, offers: Offers) -> Pending<'static, Result<Summary, Stop>> {
        Box::pin(async move { self.run_to_its_end(&run, &offers).await })
    }
}

impl Attempt {
    async fn run_to_its_end(self, run: &Run, offers: &Offers) -> Result<Summary, Stop> {
        let Self { psi, peer, input, set, offer } = self;
        let theirs = Offer::of(offers, peer)?;
        let rules = run.rules().await?;
        let all: Vec<&Limits> = rules.values().map(|rule| &rule.limits).collect();
        let limits = Limits::strictest(&all, &limits::LIMITS);
        if theirs.wants_size != contribution_of(run, peer)?.wants_size {
            let what = "whether it learns the size first is not what it has signed with the terms";
            return Err(Error::lie(peer, what).into());
        }
        check_learner(run, peer, &rules, theirs.wants_size)?;
        limits::check_sizes(&limits, offer.items, theirs.items)?;
        let layout = plan::agree(peer, (offer.items, offer.capacity), (theirs.items, theirs.capacity))?;
        let mut figures = Map::new();
        figures.insert("our_items".to_owned(), json!(offer.items));
        figures.insert("peer_items".to_owned(), json!(theirs.items));
        run.note(figures.clone()).await?;
        let wants = [(run.me(), offer.wants_size), (peer, theirs.wants_size)];
        let learners: BTreeSet<PartyId> = wants.iter().filter(|(_, wants)| *wants).map(|(party, _)| *party).collect();
        let sizes = (offer.items, theirs.items);
        let (set, buckets) = match layout {
            Layout::Whole => (Cut::Whole(whole(set, &input, run).await?), None),
            Layout::Buckets(each) => {
                let (spilled, buckets) = spill(&psi, run, &input, set, each, sizes).await?;
                figures.insert("buckets".to_owned(), json!(buckets.count()));
                tracing::info!(buckets = buckets.count(), keys = each, rehash = buckets.rehash(), "in buckets");
                (Cut::Spilled(Arc::new(spilled)), Some(buckets))
            }
        };
        let phases = if learners.is_empty() { 1 } else { 2 };
        let session = Session { run, peer, sizes, set: set.clone(), buckets, phases };
        if !learners.is_empty() {
            let items = session.phase(SIZE, Flow::Cardinality, &learners).await?;
            if let Some(minimum) = minimum(&run.rules().await?).filter(|_| learners.contains(&run.me()))
                && items < minimum
            {
                let text = format!("fewer keys are shared than the rule of {} demands", run.me());
                return Err(Error::new(codes::BELOW_MINIMUM, text).into());
            }
        }
        let items = session.phase(MAIN, psi.flow, &run.terms().receivers()).await?;
        let receives = run.terms().receives(run.me());
        if receives && items == 0 {
            run.show("looking at our own column");
            let hint = spawn_blocking(move || set.hint()).await;
            let hint = hint.map_err(|_| Error::internal("reading ended unexpectedly"))?;
            figures.extend(hint.map(|hint| ("hint".to_owned(), Value::from(hint))));
        }
        let parts = match (receives, psi.flow, buckets) {
            (false, ..) => 0,
            (true, Flow::Cardinality, _) => {
                run.keep_result(0, &items.to_be_bytes()).await?;
                1
            }
            (true, _, buckets) => buckets.map_or(1, |buckets| buckets.count()),
        };
        Ok(Summary { parts, items: if receives { items } else { 0 }, figures })
    }
}

/// Refuses to tell the size of the intersection to a peer that receives nothing, where our rule says that only we receive.
fn check_learner(run: &Run, peer: PartyId, rules: &BTreeMap<PartyId, Rule>, wants_size: bool) -> Result<(), Error> {
    let keeps_to_us = rules.get(&peer).is_some_and(|rule| rule.receivers == Receivers::Us);
    if wants_size && !run.terms().receives(peer) && keeps_to_us {
        let text = format!(
            "the rule of {peer} demands a minimum, so that it would learn the size; the rule of {} keeps results to itself",
            run.me()
        );
        return Err(Error::new(codes::REFUSED_BY_RULE, text));
    }
    Ok(())
}

/// All keys in memory, whatever they take: so it was agreed when there was more of it.
async fn whole(set: Set, input: &Input, run: &Run) -> Result<Arc<Keys>, Stop> {
    match set {
        Set::Whole(keys) => Ok(Arc::new(keys)),
        Set::Spilled(_) => {
            let (progress, _given_up) = Progress::of("reading our data", run.show_progress());
            let input = input.clone();
            let read = spawn_blocking(move || input.keys_at_any_cost(&progress)).await;
            Ok(Arc::new(read.map_err(|_| Error::internal("reading ended unexpectedly"))??))
        }
    }
}

/// Spills our keys under the first rehash index of the hash under which both sets fit. Both sides say which one that is
/// for them, until they say the same.
async fn spill(
    psi: &Psi,
    run: &Run,
    input: &Input,
    set: Set,
    each: u64,
    (ours, theirs): (u64, u64),
) -> Result<(Spilled, Buckets), Stop> {
    let (mut set, mut rehash) = (set, 0);
    for round in 0..=MAX_REHASH {
        let (spilled, fitting) = first_fit(psi, run, input, set, each, ours.max(theirs), rehash).await?;
        let word = serde_json::to_vec(&fitting.rehash()).map_err(|error| Error::internal(error.to_string()))?;
        let mut said = BTreeSet::new();
        for (party, word) in run.collect(&format!("rehash {round}"), word, Quorum::All, None).await? {
            let fits: Option<u32> =
                serde_json::from_slice(&word).ok().filter(|said| (rehash..=MAX_REHASH).contains(said));
            let lie = || Error::lie(party, "it sorts its set in a way that there is not");
            said.insert(fits.ok_or_else(lie)?);
        }
        let latest = said.last().copied().unwrap_or(rehash);
        if said.len() == 1 {
            return Ok((spilled, fitting));
        }
        (set, rehash) = (Set::Spilled(spilled), latest);
    }
    Err(Error::internal(format!("no rehash up to {MAX_REHASH} cuts both sets into buckets that fit")).into())
}

/// Our keys under the first rehash index from this one on under which they fit.
async fn first_fit(
    psi: &Psi,
    run: &Run,
    input: &Input,
    set: Set,
    each: u64,
    largest: u64,
    from: u32,
) -> Result<(Spilled, Buckets), Stop> {
    let (mut set, mut rehash) = (set, from);
    loop {
        let Some(buckets) = plan::buckets(largest, each, rehash) else {
            let text = format!("no rehash up to {MAX_REHASH} cuts our set into buckets that fit");
            return Err(Error::internal(text).into());
        };
        let (progress, _given_up) = Progress::of("sorting our data into buckets", run.show_progress());
        let (input, budget, hash) = (input.clone(), psi.budget(), run.terms_hash());
        let sorted = spawn_blocking(move || match set {
            Set::Whole(keys) => Ok(Spilled::of(keys, &hash, rehash)),
            Set::Spilled(spilled) => spilled.again((&input, &budget), &hash, rehash, &progress),
        });
        let spilled = sorted.await.map_err(|_| Error::internal("sorting ended unexpectedly"))??;
        if spilled.fits(&buckets) {
            return Ok((spilled, buckets));
        }
        tracing::info!(rehash, "a bucket overflows; the next rehash is tried");
        (set, rehash) = (Set::Spilled(spilled), rehash + 1);
    }
}

/// Our keys, as sessions take them.
#[derive(Clone)]
enum Cut {
    Whole(Arc<Keys>),
    Spilled(Arc<Spilled>),
}

impl Cut {
    /// The keys of a part, and the rows that they stand for.
    fn part(&self, buckets: Option<&Buckets>, part: u32) -> Result<(Items, RowsOf), Error> {
        match (self, buckets) {
            (Self::Spilled(spilled), Some(buckets)) => Ok(spilled.bucket(buckets, part)?.into_parts()),
            (Self::Whole(keys), None) => {
                let mut items = Items::with_capacity(keys.len(), keys.ids().map(<[u8]>::len).sum());
                keys.ids().for_each(|id| items.push(id));
                Ok((items, RowsOf::OfFile(keys.clone())))
            }
            _ => Err(Error::internal("a set is cut as its job is")),
        }
    }

    /// What our own column looks like, if there is anything in it.
    fn hint(&self) -> Option<String> {
        match self {
            Self::Whole(keys) => (!keys.is_empty()).then(|| intake::hint(keys).to_string()),
            Self::Spilled(spilled) => spilled.hint(),
        }
    }
}

/// What the sessions of an attempt have in common.
struct Session<'a> {
    run: &'a Run,
    peer: PartyId,
    /// Our keys and the peer's.
    sizes: (u64, u64),
    set: Cut,
    buckets: Option<Buckets>,
    phases: u64,
}

impl Session<'_> {
    /// Runs a phase and returns how many items we learned of.
    async fn phase(&self, phase: &'static str, flow: Flow, receivers: &BTreeSet<PartyId>) -> Result<u64, Stop> {
        let (run, buckets, me) = (self.run, self.buckets, self.run.me());
        let members = [(me, self.sizes.0), (self.peer, self.sizes.1)].map(|(id, items)| {
            let member = Member::new(id, items);
            buckets.map_or(member, |buckets| member.padded(buckets.list(items)))
        });
        let receivers: Vec<PartyId> = receivers.iter().copied().collect();
        let job = run.terms().job.to_string();
        let terms = PsiTerms::new(flow, members, &receivers, &key_of(run.terms()), &job);
        let terms = terms.and_then(|terms| match buckets {
            Some(buckets) => terms.with_buckets(buckets),
            None => Ok(terms),
        });
        let terms = terms.map_err(|error| Error::new(codes::BAD_REQUEST, error.to_string()))?;
        let terms = terms.to_terms();
        let count = buckets.map_or(1, |buckets| buckets.count());
        let task = |part| {
            let (phase, peers, terms) = (phase.to_owned(), BTreeSet::from([self.peer]), terms.clone());
            Task { phase, part, me, peers, terms, seed: TaskSeed::Same, limits: SessionLimits::default() }
        };
        let shown = match buckets {
            None => Shown::default(),
            Some(buckets) => {
                let units = buckets.list(self.sizes.0);
                let before = if phase == MAIN { self.phases - 1 } else { 0 } * u64::from(count) * units;
                let part = if phase == SIZE { "size of bucket" } else { "bucket" };
                let total = self.phases * u64::from(count) * units;
                Shown { part, units, stage: PsiParty::BLINDING, before, total }
            }
        };
        let set = self.set.clone();
        let inputs: Inputs = Arc::new(move |task: &Task| {
            let (items, rows) = set.part(buckets.as_ref(), task.part)?;
            Ok(jobs::Input::of(PartInput { items, rows }))
        });
        let items = run.parts((0..count).map(task).collect(), shown, inputs).await?;
        Ok(items.into_iter().sum())
    }
}
