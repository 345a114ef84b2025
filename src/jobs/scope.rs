//! What one attempt at a job works with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tacitly_core::{PartyId, Seed};

use super::core::Core;
use super::machine::Quorum;
use super::part::{MakeParty, PartsOver};
use super::running::RunningJob;
use super::terms::JobTerms;
use crate::relay::Membership;
use crate::store::Job;

/// The number of a member's try within an attempt: there is no second one.
const ONLY_TRY: u32 = 0;

/// One attempt. It decides nothing.
pub(super) struct Scope {
    pub(super) core: Arc<Core>,
    pub(super) job: Job,
    pub(super) terms: JobTerms,
    pub(super) quorum: Quorum,
    pub(super) attempt: u32,
    /// The parties of the attempt, we among them.
    pub(super) with: BTreeSet<PartyId>,
    pub(super) work: RunningJob,
    pub(super) seed: Arc<Seed>,
    pub(super) make_party: MakeParty,
    /// Where members reach each other through the leader.
    pub(super) membership: Arc<Membership>,
    /// Which parts are over at the other parties.
    pub(super) over_there: BTreeMap<PartyId, PartsOver>,
    /// What each party added to the terms.
    pub(super) contributions: BTreeMap<PartyId, Vec<u8>>,
}

impl Scope {
    /// Randomness of this attempt. A member begins every attempt once: its number is in the ledger before anything is
    /// drawn, and whoever comes back takes part in the next one.
    pub(super) fn seed_fresh(&self, label: &str) -> Seed {
        self.seed.fresh(label, self.attempt, ONLY_TRY)
    }
}
