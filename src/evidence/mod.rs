//! Evidence read by somebody who trusts none of the parties: certificates and openings checked offline, and one printable
//! page about what a certificate proves.
//!
//! Nothing here opens a file or a connection; bytes come in, a verdict or a reason comes out.
//!
//! | module | what |
//! |---|---|
//! | `basis.rs` | a document against the lawful basis that a dataset states |
//! | `opening.rs` | one record against the fingerprint in a certificate |
//! | `output.rs` | an opened output against the commitment in a certificate |
//! | `page.rs`, `answers.rs`, `html.rs` | the page: its frame, the six questions, escaped HTML |
//! | `words.rs` | kinds, fields and values in Chinese and English |
//! | `summary.rs` | a verdict for programs |

mod answers;
mod basis;
mod html;
mod opening;
mod output;
mod page;
mod summary;
mod words;

use std::fmt;

use tacitly_attestation::certificate::{self, Refusal, Verdict};
pub use tacitly_attestation::policy::Policy;

pub use basis::{StatedBasis, check_basis};
pub use opening::{OpenedRow, check_opening};
pub use output::{StatedOutput, check_output};
pub use page::page;
pub use summary::{About, about, job_number, summary, trust};

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
    fn new(reason: &'static str, detail: impl fmt::Display) -> Self {
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
