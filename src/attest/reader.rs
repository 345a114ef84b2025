//! To whom something under an entry of ours is opened.

use tacitly_attestation::entry::Code;
use tacitly_attestation::lint;
use tacitly_core::PartyId;

use crate::codes::{self, Error};

/// The purpose of an opening that states none.
const DISPUTE: &str = "dispute";

/// To whom something is opened, and why.
pub(crate) struct Reader {
    /// Who reads it.
    pub(crate) to: PartyId,
    /// A code for why.
    pub(crate) purpose: Code,
}

impl Reader {
    /// Reads both from an operator's words; no purpose is `dispute`.
    ///
    /// # Errors
    /// [`codes::BAD_REQUEST`] for a reader or a purpose that cannot be.
    pub(crate) fn of(to: &str, purpose: &str) -> Result<Self, Error> {
        let bad = |text: String| Error::new(codes::BAD_REQUEST, text);
        let form = || bad("say to whom it is opened (to): a party name, 1 to 32 of a-z, 0-9 and '-'".to_owned());
        let to: PartyId = to.parse().map_err(|_| form())?;
        if let Some(shape) = lint::find(to.as_str()) {
            return Err(bad(format!("the name to open it to goes on record, and it looks like {shape}")));
        }
        let purpose = if purpose.is_empty() { DISPUTE } else { purpose };
        let purpose = Code::parse(purpose).map_err(|reason| bad(format!("purpose: {reason}")))?;
        Ok(Self { to, purpose })
    }
}
