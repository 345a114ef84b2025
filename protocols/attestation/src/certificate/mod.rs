//! The evidence certificate: one text file that a court, a regulator or a competitor verifies offline.
//!
//! ```text
//! tacitly-evidence@v1
//! manifest 295
//! {"certificate":"…","issued":…,"issuer":"bank-a","kind":"result","leaf":"leaf-sha256:…","tool":"tacitly 0.1.0"}
//! entry 911
//! …the entry, byte for byte as it stands in the log…
//! related 1204
//! …an earlier entry that it names, such as the agreement…
//! proof 1308
//! …tlog-proof: path, checkpoint, the log's signature, the cosignatures…
//! policy 571
//! …whom to trust, as the issuer sees it…
//!
//! — bank-a …
//! ```
//!
//! The whole is a signed note of the issuer, so that no byte of it can change unnoticed. Every section is what its own
//! format says it is and can be cut out and checked with the tools of that format.
//!
//! A certificate says which levels it reaches: *signed* by the parties that its entry needs; *included* in a log's
//! signed tree; *witnessed* by enough others; *anchored* on a chain. One that is issued at once may reach the first
//! only.
//!
//! A certificate of a question holds the asker's entry and the responder's, each signed by its own; it is about the one that
//! its issuer recorded, whose place in the issuer's log it shows.
//!
//! Of a job of many parties it holds the agreement with the signatures of all that it needs, and the other parties' data
//! set entries, each with its owner's signature; where those stand in their owners' logs it does not show. Entries that
//! name each other must fit: a result with another job's agreement is refused. What is named and not attached is told as
//! a [`Gap`].

mod coherence;
mod create;
mod manifest;
mod refusal;
mod verdict;
mod verify;

pub use create::{CreateFault, Draft, create};
pub use manifest::{MAX_RELATED, Manifest};
pub use refusal::{Refusal, RefusalCode};
pub use verdict::{Anchoring, Finality, Gap, Included, Level, Levels, Proven, Question, Trust, Verdict};
pub use verify::{AnchorVerifier, verify, verify_with_anchor};
