//! The engine: a job from proposal to sealed result, of any kind and between any number of parties.
//!
//! | file | holds |
//! |---|---|
//! | `engine.rs` | [`Jobs`]: what this party's operators ask |
//! | `kind.rs`, `run.rs`, `scope.rs` | [`JobKind`]: what a kind of job tells the engine; [`Run`]: what it may touch of the world, and what that holds |
//! | `state.rs`, `terms.rs` | the states and who moves a job; what all parties sign |
//! | `proposals.rs`, `rendezvous.rs`, `waiters.rs`, `rules.rs`, `allowed.rs` | jobs that are proposed, by us and to us; programs that ask for the same job, and where they wait; our rules and limits, and whether a job may still be |
//! | `machine` | the pure machine: what every event does to a job, and what it asks of the world |
//! | `shell.rs`, `running.rs`, `places.rs` | the world around the machine: rows, words, tasks, timers; the jobs at work in this process; places, shared fairly between peers |
//! | `attempt.rs`, `agreement.rs`, `parts.rs`, `part.rs` | one attempt: read, agree, run part by part, keep |
//! | `serving`, `reserve.rs` | services: what a kind that serves tells the engine, those that run in this process, what they are asked; material that is used once |
//! | `meter.rs`, `silence.rs` | whether an attempt waits or computes: who waits holds no place, and no phase stands still for long |
//! | `collect.rs`, `gathered_words.rs` | one word of everybody to everybody, through the leader |
//! | `ends.rs`, `statements.rs` | what came of a job: on record, opened, purged; what its kind states in its own words |
//! | `rows.rs`, `earlier.rs` | a result that consists of rows, and such a result as input of a later job |
//! | `handler.rs`, `asking.rs` | what other parties say about jobs, and what they are asked |
//! | `message.rs`, `consent.rs`, `word.rs` | bytes ↔ messages; signatures; words |
//! | `core.rs` | what all of these work with |
//! | `view.rs`, `explain.rs` | a job as its operator sees it; what a person reads before approving |
//!
//! The leader alone begins an attempt and numbers it. All parties read their data at the same time, tell each other what
//! they bring, sign one note about it, and run the parts. Whatever is said may be said again: every message names the job
//! and the attempt, and is answered from the ledger. The engine knows no kind of job.

mod agreement;
mod allowed;
mod asking;
mod attempt;
mod collect;
mod consent;
mod core;
mod earlier;
mod ends;
mod engine;
mod explain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gathered_words;
mod handler;
mod kind;
mod machine;
mod message;
mod meter;
mod part;
mod parts;
mod places;
mod proposals;
mod rendezvous;
mod reserve;
mod rows;
mod rules;
mod run;
mod running;
mod scope;
mod serving;
mod shell;
mod silence;
mod state;
mod statements;
mod terms;
#[cfg(test)]
mod tests;
mod view;
mod waiters;
mod word;

pub use self::core::Settings;
pub use crate::session::SessionLimits;
pub use crate::transport::Pending;
pub use consent::{CONSENT_CONTEXT, RECEIPT_CONTEXT, WORD_CONTEXT, consented, said};
pub use ends::{OpenOutput, OpenedOutput};
pub use engine::{Below, Jobs, NewFrame, Page};
pub use kind::{Asked, AskedParty, JobKind, Kinds, Learned, Local, Offers, Prepared, Protocol, Shape};
pub use machine::Quorum;
pub use message::generated as wire;
pub use part::{Input, Inputs, PartOutput, PartParty, Shown, Stop, Summary, Task, TaskSeed};
pub use parts::attempt_label;
pub use proposals::Submission;
pub use rendezvous::RendezvousRequest;
pub use reserve::{Units, Use};
pub use rows::{MalformedRows, Rows};
pub use run::{ChosenRows, Run};
pub use running::JobProgress;
pub use serving::{
    Admission, Ask, AskedEntry, Base64, Budget, Draft, JsonForm, Keep, Opened, Put, QUESTIONS_PER_DAY, Questions,
    Reply, Service, ServiceControl, ServiceForm, ServiceRun, ServiceView, Serving, Session, Told,
};
pub use state::{State, UnknownState};
pub use terms::{JobTerms, MAX_PARTIES, PartyTerms};
pub use view::{EventView, JobView, PartyView};
