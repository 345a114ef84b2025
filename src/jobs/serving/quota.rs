//! How many questions our rules let one party ask, or be asked by us, in a day: budgets that outlive jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tacitly_core::PartyId;
use tokio::time::Instant;

use super::run::ServiceRun;
use crate::codes::{self, Error};
use crate::policy::{LimitForm, LimitName, Rule};
use crate::store::Charge;

/// The limit of a rule that kinds that serve declare: how many questions a day.
pub const QUESTIONS_PER_DAY: LimitName = LimitName {
    name: "questions_per_day",
    form: LimitForm::Cap,
    what: "the most questions for one purpose within a day (UTC), of the party or of ours to it",
};

const DAY: Duration = Duration::from_secs(86_400);
/// How long rules that were read are good for: a rule that changes counts this much later at the most.
const FRESH: Duration = Duration::from_secs(1);

/// Who asks whom.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::jobs) enum Side {
    /// We ask.
    Asks,
    /// We are asked.
    Answers,
}

/// The most purposes that are remembered for whoever looks at budgets.
const MOST_PURPOSES: usize = 64;

/// The rules for the other parties of one service, as they were a moment ago, and the purposes that were charged.
#[derive(Default)]
pub(in crate::jobs) struct Quota {
    rules: Mutex<Option<(Instant, Read)>>,
    purposes: Mutex<BTreeSet<String>>,
}

type Read = Arc<BTreeMap<PartyId, Rule>>;

/// Questions that a rule of ours allows within a day (UTC), for one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The other party.
    pub party: PartyId,
    /// Whether it is the party that asks; otherwise we ask it.
    pub asks: bool,
    /// What for.
    pub purpose: String,
    /// How many there may be.
    pub most: u64,
    /// How many of them are left today.
    pub left: u64,
}

impl Quota {
    /// What so many questions between us and a party use of which budget.
    ///
    /// # Errors
    /// [`codes::REFUSED_BY_RULE`] if our rule does not take the purpose, or takes the job no more; an error of the store.
    pub(in crate::jobs) async fn charges(
        &self,
        run: &ServiceRun,
        party: PartyId,
        purpose: &str,
        questions: usize,
        side: Side,
    ) -> Result<Vec<Charge>, Error> {
        let rules = self.rules(run).await?;
        let Some(rule) = rules.get(&party) else { return Ok(Vec::new()) };
        if rule.purposes.as_ref().is_some_and(|purposes| !purposes.iter().any(|allowed| allowed == purpose)) {
            let text = format!("the rule of {} does not take questions for the purpose {purpose}", run.me());
            return Err(Error::new(codes::REFUSED_BY_RULE, text));
        }
        let Some(most) = rule.limits.cap(QUESTIONS_PER_DAY.name) else { return Ok(Vec::new()) };
        let mut purposes = self.purposes.lock().unwrap_or_else(PoisonError::into_inner);
        if purposes.len() < MOST_PURPOSES && !purposes.contains(purpose) {
            purposes.insert(purpose.to_owned());
        }
        drop(purposes);
        let units = u32::try_from(questions).unwrap_or(u32::MAX);
        Ok(vec![Charge { units, ..charge(run, party, purpose, side, most) }])
    }

    /// What is left of the budgets, for the purposes that a rule names; where it names none, for those that were charged
    /// since this process began.
    ///
    /// # Errors
    /// An error of the store. Rules that do not take the job any more have no budget.
    pub(in crate::jobs) async fn budgets(&self, run: &ServiceRun) -> Result<Vec<Budget>, Error> {
        let rules = match self.rules(run).await {
            Err(why) if matches!(why.code, codes::REFUSED_BY_RULE | codes::REFUSED_NO_RULE) => return Ok(Vec::new()),
            rules => rules?,
        };
        let charged = self.purposes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut budgets = Vec::new();
        for (party, rule) in &*rules {
            let Some(most) = rule.limits.cap(QUESTIONS_PER_DAY.name) else { continue };
            let purposes =
                rule.purposes.as_ref().map_or_else(|| charged.clone(), |named| named.iter().cloned().collect());
            for purpose in purposes {
                for side in [Side::Asks, Side::Answers] {
                    let used = run.core().store.charges().used(&charge(run, *party, &purpose, side, most)).await?;
                    let (asks, purpose) = (side == Side::Answers, purpose.clone());
                    budgets.push(Budget { party: *party, asks, purpose, most, left: most.saturating_sub(used) });
                }
            }
        }
        Ok(budgets)
    }

    async fn rules(&self, run: &ServiceRun) -> Result<Read, Error> {
        if let Some((read, rules)) = &*self.rules.lock().unwrap_or_else(PoisonError::into_inner)
            && read.elapsed() < FRESH
        {
            return Ok(rules.clone());
        }
        let rules = Arc::new(run.rules().await?);
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), rules.clone()));
        Ok(rules)
    }
}

/// A charge of nothing to the budget for one purpose of a party and our dataset.
fn charge(run: &ServiceRun, party: PartyId, purpose: &str, side: Side, most: u64) -> Charge {
    let mut key = Sha256::new_with_prefix(b"tacitly-questions-per-day-1\n");
    let side = if side == Side::Asks { "asks" } else { "answers" };
    for part in [side, run.terms().dataset_of(run.me()).unwrap_or_default(), party.as_str(), purpose] {
        key.update((part.len() as u64).to_be_bytes());
        key.update(part);
    }
    Charge {
        limit: QUESTIONS_PER_DAY.name.to_owned(),
        key: key.finalize().into(),
        units: 0,
        most: u32::try_from(most).unwrap_or(u32::MAX),
        window: Some(DAY.as_millis() as u64),
    }
}
