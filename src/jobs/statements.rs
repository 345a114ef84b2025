//! What kinds of job state in words of their own, on record beside agreement and result.

use tacitly_attestation::entry::{
    Body, Code, Kind, LeafHash, SignedEntry, StatementEntry, StatementFields, StatementSubject,
};

use super::core::{Core, about_job};
use crate::codes::Error;
use crate::store::JobId;

/// The most statements of one job: its certificate holds all of them.
const MOST: usize = 64;

/// Puts a statement on record, once.
pub(super) async fn state(
    core: &Core,
    job: JobId,
    topic: Code,
    subject: StatementSubject,
    fields: StatementFields,
) -> Result<LeafHash, Error> {
    let body = StatementEntry { topic, subject, signers: Vec::new(), fields };
    let (about, _one_at_a_time) = (about_job(job), core.closing_entries.lock().await);
    let known = stated(core, job).await?;
    if let Some(entry) = known.iter().find(|entry| *entry.entry().body() == Body::Statement(body.clone())) {
        return Ok(entry.leaf());
    }
    if known.len() == MOST {
        return Err(Error::internal(format!("a job makes at most {MOST} statements")));
    }
    let agreement = core.recorder.recorded(&about, Kind::Agreement.as_str()).await?;
    let rel = agreement.iter().map(|agreement| agreement.entry.leaf()).collect();
    let entry = core.recorder.sign_entry(core.recorder.header(rel)?, body)?;
    Ok(core.recorder.record(&about, entry).await?.entry.leaf())
}

/// What was stated of a job, oldest first. An entry that is not in the log yet is entered now.
pub(super) async fn stated(core: &Core, job: JobId) -> Result<Vec<SignedEntry>, Error> {
    let mut all = Vec::new();
    for stored in core.recorder.all_known(&about_job(job), Kind::Statement.as_str()).await?.into_iter().rev() {
        all.push(core.recorder.logged(stored).await?.entry);
    }
    Ok(all)
}
