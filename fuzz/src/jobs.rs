//! Messages and terms of jobs.

#[path = "../../src/jobs/fuzzing.rs"]
pub mod fuzzing;
#[path = "../../src/jobs/message.rs"]
mod message;
#[path = "../../src/jobs/state.rs"]
mod state;
#[path = "../../src/jobs/terms.rs"]
mod terms;
