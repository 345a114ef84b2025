//! The names of jobs and the keys of parties.

#[path = "../../src/store/job_id.rs"]
mod job_id;
#[path = "../../src/store/public_key.rs"]
mod public_key;

pub use job_id::JobId;
pub use public_key::PublicKey;
