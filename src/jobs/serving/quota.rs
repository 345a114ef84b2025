//! How many questions our rules let one party ask, or be asked by us, in a day: budgets that outlive jobs.

use std::collections::BTreeMap;
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

/// The rules for the other parties of one service, as they were a moment ago.
#[derive(Default)]
pub(in crate::jobs) struct Quota(Mutex<Option<(Instant, Read)>>);

type Read = Arc<BTreeMap<PartyId, Rule>>;

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
        let mut key = Sha256::new_with_prefix(b"tacitly-questions-per-day-1\n");
        let side = if side == Side::Asks { "asks" } else { "answers" };
        for part in [side, run.terms().dataset_of(run.me()).unwrap_or_default(), party.as_str(), purpose] {
            key.update((part.len() as u64).to_be_bytes());
            key.update(part);
        }
        let count = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(vec![Charge {
            limit: QUESTIONS_PER_DAY.name.to_owned(),
            key: key.finalize().into(),
            units: count(questions as u64),
            most: count(most),
            window: Some(DAY.as_millis() as u64),
        }])
    }

    async fn rules(&self, run: &ServiceRun) -> Result<Read, Error> {
        if let Some((read, rules)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner)
            && read.elapsed() < FRESH
        {
            return Ok(rules.clone());
        }
        let rules = Arc::new(run.rules().await?);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), rules.clone()));
        Ok(rules)
    }
}
