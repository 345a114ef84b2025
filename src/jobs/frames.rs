//! Jobs on frames: a table handed over for one job, and the rows that came of it.

use tacitly_core::PartyId;

use super::office::Jobs;
use super::outcome::Outcome;
use super::terms::Kind;
use crate::codes::{self, Trouble};
use crate::datasets::{DatasetView, key_spec, peer_named};
use crate::intake::Frame;
use crate::policy::{Receivers, Rule};

/// A frame to take in.
#[derive(Clone, Debug)]
pub struct NewFrame {
    /// Key columns with their profiles.
    pub keys: Vec<(String, String)>,
    /// `error`, `first` or `all`; empty: error.
    pub duplicates: String,
    /// `error` or `skip`; empty: error.
    pub invalid: String,
    /// With whom its one job may be.
    pub peer: String,
    /// What kind of job.
    pub kind: String,
    /// Who may receive: `us`, `peer` or `both`.
    pub receiver: String,
}

impl Jobs {
    /// Takes a frame in as a dataset for one job, with a rule for exactly that job. Returns the dataset and a report of
    /// counts for its owner. The dataset is forgotten some time after its job is over.
    ///
    /// # Errors
    /// [`codes::FRAMES_OFF`], [`codes::BAD_REQUEST`] for settings that do not exist, [`codes::DATASET_INPUT`] with row
    /// and column, [`codes::PEER_UNKNOWN`] or trouble of the store.
    pub async fn add_frame(&self, new: NewFrame, frame: Frame) -> Result<(DatasetView, String), Trouble> {
        let kind = Kind::of(&new.kind)
            .ok_or_else(|| Trouble::new(codes::BAD_REQUEST, "the kind is intersect, align or cardinality"))?;
        let peer = peer_named(&new.peer)?;
        self.store.peer(peer).await?;
        let receivers = self.receivers(kind, peer, &new.receiver)?;
        let spec = key_spec(&new.keys, &new.duplicates, &new.invalid)?;
        self.datasets.add_frame(frame, spec, peer, self.rule_of_one_job(kind, &receivers)).await
    }

    fn rule_of_one_job(&self, kind: Kind, receivers: &[PartyId]) -> Rule {
        let receivers = match receivers {
            [one] if *one == self.settings.me => Receivers::Us,
            [_] => Receivers::Peer,
            _ => Receivers::Any,
        };
        Rule { kinds: vec![kind.name().to_owned()], receivers, per_day: 1, ..Rule::default() }
    }

    /// Our rows of a finished job, counted from 0: ascending, or in the order that both sides share.
    ///
    /// # Errors
    /// [`codes::RESULT_NONE`] if there are none on this side, [`codes::JOB_UNKNOWN`] or trouble of the store.
    pub async fn rows(&self, id: &str) -> Result<Vec<u32>, Trouble> {
        let job = self.find(id).await?;
        let none = |text: &str| Trouble::new(codes::RESULT_NONE, text);
        let parts = self.store.result_parts(job.id).await?.ok_or_else(|| self.without_result(&job))?;
        let (mut rows, mut aligned) = (Vec::new(), false);
        for part in 0..parts {
            let bytes = self.store.result_part(job.id, part).await?;
            match Outcome::decode(&bytes).map_err(|error| Trouble::internal(error.to_string()))? {
                Outcome::Rows(some) => rows.extend(some),
                Outcome::Aligned(some) => {
                    aligned = true;
                    rows.extend(some);
                }
                Outcome::Size(_) => return Err(none("the job's result is a size, not rows")),
                Outcome::Parts { .. } => return Err(Trouble::internal("a part of a result has no parts")),
            }
        }
        if !aligned {
            // Each bucket is in the order of the file, all of them together are not.
            rows.sort_unstable();
        }
        Ok(rows)
    }
}
