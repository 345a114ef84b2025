//! What the engine is told of private set intersection.

use std::sync::Arc;

use tacitly_core::{Checkpoint, Fault, PartyId, Seed, Value};
use tacitly_psi::Flow;

use super::attempt;
use super::contribution::Contribution;
use super::explain;
use super::limits::LIMITS;
use super::offer::Offer;
use super::part;
use super::settings::{APPROVER, KEY, PROPOSER, Psi, Settings, key_of};
use crate::codes::{self, Error};
use crate::jobs::{
    Asked, Input, JobKind, JobTerms, Learned, Local, Offers, PartParty, Pending, Prepared, Protocol, Run, Shape, Stop,
    Task,
};
use crate::policy::LimitName;

/// The three kinds: `intersect`, `align`, `cardinality`.
#[must_use]
pub fn kinds(settings: Settings) -> [Arc<dyn JobKind>; 3] {
    Flow::ALL.map(|flow| Arc::new(Psi { flow, settings }) as Arc<dyn JobKind>)
}

/// The names of the three kinds.
#[must_use]
pub fn names() -> [&'static str; 3] {
    Flow::ALL.map(Flow::name)
}

impl JobKind for Psi {
    fn name(&self) -> &'static str {
        self.flow.name()
    }

    fn protocol(&self) -> Protocol {
        Protocol { code: "psi-ecdh", version: 2 }
    }

    fn shape(&self) -> Shape {
        if self.flow == Flow::Cardinality { Shape::Number } else { Shape::Rows }
    }

    fn limits(&self) -> &'static [LimitName] {
        &LIMITS
    }

    fn complete(&self, mut asked: Asked, leader: PartyId, local: &Local) -> Result<Asked, Error> {
        let bad = |text: &str| Error::new(codes::BAD_REQUEST, text);
        let dataset = local.dataset.as_ref().ok_or_else(|| bad("name the dataset of ours that takes part"))?;
        let key: Vec<Value> = dataset.keys.iter().map(|key| Value::from(key.profile.as_str())).collect();
        asked.params = asked.params.with(KEY, Value::List(key));
        for (party, asked) in &mut asked.parties {
            asked.role = if *party == leader { PROPOSER } else { APPROVER }.to_owned();
        }
        Ok(asked)
    }

    fn check(&self, terms: &JobTerms) -> Result<(), Error> {
        let bad = |text: &str| Err(Error::new(codes::BAD_REQUEST, text));
        let role = |(party, said): (&PartyId, &crate::jobs::PartyTerms)| {
            said.role == if *party == terms.leader { PROPOSER } else { APPROVER }
        };
        let only_key = terms.params.fields().all(|(name, _)| name == KEY);
        let key = terms.params.get(KEY).and_then(Value::as_list).unwrap_or_default();
        if terms.parties.len() != 2 {
            return bad("an intersection is between two parties");
        }
        if !terms.parties.iter().all(role) {
            return bad("in an intersection the leader is the proposer and the other party the approver");
        }
        if terms.parties.values().any(|party| party.dataset.is_none()) {
            return bad("in an intersection each party brings a dataset; a dataset has a name of 1 to 64 characters");
        }
        if !only_key || key.is_empty() || !key.iter().all(|profile| profile.as_text().is_some()) {
            return bad("an intersection has one parameter, the profiles of its key columns");
        }
        if self.flow == Flow::Align && terms.receivers().len() != 2 {
            return bad("both sides receive the rows of an align job");
        }
        Ok(())
    }

    fn review(&self, terms: &JobTerms, local: &Local) -> Result<Vec<u8>, Error> {
        let dataset = local.dataset.as_ref().ok_or_else(|| Error::internal("an intersection takes our data"))?;
        let ours: Vec<&str> = dataset.keys.iter().map(|key| key.profile.as_str()).collect();
        let theirs = key_of(terms);
        if ours != theirs {
            let [theirs, ours] = [theirs, ours].map(Value::from);
            let text = format!("the sides differ in key: {} has {theirs}, {} has {ours}", terms.leader, local.me);
            return Err(Error::new(codes::TERMS_DIFFER, text));
        }
        Ok(Contribution::new(dataset.rows, &local.rules).to_bytes())
    }

    fn learns(&self, terms: &JobTerms, offers: Option<&Offers>, who: PartyId) -> Vec<Learned> {
        let Some(other) = terms.other(who) else { return Vec::new() };
        let learned = |code, sentence: String| Learned { code, sentence };
        let mut all = vec![learned("set-sizes", format!("how many distinct keys {other} has"))];
        let wants_size = offers.and_then(|offers| Offer::of(offers, who).ok()).is_some_and(|offer| offer.wants_size);
        if wants_size && !(terms.receives(who) && self.flow == Flow::Cardinality) {
            all.push(learned("intersection-size", "how many keys are shared, before anything else".to_owned()));
        }
        if terms.receives(who) {
            all.push(match self.flow {
                Flow::Intersect => learned("own-shared-rows", format!("which of its own rows {other} also has")),
                Flow::Align => learned(
                    "own-shared-rows-in-order",
                    format!("which of its own rows {other} also has, in an order both share"),
                ),
                Flow::Cardinality => learned("intersection-size", "how many keys are shared, not which".to_owned()),
            });
        }
        all
    }

    fn explain(&self, terms: &JobTerms, local: &Local) -> Vec<(&'static str, String)> {
        explain::explain(terms, local, self.flow, &self.budget(), &self.settings.machine)
    }

    fn party(&self, task: &Task, input: Input, seed: Seed, kept: Vec<Checkpoint>) -> Result<PartParty, Fault> {
        Ok(Box::new(part::party(task, input.take()?, seed, kept)?))
    }

    fn prepare(self: Arc<Self>, run: Run) -> Pending<'static, Result<Box<dyn Prepared>, Stop>> {
        Box::pin(async move { Ok(Box::new(attempt::read(self, &run).await?) as Box<dyn Prepared>) })
    }
}
