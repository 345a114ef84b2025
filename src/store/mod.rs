//! What a party remembers: peers, rosters, datasets, rules, the job ledger, its secrets and the audit trail, in one SQLite file.
//!
//! A [`Store`] persists values and knows nothing of what they mean: which job state may follow which, what a rule
//! allows and what a result is are other rooms' business. What it promises is how values are kept:
//!
//! - **Durable.** What a method has returned `Ok` for survives SIGKILL and power loss (write-ahead log, synchronous).
//! - **All or nothing.** A change of a job, its secrets and the line in the audit trail are one transaction.
//! - **One at a time.** [`JobTable::advance`] and [`JobTable::finish`] name the states they expect: of two that race, one wins.
//! - **Sealed.** Seeds, checkpoints and results are encrypted before they reach the database ([`Sealer`]), each bound
//!   to its job, purpose and place. When a job ends its seed and checkpoints are overwritten with zeros and the log that
//!   held them is cut; what a file system or a disk keeps of old blocks is beyond our reach, and is sealed.
//! - **Authenticated.** What is sealed, and the rows in the clear that decide whom this party trusts, are as this software
//!   wrote them, or refused; a line of the audit trail that is not is shown as such.
//! - **Private.** Database, keys and backups are readable by their owner only, or refused.
//! - **Exclusive.** One process has the store open.
//!
//! | file | holds |
//! |---|---|
//! | `store.rs` | [`Store`]: opening, its tables, what is done with all of it |
//! | `peers.rs`, `invites.rs`, `parties.rs`, `rosters.rs`, `revocations.rs`, `datasets.rs`, `fingerprints.rs`, `rules.rs`, `jobs.rs`, `secrets.rs`, `material.rs`, `events.rs`, `entries.rs` | one table (family) each |
//! | `queries.rs`, `charges.rs` | questions under standing jobs, with what was answered; budgets |
//! | `batch.rs` | what came together, in one transaction |
//! | `dataset.rs`, `job.rs` | the values of datasets and of the ledger |
//! | `backup.rs`, `check.rs`, `rekey.rs` | copies of the store; whether one would open; a new sealing key |
//! | `integrity.rs` | whether what stands in the clear is as we wrote it |
//! | `database.rs` | the file: its schema, connections, transactions |
//! | `ourselves.rs` | whose store it is |
//! | `sealed.rs`, `in_use.rs` | values sealed in pieces; what unfinished jobs still need |
//! | `seal.rs`, `key.rs` | the envelope; where its key comes from |
//! | `signing.rs`, `signer.rs`, `public_key.rs` | whoever signs; the key file; keys and signatures as texts |
//! | `record.rs`, `files.rs`, `lock.rs`, `error.rs` | rows, private files, the lock, what may go wrong |
//!
//! Every `by` argument is the actor that the audit trail names: an operator, a peer, or the daemon itself.

mod backup;
mod batch;
mod charges;
mod check;
mod database;
mod dataset;
mod datasets;
mod entries;
mod error;
mod events;
mod files;
mod fingerprints;
mod in_use;
mod integrity;
mod invites;
mod job;
mod job_id;
mod jobs;
mod key;
mod lock;
mod material;
mod ourselves;
mod parties;
mod peers;
mod public_key;
mod queries;
mod record;
mod rekey;
mod revocations;
mod rosters;
mod rules;
mod seal;
mod sealed;
mod sealing_key_id;
mod secrets;
mod signer;
mod signing;
#[allow(clippy::module_inception)] // The room's one large service bears its name.
mod store;

pub(crate) use files::refuse_loose;

pub use backup::restore;
pub use batch::{Change, Changed};
pub use charges::{Charge, ChargeTable};
pub use check::check_store;
pub use database::Clock;
pub use dataset::{Dataset, DatasetKey, NewDataset};
pub use datasets::{DatasetTable, check_dataset_name};
pub use entries::{EntryTable, NewEntry, StoredEntry};
pub use error::{InviteRefusal, RosterRefusal, SealFault, StoreError};
pub use events::{Event, EventFilter, EventTable, NewEvent};
pub use fingerprints::{FingerprintTable, NewBasis, NewFingerprint, StoredFingerprint};
pub use invites::{Invite, InviteTable, InviteToken};
pub use job::{
    Consent, Created, Decision, Failure, Job, JobChange, JobFilter, JobParty, JobResult, NewJob, PartyChange,
};
pub use job_id::{JobId, MalformedJobId};
pub use jobs::JobTable;
pub use key::SealingKey;
pub use lock::refuse_held;
pub use material::{MAX_MATERIAL_BLOCK, MaterialBlock, MaterialScope, MaterialStand, MaterialStream, MaterialTable};
pub use ourselves::Ourselves;
pub use parties::PartyTable;
pub use peers::{NewPeer, Peer, PeerTable, Pin};
pub use public_key::{BadSignature, KeyId, MalformedText, PublicKey, Signature};
pub use queries::{NewAnswer, NewQuery, NewServe, QueryTable, ServeTable, StoredAnswer, StoredQuery, StoredServe};
pub use revocations::{Revocation, RevocationTable};
pub use rosters::{MAX_ROSTER_MEMBERS, PinnedRoster, RosterTable};
pub use rules::{Rule, RuleTable};
pub use seal::Sealer;
pub use sealing_key_id::SealingKeyId;
pub use secrets::SecretTable;
pub use signer::FileSigner;
pub use signing::{NoteSigner, Signer, SigningFailed};
pub use store::Store;
