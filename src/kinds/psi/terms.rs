//! What the terms of an intersection say beside what those of every job do.

use tacitly_core::{PartyId, Value};

use crate::codes::Trouble;
use crate::jobs::JobTerms;

/// The parameter with the normalisation profiles of the key columns, in order.
pub(super) const KEY: &str = "key";

/// The normalisation profiles of the key columns that both sides match on.
pub(super) fn key_of(terms: &JobTerms) -> Vec<&str> {
    let key = terms.params.get(KEY).and_then(Value::as_list).unwrap_or_default();
    key.iter().filter_map(Value::as_text).collect()
}

/// The other party.
///
/// # Errors
/// [`codes::INTERNAL`] for terms that were not checked.
pub(super) fn peer_of(terms: &JobTerms, me: PartyId) -> Result<PartyId, Trouble> {
    terms.other(me).ok_or_else(|| Trouble::internal("an intersection has two parties"))
}
