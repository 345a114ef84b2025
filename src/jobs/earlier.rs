//! What an earlier job gave us, as input of a later one.

use tacitly_attestation::entry::{Body, LeafHash};

use super::core::{Core, about_job, terms_of, without_result};
use super::rows::StoredRows;
use crate::codes::{self, Error};
use crate::store::Dataset;

/// The rows of our dataset that an earlier job gave us, to be read on a thread that may block.
///
/// # Errors
/// [`codes::JOB_UNKNOWN`], [`codes::RESULT_NONE`] for a job that gave us nothing, or no rows of this dataset;
/// [`codes::DATASET_CHANGED`] if the dataset is another one than that job was about.
pub(super) async fn rows_of(core: &Core, job: &str, dataset: &Dataset) -> Result<StoredRows, Error> {
    let earlier = core.find(job).await?;
    let parts = core.store.secrets().result_parts(earlier.id).await?.ok_or_else(|| without_result(&earlier))?;
    if terms_of(&earlier)?.dataset_of(core.me()) != Some(&*dataset.name) {
        let text = format!("the result of {} is about other data than {}", earlier.id, dataset.name);
        return Err(Error::new(codes::RESULT_NONE, text));
    }
    let now = core.datasets.attest(&dataset.name).await?.map(|recorded| recorded.entry.leaf());
    if agreed_dataset(core, &about_job(earlier.id)).await? != now {
        let text = format!("{} has changed since the job {}; its rows are others now", dataset.name, earlier.id);
        return Err(Error::new(codes::DATASET_CHANGED, text));
    }
    StoredRows::of(core.store.clone(), earlier.id, parts, core.datasets.memory()).await
}

/// The entry about our data that an agreement names.
async fn agreed_dataset(core: &Core, subject: &str) -> Result<Option<LeafHash>, Error> {
    let agreement = core.recorder.recorded(subject, "agreement").await?;
    let Some(Body::Agreement(agreement)) = agreement.as_ref().map(|agreement| agreement.entry.entry().body()) else {
        return Ok(None);
    };
    Ok(agreement.participant(core.me()).and_then(|participant| participant.dataset))
}
