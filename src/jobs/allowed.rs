//! Whether a job may still be, asked before a person approves it and before each attempt.

use super::core::Core;
use super::kind::{JobKind, Local};
use super::rules::Rules;
use super::terms::JobTerms;
use crate::codes::Error;

/// Whether a job that was proposed, or approved, may still be: by our rules, by the keys of this moment, and by what its
/// kind says to the terms and to our data as they are now. Returns what we add to the terms.
pub(super) async fn still_allow(core: &Core, terms: &JobTerms, kind: &dyn JobKind) -> Result<Vec<u8>, Error> {
    Rules(core).standing(terms).await?;
    kind.check(terms)?;
    kind.review(terms, &local(core, terms).await?)
}

/// What we know by ourselves about terms.
pub(super) async fn local(core: &Core, terms: &JobTerms) -> Result<Local, Error> {
    let mut local = Local::of(core.me());
    if let Some(name) = terms.dataset_of(local.me) {
        local.dataset = Some(core.store.datasets().get(name).await?);
        local.rules = Rules(core).of(terms, name).await?;
    }
    Ok(local)
}
