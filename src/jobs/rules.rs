//! Our rules and limits, asked before a job is written down, before each attempt, and when a rule changes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tacitly_core::PartyId;

use super::machine::Event;
use super::office::Jobs;
use super::state::State;
use super::terms::JobTerms;
use crate::codes::{self, Trouble};
use crate::datasets::RuleChange;
use crate::policy::{self, Asked, Decision, Other, Rule};
use crate::store::check_dataset_name;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The refusal of a job that no rule covers. It tells what the request says, the same whether there is such a dataset or
/// not: names are no secret to be probed.
pub(super) fn no_rule(owner: PartyId, peer: PartyId, dataset: &str) -> Trouble {
    // A peer may name anything.
    let text = match check_dataset_name(dataset) {
        Ok(()) => format!(
            "no rule of {owner} lets {peer} use {dataset}; {owner} runs `tacitly dataset allow {dataset} {peer}`"
        ),
        Err(_) => format!("no rule of {owner} lets {peer} use a dataset of that name"),
    };
    Trouble::new(codes::REFUSED_NO_RULE, text)
}

impl Jobs {
    /// Asks our rule whether a job may be. Who is asked about is the other side of `terms`.
    pub(super) async fn decide(&self, terms: &JobTerms, dataset: &str) -> Result<Decision, Trouble> {
        let peer = terms.peer_of(self.settings.me);
        let rule = self.datasets.rule(dataset, peer).await?;
        let jobs_today = self.store.jobs_since(self.store.now() - DAY, peer, Some(dataset), false).await?;
        self.judge_by(rule.as_ref(), terms, jobs_today)
    }

    /// Our rule for a job that was approved: the one of this moment, which must still allow it.
    pub(super) async fn standing_rule(&self, terms: &JobTerms) -> Result<Rule, Trouble> {
        let rule = self.datasets.rule(terms.dataset_of(self.settings.me), terms.peer_of(self.settings.me)).await?;
        // The job itself is among those of the day.
        self.judge_by(rule.as_ref(), terms, 0)?;
        rule.ok_or_else(|| Trouble::internal("without a rule nothing is allowed"))
    }

    /// Sets our rule for a peer and a dataset, or takes it away with `json` empty. A job under way that it no longer
    /// allows ends here and there.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`], [`codes::PEER_UNKNOWN`], [`codes::DATASET_UNKNOWN`] or trouble of the store.
    pub async fn set_rule(
        self: &Arc<Self>,
        dataset: &str,
        peer: &str,
        json: &str,
        by: &str,
    ) -> Result<RuleChange, Trouble> {
        let stored = self.datasets.set_rule(dataset, peer, json, by).await?;
        for job in self.store.unfinished().await? {
            let terms = Self::terms(&job)?;
            let concerned =
                terms.peer_of(self.settings.me).as_str() == peer && terms.dataset_of(self.settings.me) == dataset;
            if !concerned {
                continue;
            }
            if let Err(refusal) = self.standing_rule(&terms).await
                && [codes::REFUSED_BY_RULE, codes::REFUSED_NO_RULE].contains(&refusal.code)
            {
                let ours_to_decide = job.state == State::Proposed.name() && job.leader != self.settings.me;
                let state = if ours_to_decide { State::Refused } else { State::Failed };
                // A job that has come to its end meanwhile is left as it is.
                self.happen(job.id, Event::Ended { state, why: refusal, by: "rule".to_owned() }).await?;
            }
        }
        Ok(stored)
    }

    fn judge_by(&self, rule: Option<&Rule>, terms: &JobTerms, jobs_today: u64) -> Result<Decision, Trouble> {
        let me = self.settings.me;
        let receivers: BTreeSet<PartyId> = terms.receivers.iter().copied().collect();
        let asked = Asked {
            kind: terms.kind.name(),
            purpose: &terms.purpose,
            receivers: &receivers,
            me,
            now: self.store.now(),
        };
        policy::decide_all(&[Other { party: terms.peer_of(me), rule, jobs_today }], &asked).map_err(|refusal| {
            match refusal.code {
                codes::REFUSED_NO_RULE => no_rule(me, terms.peer_of(me), terms.dataset_of(me)),
                _ => refusal,
            }
        })
    }

    /// Whether one more job with `peer` is within the limit.
    pub(super) async fn admit(&self, peer: PartyId) -> Result<(), Trouble> {
        let limit = self.settings.jobs_per_peer;
        let open = self.store.unfinished().await?.iter().filter(|job| job.party(peer).is_some()).count();
        if open >= limit {
            let text =
                format!("{limit} jobs between {} and {peer} are not over, and no more are taken", self.settings.me);
            return Err(Trouble::new(codes::LIMIT, text));
        }
        Ok(())
    }

    /// Whether one more proposal of `peer` is written down. Refused ones are, so that their number needs a limit.
    pub(super) async fn admit_proposal(&self, peer: PartyId) -> Result<(), Trouble> {
        let limit = self.settings.proposals_per_hour;
        let recent = self.store.jobs_since(self.store.now() - HOUR, peer, None, true).await?;
        if recent >= limit {
            let text = format!("{} takes {limit} proposals of one party within an hour", self.settings.me);
            return Err(Trouble::new(codes::LIMIT, text));
        }
        self.admit(peer).await
    }
}
