//! The keys of a party by what it signs with them.

use tacitly_attestation::note::{KeyUse, VerifierKey};
use tacitly_core::PartyId;

use crate::codes::Error;
use crate::store::PublicKey;

/// The name of a party's key as a witness.
#[must_use]
pub fn witness_name(party: PartyId) -> String {
    format!("tacitly/{party}/witness")
}

/// The name of a party's key as a mirror.
#[must_use]
pub fn mirror_name(party: PartyId) -> String {
    format!("tacitly/{party}/mirror")
}

/// The key of a party as a witness.
///
/// # Errors
/// [`Error`] if it is no key.
pub(super) fn witness_key(party: PartyId, key: &PublicKey) -> Result<VerifierKey, Error> {
    VerifierKey::new(&witness_name(party), KeyUse::Cosignature, key.as_bytes())
        .map_err(|error| Error::internal(error.to_string()))
}
