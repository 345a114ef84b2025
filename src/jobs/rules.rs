//! Our rules and limits, asked before a job is written down, before each attempt, and when a rule changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tacitly_core::PartyId;

use super::core::Core;
use super::state::State;
use super::terms::JobTerms;
use crate::codes::{self, Error};
use crate::policy::{self, Asked, Decision, Other, Rule};
use crate::store::{Job, check_dataset_name};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The refusal of a job that no rule covers. It tells what the request says, the same whether there is such a dataset or
/// not: names are no secret to be probed.
pub(super) fn no_rule(owner: PartyId, peer: PartyId, dataset: &str) -> Error {
    // A peer may name anything.
    let text = match check_dataset_name(dataset) {
        Ok(()) => format!(
            "no rule of {owner} lets {peer} use {dataset}; {owner} runs `tacitly dataset allow {dataset} {peer}`"
        ),
        Err(_) => format!("no rule of {owner} lets {peer} use a dataset of that name"),
    };
    Error::new(codes::REFUSED_NO_RULE, text)
}

/// Our rules for all other parties of a job: the strictest wins.
pub(super) struct Rules<'a>(pub(super) &'a Core);

impl Rules<'_> {
    /// Asks our rules whether a job may be. A person decides a job that takes no data of ours: rules are about data.
    pub(super) async fn decide(&self, terms: &JobTerms) -> Result<Decision, Error> {
        let Some(dataset) = terms.dataset_of(self.0.me()) else { return Ok(Decision::AskAPerson) };
        let since = self.0.store.now() - DAY;
        let mut today = BTreeMap::new();
        for party in terms.others(self.0.me()) {
            today.insert(party, self.0.store.jobs().count_since(since, party, Some(dataset), false).await?);
        }
        let rules = self.of(terms, dataset).await?;
        self.judge(&rules, terms, dataset, |party| today.get(&party).copied().unwrap_or_default())
    }

    /// Our rules for a job that was approved: those of this moment, which must still allow it.
    pub(super) async fn standing(&self, terms: &JobTerms) -> Result<BTreeMap<PartyId, Rule>, Error> {
        // A key may have been revoked since.
        for party in terms.parties.keys() {
            self.0.peers.key_of(*party).await?;
        }
        let Some(dataset) = terms.dataset_of(self.0.me()) else { return Ok(BTreeMap::new()) };
        let rules = self.of(terms, dataset).await?;
        // The job itself is among those of the day.
        self.judge(&rules, terms, dataset, |_| 0)?;
        Ok(rules)
    }

    /// Our rules for the other parties, as far as there are any.
    pub(super) async fn of(&self, terms: &JobTerms, dataset: &str) -> Result<BTreeMap<PartyId, Rule>, Error> {
        let mut rules = BTreeMap::new();
        for party in terms.others(self.0.me()) {
            if let Some(rule) = self.0.datasets.rule(dataset, party).await? {
                rules.insert(party, rule);
            }
        }
        Ok(rules)
    }

    fn judge(
        &self,
        rules: &BTreeMap<PartyId, Rule>,
        terms: &JobTerms,
        dataset: &str,
        jobs_today: impl Fn(PartyId) -> u64,
    ) -> Result<Decision, Error> {
        let (me, receivers) = (self.0.me(), terms.receivers());
        let asked =
            Asked { kind: &terms.kind, purpose: &terms.purpose, receivers: &receivers, me, now: self.0.store.now() };
        let other = |party| Other { party, rule: rules.get(&party), jobs_today: jobs_today(party) };
        let others: Vec<Other<'_>> = terms.others(me).map(other).collect();
        policy::decide_all(&others, &asked).map_err(|refusal| match refusal.code {
            codes::REFUSED_NO_RULE => {
                let without = terms.others(me).find(|party| !rules.contains_key(party));
                without.map_or(refusal, |party| no_rule(me, party, dataset))
            }
            _ => refusal,
        })
    }

    /// Whether one more job with `peer` is within the limit.
    pub(super) async fn admit(&self, peer: PartyId) -> Result<(), Error> {
        let limit = self.0.settings.jobs_per_peer;
        // A service is not over for months, and holds up nobody.
        let is_open = |job: &Job| job.party(peer).is_some() && !job.state.parse().is_ok_and(State::is_service);
        let open = self.0.store.jobs().unfinished().await?.iter().filter(|job| is_open(job)).count();
        if open >= limit {
            let text = format!("{limit} jobs between {} and {peer} are not over, and no more are taken", self.0.me());
            return Err(Error::new(codes::LIMIT, text));
        }
        Ok(())
    }

    /// Whether one more proposal of `peer` is written down. Refused ones are, so that their number needs a limit.
    pub(super) async fn admit_proposal(&self, peer: PartyId) -> Result<(), Error> {
        let limit = self.0.settings.proposals_per_hour;
        let recent = self.0.store.jobs().count_since(self.0.store.now() - HOUR, peer, None, true).await?;
        if recent >= limit {
            let text = format!("{} takes {limit} proposals of one party within an hour", self.0.me());
            return Err(Error::new(codes::LIMIT, text));
        }
        self.admit(peer).await
    }
}
