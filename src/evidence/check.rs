//! A certificate, checked offline.

use std::fmt;

use tacitly_attestation::certificate::{self, Refusal, Verdict};
use tacitly_attestation::policy::Policy;

/// Evidence that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refused {
    /// The stable reason, for programs: a code of [`certificate::RefusalCode`], or one of an opening
    /// (`opening-malformed`, `opening-no-dataset`, `opening-mismatch`, `opening-rows`), of a basis (`basis-salt`,
    /// `basis-none`, `basis-mismatch`) or of an output (`output-malformed`, `output-none`, `output-mismatch`).
    pub reason: &'static str,
    /// What was seen, for people; no value of any field or record.
    pub detail: String,
}

impl Refused {
    pub(super) fn new(reason: &'static str, detail: impl fmt::Display) -> Self {
        Self { reason, detail: detail.to_string() }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { reason: refusal.code.as_str(), detail: refusal.detail }
    }
}

/// Checks a certificate. With a policy only its keys count and its quorum must be met; without one the certificate's own
/// policy is used, and the verdict says so.
///
/// # Errors
/// [`Refused`] with the reason.
pub fn check(certificate: &[u8], policy: Option<&Policy>) -> Result<Verdict, Refused> {
    Ok(certificate::verify(certificate, policy)?)
}
