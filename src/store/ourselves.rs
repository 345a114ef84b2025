//! Who this party is itself.

use tacitly_core::PartyId;

use super::PublicKey;

/// Who this party is itself. Nobody else is known here by its name or its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ourselves {
    /// Its name.
    pub party: PartyId,
    /// What verifies its signatures.
    pub key: PublicKey,
}
