//! The names of jobs.

#[path = "../../src/store/job_id.rs"]
mod job_id;

pub use job_id::JobId;
