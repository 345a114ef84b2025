//! Evidence read by somebody who trusts none of the parties: certificates and openings checked offline, and one printable
//! page about what a certificate proves.
//!
//! Nothing here opens a file or a connection; bytes come in, a verdict or a reason comes out.
//!
//! | module | what |
//! |---|---|
//! | `check.rs` | a certificate, and why evidence does not hold |
//! | `basis.rs` | a document against the lawful basis that a dataset states |
//! | `opening.rs` | one record against the fingerprint in a certificate |
//! | `output.rs` | an opened output against the commitment in a certificate |
//! | `page.rs`, `answers.rs`, `html.rs` | the page: its frame, the six questions, escaped HTML |
//! | `words.rs` | kinds, fields and values in Chinese and English |
//! | `about.rs` | the job or the question that a certificate is about |
//! | `summary.rs` | a verdict for programs |

mod about;
mod answers;
mod basis;
mod check;
mod html;
mod opening;
mod output;
mod page;
mod summary;
mod words;

pub use tacitly_attestation::policy::Policy;

pub use about::{About, about, job_number, question};
pub use basis::{StatedBasis, check_basis};
pub use check::{Refused, check};
pub use opening::{OpenedRow, check_opening};
pub use output::{StatedOutput, check_output};
pub use page::page;
pub use summary::{levels, summary, trust};
