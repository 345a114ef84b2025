//! What may go wrong with a store, each with what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::Resource;
use tacitly_core::PartyId;

use super::{JobId, SealingKeyId};
use crate::codes::{self, Error};
use crate::counters::COUNTERS;

/// Why the store did not do what was asked.
///
/// Nothing in it ever holds a sealed value, a key or a cell of anybody's data.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room to write. What was acknowledged before is kept; what was being written is not there at all. A file-size
    /// limit (`RLIMIT_FSIZE`) is met this way only by a process that ignores `SIGXFSZ`; others it ends.
    #[error(
        "cannot write to {}: the disk is full, or a file-size limit is reached ({detail}); free some space and \
         try again, nothing acknowledged is lost",
        path.display()
    )]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Another program holds the database, or this process has more to write than the disk takes.
    #[error("the store is busy; end other programs that have it open (such as a database shell) and try again")]
    Busy,
    /// The file is damaged, or is no database at all.
    #[error("{} is damaged ({detail}); stop the daemon and restore a backup", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file of the store's name is not the one that was opened, or there is none.
    #[error(
        "{} is not the store that this daemon opened: somebody removed or replaced it while it was in use. Nothing more is \
         written. Stop the daemon, put the store back (or restore a backup), and start again",
        path.display()
    )]
    Moved {
        /// The file.
        path: PathBuf,
    },
    /// A sound database that some other software made.
    #[error("{} is not a store of Tacitly; name another path", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
    },
    /// The store was written by newer software.
    #[error(
        "{} has schema version {found}, this software knows versions up to {known}; run a newer version of \
         tacitly, or restore a backup made by this one",
        path.display()
    )]
    SchemaNewer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version this software knows.
        known: i64,
    },
    /// The store was written under a schema that this software reads no more.
    #[error(
        "{} has schema version {found}, this software reads version {known} only; keep the folder for an older tacitly, \
         and begin a new one with `tacitly init`",
        path.display()
    )]
    SchemaOlder {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version this software reads.
        known: i64,
    },
    /// The file system lacks something that durability needs.
    #[error("{} is on a file system that a store cannot use: {why}; put it on a local disk", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// Another process (or another part of this one) has the store open.
    #[error(
        "the store is in use{} (lock file {}); stop the other daemon first",
        pid.map(|pid| format!(" by process {pid}")).unwrap_or_default(),
        path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if that could be read.
        pid: Option<u32>,
    },
    /// Other users of this machine may read or write a file that must be private.
    #[error(
        "{} has mode {mode:04o}, so other users may reach it; run: chmod {:04o} {}",
        path.display(),
        mode & 0o700,
        path.display()
    )]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The job is in another state than the change expects, or has ended.
    #[error("job {job} is {found}, so this change does not apply")]
    Conflict {
        /// The job.
        job: JobId,
        /// The state it is in.
        found: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// There is one already.
    #[error("there is already a {what} {name:?}")]
    AlreadyExists {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// Unfinished jobs need it.
    #[error("the {what} {name:?} is used by unfinished jobs ({}); finish or cancel them first", listed(jobs))]
    InUse {
        /// The kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
        /// Some of the jobs.
        jobs: Vec<JobId>,
    },
    /// A request key comes back with other terms than the first time.
    #[error("the request key of job {job} was used again for another request; choose a new key for a new request")]
    RequestKeyReused {
        /// The job that the key made.
        job: JobId,
    },
    /// A job has one seed, and this one has got it.
    #[error("job {job} has a seed already; a job that resumes must use it")]
    SeedExists {
        /// The job.
        job: JobId,
    },
    /// An invitation that lets nobody in.
    #[error("{0}")]
    Invite(#[from] InviteRefusal),
    /// A roster that is not pinned, or a party under another key than the one that is.
    #[error("{0}")]
    Roster(#[from] RosterRefusal),
    /// A party's signing key counts no more.
    #[error("the signing key of {party} was revoked: what it signs from now on counts no more")]
    Revoked {
        /// The party.
        party: PartyId,
    },
    /// A value that the store does not take.
    #[error("{what}: {why}")]
    Invalid {
        /// The value's role.
        what: &'static str,
        /// The rule it breaks.
        why: String,
    },
    /// Rows that decide whom this party trusts, or the schema, are not as this software wrote them.
    #[error(
        "peers, rules, datasets or the schema in {} were changed by something other than this software: somebody can write \
         this file who should not; put a sound backup in its place (`tacitly restore`), and change what leaves it open",
        path.display()
    )]
    Forged {
        /// The file.
        path: PathBuf,
    },
    /// A sealed value does not open.
    #[error("the sealed {what} cannot be opened: {fault}")]
    SealBroken {
        /// What was sealed, and of which job.
        what: String,
        /// How it is broken.
        fault: SealFault,
    },
    /// The key is a good one, but of another store (or from before a rekey).
    #[error(
        "the store is sealed with key {sealed_with}, but key {given} was given; give the right one: it is the \
        file store.key of party.toml (party.key), or what store.key_command prints"
    )]
    WrongKey {
        /// The key that the store is sealed with.
        sealed_with: SealingKeyId,
        /// The key given.
        given: SealingKeyId,
    },
    /// A key cannot be had from where it should come from.
    #[error("no key from {origin}: {why}")]
    Key {
        /// A file or a command.
        origin: String,
        /// What is wrong and how to mend it.
        why: String,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database refused in a way that has no name above.
    #[error("the database refused: {detail}")]
    Database {
        /// What it said.
        detail: String,
    },
}

/// Why a sealed value does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealFault {
    /// Some of it is missing.
    #[error("part of it is missing")]
    Truncated,
    /// Sealed by an algorithm that this software does not know.
    #[error("it names the unknown sealing algorithm {0}")]
    UnknownAlgorithm(u8),
    /// Sealed with another key.
    #[error("it is sealed with key {0}")]
    OtherKey(SealingKeyId),
    /// Changed, or moved here from another row.
    #[error("it was changed, or does not belong here")]
    NotAuthentic,
}

/// Why an invitation is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InviteRefusal {
    /// Nobody here made it.
    #[error("the invitation is unknown; ask for a new one")]
    Unknown,
    /// It is too old.
    #[error("the invitation has expired; ask for a new one")]
    Expired,
    /// Somebody joined with it.
    #[error("the invitation was used already; ask for a new one")]
    Used,
    /// Somebody else joins with it.
    #[error("the invitation is for {invited}; ask for one under your own name")]
    OfAnother {
        /// Whom it invites.
        invited: PartyId,
    },
}

/// Why a roster is not pinned, or a party not under this key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RosterRefusal {
    /// A newer one is pinned.
    #[error("version {pinned} of the roster of {consortium} is pinned here, and version {offered} is older")]
    Older {
        /// The consortium.
        consortium: String,
        /// The version pinned.
        pinned: u64,
        /// The version refused.
        offered: u64,
    },
    /// Its founder has signed two rosters of this version.
    #[error(
        "another roster of {consortium} is pinned here with the same version, {version}: its founder has signed both; \
         ask the founder, and for a version above {version}"
    )]
    Differs {
        /// The consortium.
        consortium: String,
        /// The version.
        version: u64,
    },
    /// Somebody else says who belongs to a consortium of this name.
    #[error(
        "the roster of {consortium} that is pinned here has another founder, {founder} with the key it has there; if the \
         other one is meant from now on, leave {consortium} first"
    )]
    OtherFounder {
        /// The consortium.
        consortium: String,
        /// The name of the founder of the one pinned.
        founder: String,
    },
    /// The party is known by another key.
    #[error(
        "{0} is known here by another key; if it really has a new one, whatever names the old one goes first: \
         `tacitly peer list` and `tacitly consortium list` show it"
    )]
    OtherKey(PartyId),
    /// The key is known as another party's.
    #[error("the key of {party} is known here as that of {owner}; no key has two parties")]
    KeyOf {
        /// The party to pin.
        party: PartyId,
        /// Who is known by its key.
        owner: PartyId,
    },
    /// The party would be known by our own name.
    #[error("{0} is what this party itself is called; the other one needs another name")]
    OurName(PartyId),
    /// The party would be known by our own key.
    #[error("the key of {0} is this party's own; the other one needs a key of its own")]
    OurKey(PartyId),
    /// The party would be known by a key that counts no more.
    #[error("the key of {0} was revoked; it needs another one")]
    Revoked(PartyId),
    /// The consortia would be too large.
    #[error("all consortia together may have {most} other members; leave one first")]
    TooManyMembers {
        /// How many there may be.
        most: u64,
    },
}

impl StoreError {
    /// Names the file in an error of the file system; no room is [`StoreError::DiskFull`].
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned(), detail: source.to_string() }
            }
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(crate) fn corrupt(path: &Path, detail: impl fmt::Display) -> Self {
        Self::Corrupt { path: path.to_owned(), detail: detail.to_string() }
    }

    pub(crate) fn not_found(what: &'static str, name: impl fmt::Display) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    pub(crate) fn already_exists(what: &'static str, name: impl fmt::Display) -> Self {
        Self::AlreadyExists { what, name: name.to_string() }
    }

    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// Sorts what the database said.
    pub(crate) fn database(path: &Path, error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
                Self::sqlite(path, code, error.message().to_owned())
            }
            sqlx::Error::PoolTimedOut => Self::Busy,
            sqlx::Error::Io(source) => Self::io(path, source),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
                Self::corrupt(path, error)
            }
            other => Self::Database { detail: other.to_string() },
        }
    }

    /// Sorts by SQLite's result code (<https://sqlite.org/rescode.html>); the low byte is the class.
    fn sqlite(path: &Path, code: u32, detail: String) -> Self {
        const FULL: u32 = 13;
        const IO: u32 = 10;
        match code & 0xff {
            5 | 6 => Self::Busy,
            FULL => Self::DiskFull { path: path.to_owned(), detail },
            // A file-size limit and some file systems without room surface as plain I/O errors.
            IO if no_room(path) => Self::DiskFull { path: path.to_owned(), detail },
            IO | 14 | 8 => Self::Io { path: path.to_owned(), source: io::Error::other(detail) },
            11 | 26 => Self::corrupt(path, detail),
            _ => Self::Database { detail },
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::DiskFull { .. } => codes::DISK_FULL,
            StoreError::Conflict { .. } => codes::JOB_STATE,
            StoreError::NotFound { what: "job", .. } => codes::JOB_UNKNOWN,
            StoreError::NotFound { what: "dataset", .. } => codes::DATASET_UNKNOWN,
            StoreError::NotFound { what: "peer" | "peer or member", .. } => codes::PEER_UNKNOWN,
            StoreError::NotFound { what: "consortium", .. } => codes::CONSORTIUM_UNKNOWN,
            StoreError::AlreadyExists { what: "dataset", .. } => codes::DATASET_EXISTS,
            StoreError::InUse { what: "dataset", .. } => codes::DATASET_IN_USE,
            StoreError::InUse { what: "peer" | "member", .. } => codes::PEER_IN_USE,
            StoreError::RequestKeyReused { .. } => codes::REQUEST_KEY,
            StoreError::Invite(_) => codes::INVITATION,
            StoreError::Roster(_) => codes::ROSTER,
            StoreError::Revoked { .. } => codes::KEY_REVOKED,
            StoreError::Invalid { .. } => codes::BAD_REQUEST,
            _ => codes::STORE,
        };
        if [codes::DISK_FULL, codes::STORE].contains(&code) {
            COUNTERS.store_error(code.name);
        }
        Self::new(code, error.to_string())
    }
}

/// Whether a failed write can be blamed on room: little space is left, or this process has a file-size limit.
fn no_room(path: &Path) -> bool {
    const LITTLE: u64 = 4 << 20;
    let limited = rustix::process::getrlimit(Resource::Fsize).current.is_some();
    let directory = path.parent().unwrap_or(path);
    let full = rustix::fs::statvfs(directory).is_ok_and(|at| at.f_bavail.saturating_mul(at.f_frsize) < LITTLE);
    limited || full
}

fn listed(jobs: &[JobId]) -> String {
    jobs.iter().map(JobId::to_string).collect::<Vec<_>>().join(", ")
}
