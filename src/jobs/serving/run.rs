//! What a kind that serves may touch of the world while it does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use tacitly_core::{PartyId, SessionTag};
use zeroize::Zeroizing;

use super::super::core::Core;
use super::super::part::Stop;
use super::super::reserve::{Units, Use};
use super::super::rules::Rules;
use super::super::terms::JobTerms;
use super::service::Session;
use super::sessions;
use crate::codes::Error;
use crate::datasets::Datasets;
use crate::policy::Rule;
use crate::store::{Job, MaterialBlock, MaterialScope, MaterialStand, MaterialStream};

/// A standing job, as its kind sees it while it serves. A clone is the same.
#[derive(Clone)]
pub struct ServiceRun(Arc<Standing>);

struct Standing {
    core: Arc<Core>,
    job: Job,
    terms: JobTerms,
}

impl ServiceRun {
    pub(in crate::jobs) fn new(core: Arc<Core>, job: Job, terms: JobTerms) -> Self {
        Self(Arc::new(Standing { core, job, terms }))
    }

    pub(in crate::jobs) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(in crate::jobs) fn job(&self) -> &Job {
        &self.0.job
    }

    /// What was agreed.
    #[must_use]
    pub fn terms(&self) -> &JobTerms {
        &self.0.terms
    }

    /// This party.
    #[must_use]
    pub fn me(&self) -> PartyId {
        self.0.core.me()
    }

    /// The other parties; those that the job went on without are missing.
    #[must_use]
    pub fn others(&self) -> BTreeSet<PartyId> {
        let there = self.0.job.parties.iter().filter(|party| !party.left_out).map(|party| party.party);
        there.filter(|party| *party != self.me()).collect()
    }

    /// Our datasets.
    #[must_use]
    pub fn datasets(&self) -> &Arc<Datasets> {
        &self.0.core.datasets
    }

    /// Our rules for the other parties, as they are at this moment. They still allow the job.
    ///
    /// # Errors
    /// The refusal if they no longer do, or an error of the store.
    pub async fn rules(&self) -> Result<BTreeMap<PartyId, Rule>, Error> {
        Rules(&self.0.core).standing(&self.0.terms).await
    }

    /// What the set-up, or this service itself, has left under a name.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn artefact(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        Ok(self.0.core.store.secrets().artefact(self.0.job.id, name).await?)
    }

    /// Leaves something under a name, sealed, in place of what was there. It is there until the job is purged.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn put_artefact(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        Ok(self.0.core.store.secrets().put_artefact(self.0.job.id, name, bytes).await?)
    }

    /// A stream of material of this job.
    #[must_use]
    pub fn stream(&self, name: &str) -> MaterialStream {
        MaterialStream { scope: MaterialScope::Job(self.0.job.id), name: name.to_owned() }
    }

    /// How much of a stream is there to be used, and where the next block of it begins.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn material(&self, stream: &MaterialStream) -> Result<MaterialStand, Error> {
        self.0.core.reserve.stand(stream).await
    }

    /// Puts a block of material, sealed, behind all that was put before.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn put_material(&self, stream: &MaterialStream, block: &MaterialBlock) -> Result<(), Error> {
        Ok(self.0.core.store.material().put(stream, block).await?)
    }

    /// Takes units that nobody has used or will use: from `at` on if it is said, otherwise the next that lie side by side.
    ///
    /// # Errors
    /// [`codes::MATERIAL_NONE`](crate::codes::MATERIAL_NONE) if there are not so many, or some of them are gone; an error of
    /// the store.
    pub async fn take_material(&self, stream: &MaterialStream, at: Option<u64>, count: u32) -> Result<Units, Error> {
        self.0.core.reserve.take(&Use { stream: stream.clone(), at, count }).await
    }

    /// Opens a session of this service with a party, and runs our side of it, which `make` makes of its tag.
    ///
    /// # Errors
    /// [`Stop`]
    pub async fn session(
        &self,
        to: PartyId,
        opening: Bytes,
        make: impl FnOnce(SessionTag) -> Session + Send,
    ) -> Result<(), Stop> {
        sessions::open(&self.0.core, &self.0.job, to, opening, make).await
    }
}
