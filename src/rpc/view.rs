//! What the rooms below hold, as the control API shows it.

use crate::chain::Mismatch;
use crate::datasets::{DatasetView, RuleView};
use crate::jobs::{AskedEntry, Budget, JobView, PartyView, ServiceView, Shape, State};
use crate::peers::{MemberView, PeerView, RosterView};
use crate::rpc::control;
use crate::store::JobId;

/// The states of a job, by the names that the API gives them.
#[must_use]
pub fn job_states() -> [&'static str; 12] {
    State::ALL.map(State::name)
}

impl From<JobView> for control::Job {
    fn from(view: JobView) -> Self {
        let failure = view.failure.map(|failure| control::Failure {
            hint: failure.code.hint.to_owned(),
            code: failure.code.name.to_owned(),
            who: failure.who.map(|who| who.to_string()).unwrap_or_default(),
            stage: failure.stage,
            text: failure.text,
        });
        let party = |party: PartyView| control::JobParty {
            party: party.party,
            role: party.role,
            dataset: party.dataset,
            receives: party.receives,
            decision: party.decision,
            left_out: party.left_out,
            has_result: party.has_result,
            bytes_out: party.bytes_out,
            bytes_in: party.bytes_in,
        };
        Self {
            id: view.id,
            kind: view.kind,
            leader: view.leader,
            parties: view.parties.into_iter().map(party).collect(),
            purpose: view.purpose,
            state: view.state.name().to_owned(),
            stage: view.progress.stage,
            done: view.progress.done,
            total: view.progress.total,
            bytes_out: view.progress.bytes_out,
            bytes_in: view.progress.bytes_in,
            summary: view.summary,
            result_items: view.result_items,
            failure,
            created: view.created,
            finished: view.finished,
            attempt: view.attempt,
            terms: view.terms,
            at_rest: view.state.is_at_rest(),
            purged: view.purged,
            service: None,
            shape: view.shape.map(Shape::name).unwrap_or_default().to_owned(),
        }
    }
}

impl From<AskedEntry> for control::AskedEntry {
    fn from(entry: AskedEntry) -> Self {
        let AskedEntry { responder, query, entry, units } = entry;
        Self { responder: responder.to_string(), query, entry, units }
    }
}

impl From<ServiceView> for control::Service {
    fn from(view: ServiceView) -> Self {
        let ServiceView { since, answered, refused, asked, material, budgets } = view;
        let material = material.into_iter().map(|(stream, left)| control::Material { stream, left }).collect();
        let budget = |Budget { party, asks, purpose, most, left }: Budget| control::Budget {
            party: party.to_string(),
            asks,
            purpose,
            most,
            left,
        };
        Self { since, answered, refused, asked, material, budgets: budgets.into_iter().map(budget).collect() }
    }
}

impl From<Mismatch> for control::Mismatch {
    fn from(found: Mismatch) -> Self {
        let Mismatch { kind, job, ours, theirs, what } = found;
        Self { kind: kind.to_owned(), job: JobId::from_bytes(job.0).to_string(), ours, theirs, what }
    }
}

impl From<PeerView> for control::Peer {
    fn from(view: PeerView) -> Self {
        Self {
            party: view.party.to_string(),
            address: view.address.unwrap_or_default(),
            link_up: view.link_up,
            link_detail: view.link_detail,
            clock_ahead_seconds: view.clock_ahead,
            key: view.key,
        }
    }
}

impl From<RosterView> for control::Consortium {
    fn from(view: RosterView) -> Self {
        let member =
            |MemberView { party, key, is_peer }: MemberView| control::Member { party: party.to_string(), key, is_peer };
        Self {
            name: view.consortium,
            version: view.version,
            founder: view.founder,
            fingerprint: view.fingerprint,
            members: view.members.into_iter().map(member).collect(),
            pinned: view.pinned,
            roster: view.roster,
        }
    }
}

impl From<RuleView> for control::Rule {
    fn from(view: RuleView) -> Self {
        Self { peer: view.peer, json: view.json, of_another_file: view.is_of_another_file }
    }
}

impl From<DatasetView> for control::Dataset {
    fn from(view: DatasetView) -> Self {
        Self {
            name: view.name,
            path: view.path,
            format: view.format,
            keys: view.keys.into_iter().map(|(column, profile)| control::KeyColumn { column, profile }).collect(),
            columns: view.columns,
            rows: view.rows,
            size_bytes: view.size,
            sha256: view.sha256,
            duplicates: view.duplicates,
            invalid: view.invalid,
            rules: view.rules.into_iter().map(Into::into).collect(),
            added: view.added,
            period: view.period,
            basis: view.basis,
        }
    }
}
