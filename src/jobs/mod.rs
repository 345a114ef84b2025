//! A business job from proposal to sealed result: one state machine over the protocols below.
//!
//! | file | holds |
//! |---|---|
//! | `state.rs` | the states and who moves a job |
//! | `terms.rs`, `explain.rs` | what both sides sign, and what a person reads before |
//! | `office.rs` | [`Jobs`]: what this party's operators ask |
//! | `meet.rs` | both sides ask for the same job under one name |
//! | `agree.rs` | proposals, decisions and receipts, between the daemons |
//! | `machine` | the pure machine: what every event does to a job, and what it asks of the world |
//! | `shell.rs`, `running.rs` | the world around the machine: rows, words, tasks, timers; the jobs at work in this process |
//! | `places.rs` | places of jobs that compute, shared fairly between peers |
//! | `attempt.rs` | one attempt: read, compare sizes, run the protocol, store |
//! | `rules.rs` | our rules and limits, whenever they are asked |
//! | `plan.rs`, `buckets.rs` | in one piece or in buckets; a job in buckets |
//! | `sets.rs`, `stored.rs` | our keys, in memory or laid aside; a result's rows, read back |
//! | `inbox.rs`, `message.rs`, `asking.rs` | what the peer's daemon says about jobs; asking it |
//! | `frames.rs` | a job on a table in memory, and the rows that came of it |
//! | `openings.rs`, `erasures.rs` | an output opened to an arbiter; a result destroyed |
//! | `upkeep.rs` | backups, what a restore means for jobs, readiness |
//! | `record.rs`, `evidence.rs` | what goes on record; the certificate of a job |
//! | `view.rs`, `outcome.rs` | a job as its operator sees it; a result as the ledger keeps it |
//!
//! The proposer leads: it alone begins an attempt and numbers it. Both sides read their data at the same time, tell
//! each other the sizes of their sets, and run the protocol. Whatever is said may be said again: every message names
//! the job and the attempt, and is answered from the ledger.

mod agree;
mod asking;
mod attempt;
mod buckets;
mod erasures;
mod evidence;
mod explain;
mod frames;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod inbox;
mod limits;
mod machine;
mod meet;
mod message;
mod office;
mod openings;
mod outcome;
mod places;
mod plan;
mod record;
mod rules;
mod running;
mod sets;
mod shell;
mod state;
mod stored;
mod terms;
mod upkeep;
mod view;

pub use agree::{CONSENT_CONTEXT, RECEIPT_CONTEXT, consented};
pub use attempt::{WHOLE, attempt_label};
pub use explain::{Facts, explain};
pub use frames::NewFrame;
pub use machine::Quorum;
pub use meet::Meeting;
pub use message::generated as wire;
pub use office::{Jobs, Settings, StatusView, Submission};
pub use openings::{OpenOutput, OpenedOutput};
pub use outcome::{MalformedOutcome, Outcome};
pub use running::Live;
pub use state::{State, UnknownState};
pub use terms::{JobTerms, Kind};
pub use upkeep::Figures;
pub use view::{EventView, JobView};
