//! The names of jobs, the keys of parties, and what signs.

#[path = "../../src/store/job_id.rs"]
mod job_id;
#[path = "../../src/store/public_key.rs"]
mod public_key;
#[path = "../../src/store/signing.rs"]
mod signing;

pub use job_id::JobId;
pub use public_key::{PublicKey, Signature};
pub use signing::{Signer, SigningFailed};
