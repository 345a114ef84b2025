//! What a party remembers: peers, rosters, datasets, rules, the job ledger, its secrets and the audit trail, in one SQLite file.
//!
//! A [`Store`] persists values and knows nothing of what they mean: which job state may follow which, what a rule
//! allows and what a result is are other rooms' business. What it promises is how values are kept:
//!
//! - **Durable.** What a method has returned `Ok` for survives SIGKILL and power loss (write-ahead log, synchronous).
//! - **All or nothing.** A change of a job, its secrets and the line in the audit trail are one transaction.
//! - **One at a time.** [`Store::advance`] and [`Store::finish`] name the states they expect: of two that race, one wins.
//! - **Sealed.** Seeds, checkpoints and results are encrypted before they reach the database ([`Sealer`]), each bound
//!   to its job, purpose and place. When a job ends its seed and checkpoints are overwritten with zeros and the log that
//!   held them is cut; what a file system or a disk keeps of old blocks is beyond our reach, and is sealed.
//! - **Private.** Database, keys and backups are readable by their owner only, or refused.
//! - **Exclusive.** One process has the store open.
//!
//! | file | holds |
//! |---|---|
//! | `database.rs` | [`Store`]: opening, transactions |
//! | `peers.rs`, `invites.rs`, `datasets.rs`, `fingerprints.rs`, `rules.rs`, `rosters.rs`, `jobs.rs`, `secrets.rs`, `events.rs` | one table (family) each |
//! | `job.rs` | the ledger's values |
//! | `backup.rs`, `rekey.rs` | copies of the store; a new sealing key |
//! | `seal.rs`, `key.rs` | the envelope; where its key comes from |
//! | `signing.rs`, `signer.rs`, `public_key.rs` | whoever signs; the key file; keys and signatures as texts |
//! | `record.rs`, `files.rs`, `lock.rs`, `error.rs` | rows, private files, the lock, what may go wrong |
//!
//! Every `by` argument is the actor that the audit trail names: an operator, a peer, or the daemon itself.

mod backup;
mod check;
mod database;
mod dataset;
mod datasets;
mod entries;
mod error;
mod events;
mod files;
mod fingerprints;
mod invites;
mod job;
mod job_id;
mod jobs;
mod key;
mod lock;
mod peers;
mod public_key;
mod record;
mod rekey;
mod rosters;
mod rules;
mod seal;
mod sealing_key_id;
mod secrets;
mod signer;
mod signing;

pub use backup::restore;
pub use check::check_store;
pub use database::{Clock, Store};
pub use dataset::{Dataset, DatasetKey, NewDataset};
pub use datasets::check_dataset_name;
pub use entries::{NewEntry, StoredEntry};
pub use error::{InviteRefusal, RosterRefusal, SealFault, StoreError};
pub use events::{Event, EventFilter, NewEvent};
pub use fingerprints::{NewBasis, NewFingerprint, StoredFingerprint};
pub use invites::{Invite, InviteToken};
pub use job::{
    Consent, Created, Decision, Failure, Job, JobChange, JobFilter, JobParty, JobResult, NewJob, PartyChange,
};
pub use job_id::{JobId, MalformedJobId};
pub use key::SealingKey;
pub use peers::{NewPeer, Peer, Pin};
pub use public_key::{BadSignature, KeyId, MalformedText, PublicKey, Signature};
pub use rosters::{MAX_ROSTER_MEMBERS, PinnedRoster};
pub use rules::Rule;
pub use seal::Sealer;
pub use sealing_key_id::SealingKeyId;
pub use signer::FileSigner;
pub use signing::{NoteSigner, Signer, SigningFailed};
