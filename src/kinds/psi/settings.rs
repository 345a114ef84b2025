//! An intersection as this party runs it, and what its terms say.

use std::time::Duration;

use tacitly_core::{PartyId, Value};
use tacitly_psi::Flow;

use super::plan::MemoryBudget;
use crate::codes::Error;
use crate::jobs::JobTerms;

/// How this party runs its intersections.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes that one job may use for rows.
    pub memory: usize,
    /// Distinct keys up to which a job runs in one piece, and in one bucket above; 0: what `memory` allows.
    pub bucket_keys: u64,
    /// The largest set of distinct keys that one job takes.
    pub items_per_job: u64,
    /// What this machine needs, for estimates.
    pub machine: Machine,
}

/// What this machine needs.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// What one item costs it, both multiplications, measured.
    pub per_item: Duration,
    /// Compute threads.
    pub threads: usize,
}

/// One of the three kinds.
pub(super) struct Psi {
    pub(super) flow: Flow,
    pub(super) settings: Settings,
}

/// The roles of the two parties.
pub(super) const PROPOSER: &str = "proposer";
pub(super) const APPROVER: &str = "approver";
/// The parameter with the normalisation profiles of the key columns, in order.
pub(super) const KEY: &str = "key";

impl Psi {
    pub(super) fn budget(&self) -> MemoryBudget {
        MemoryBudget { memory: self.settings.memory, bucket_keys: self.settings.bucket_keys }
    }
}

/// The normalisation profiles of the key columns that both sides match on.
pub(super) fn key_of(terms: &JobTerms) -> Vec<&str> {
    let key = terms.params.get(KEY).and_then(Value::as_list).unwrap_or_default();
    key.iter().filter_map(Value::as_text).collect()
}

/// The other party.
///
/// # Errors
/// [`codes::INTERNAL`] for terms that were not checked.
pub(super) fn peer_of(terms: &JobTerms, me: PartyId) -> Result<PartyId, Error> {
    terms.other(me).ok_or_else(|| Error::internal("an intersection has two parties"))
}
