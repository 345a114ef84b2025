//! What may go wrong with a log, each with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacitly_attestation::mirror::MirrorRefusal;

use crate::codes::{self, Error};

/// Why a log did not do what was asked. It names the file, and the entry where there is one, and never a byte of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// No room to write. What was acknowledged before is kept; what was being written is not there at all.
    #[error(
        "cannot write to {}: the disk is full, or a file-size limit is reached ({source}); free some space and try \
         again, nothing acknowledged is lost", path.display()
    )]
    DiskFull {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Another process, or another part of this one, has the log open.
    #[error(
        "the log is in use{} (lock file {}); stop the other daemon first",
        pid.map(|pid| format!(" by process {pid}")).unwrap_or_default(), path.display()
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who holds it, if that could be read.
        pid: Option<u32>,
    },
    /// The folder holds the log of another origin, or something else.
    #[error("{} is not the segment of the log {origin}; each log has a folder of its own", path.display())]
    AnotherLog {
        /// The segment.
        path: PathBuf,
        /// The log that was asked for.
        origin: String,
    },
    /// The folder holds a log in the form of another version of this software.
    #[error(
        "{} has the form of version {version}, this tacitly reads version {}; run the tacitly that wrote it",
        path.display(), super::segment::VERSION
    )]
    OtherVersion {
        /// The segment.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
    /// An entry is not what was acknowledged.
    #[error(
        "{}: entry {entry} is damaged ({what}); `tacitly log fsck` shows the extent. Take the file back from a copy; \
         an entry that is lost cannot be written again", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The entry's index.
        entry: u64,
        /// What was found.
        what: &'static str,
    },
    /// A file that is not an entry's is not what it was.
    #[error("{} is damaged ({what}); {hint}", path.display())]
    DamagedFile {
        /// The file.
        path: PathBuf,
        /// What was found.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The entries are sound by themselves and are not those that were signed.
    #[error(
        "{}: its root is not that of the first {size} entries, so an entry was changed after it was signed; `tacitly \
         log fsck` names it", path.display()
    )]
    WrongRoot {
        /// The checkpoint.
        path: PathBuf,
        /// Its size.
        size: u64,
    },
    /// A peer has cosigned more than is here: to append would tell a second history.
    #[error(
        "{peer} has cosigned {known} entries of this log, and {ours} are here: it was taken back from an old copy. \
         Nothing is appended, because that would be a fork. Put the newest copy of the log's folder in its place"
    )]
    Behind {
        /// Who cosigned.
        peer: String,
        /// The size cosigned.
        known: u64,
        /// Our size.
        ours: u64,
    },
    /// The log had more entries than are here, and not all of those missing can be had again.
    #[error(
        "this log had {known} entries, {ours} are here, and the party's store does not know where all that are missing \
         stood. Nothing is appended, because that would be a fork. Put the newest copy of the log's folder in its place"
    )]
    Lost {
        /// How many entries it had at the least.
        known: u64,
        /// Our size.
        ours: u64,
    },
    /// An entry is not the one that the party's store has put at its place.
    #[error(
        "entry {entry} of this log is not the one that the party's store has put there: the folder holds another history \
         than the one that this party has told. Nothing is appended, because that would be a fork. Put the newest copy of \
         the log's folder in its place"
    )]
    Other {
        /// The entry's index.
        entry: u64,
    },
    /// Entries were to stand at a place that is not the log's end.
    #[error("an entry was to stand at index {asked} of the log, and its next one is {next}")]
    Taken {
        /// The place.
        asked: u64,
        /// The log's end.
        next: u64,
    },
    /// A peer has cosigned another tree of a size that is here too.
    #[error(
        "{peer} has cosigned another tree of {size} entries under this log's key: two logs have signed as one. \
         Nothing is appended; find the other daemon or copy that has the key"
    )]
    Forked {
        /// Who cosigned.
        peer: String,
        /// The size at which the two differ.
        size: u64,
    },
    /// An entry without bytes, or with more than a log can hold.
    #[error("an entry has 1 to 65,535 bytes, this one has {0}")]
    Length(usize),
    /// The place lies outside the log, or behind its newest checkpoint.
    #[error("the log's newest checkpoint has {size} entries, {asked} lies outside")]
    Outside {
        /// The place or size asked for.
        asked: u64,
        /// The size of the newest checkpoint.
        size: u64,
    },
    /// An earlier write may or may not have reached the disk, and only a new start can tell.
    #[error("{} could not be synchronised ({detail}); nothing more is appended. Restart when the disk is sound", path.display())]
    Unsure {
        /// The segment.
        path: PathBuf,
        /// What happened.
        detail: String,
    },
    /// The file that is written to is not the one of that name any more, or not as long as it was left.
    #[error(
        "{} is not the file that this log writes to: somebody removed, replaced or cut it while the log was in use. Nothing \
         more is appended. Stop the daemon, put the log's folder back as it was, and start again; what is missing at its \
         end is entered anew from the party's store", path.display()
    )]
    Moved {
        /// The segment.
        path: PathBuf,
    },
    /// What a witness sent is not its signature of what was asked.
    #[error("{witness} sent a cosignature that does not verify; it is not kept")]
    BadCosignature {
        /// The witness's name.
        witness: String,
    },
    /// What a log's owner sent for its mirror are not the log's next entries.
    #[error("what was sent of the log {log} from entry {from} on is not its continuation ({why}); it is not kept")]
    NotMirrored {
        /// The log.
        log: String,
        /// How much of it is here.
        from: u64,
        /// What does not hold.
        why: MirrorRefusal,
    },
    /// The log's key cannot be used.
    #[error("the log's checkpoint cannot be signed: {0}")]
    Signing(String),
    /// The log is being closed.
    #[error("the log is closed")]
    Closed,
}

impl ChainError {
    /// An error of the file system at `path`, told apart by what mends it.
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let (path, full) = (path.to_owned(), matches!(source.kind(), StorageFull | QuotaExceeded | FileTooLarge));
        let source = Arc::new(source);
        if full { Self::DiskFull { path, source } } else { Self::Io { path, source } }
    }

    /// Whether room on the disk is all that is missing.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::DiskFull { .. })
    }
}

impl From<ChainError> for Error {
    fn from(error: ChainError) -> Self {
        let code = match &error {
            ChainError::DiskFull { .. } => codes::DISK_FULL,
            ChainError::NotMirrored { .. } => codes::PROTOCOL_VIOLATION,
            ChainError::Behind { .. }
            | ChainError::Lost { .. }
            | ChainError::Other { .. }
            | ChainError::Forked { .. } => codes::LOG_OLD,
            _ => codes::LOG,
        };
        Self::new(code, error.to_string())
    }
}
