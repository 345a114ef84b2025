//! The witness of other parties' logs: remembers how far each has come, and lets no second history pass.
//!
//! | file in the witness's folder | holds |
//! |---|---|
//! | one for each log, named by its [`LogName`] | the last checkpoint cosigned, and when |
//! | `lock` | who writes |
//!
//! What is cosigned has been stored before: a witness that is killed between the two cosigns the same again and no
//! other. A file that cannot be read is an error and never a log that nobody has seen.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use data_encoding::HEXLOWER;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, Note, NoteSignature, VerifierKey};
use tacitly_attestation::witness::{AddCheckpoint, ForkEvidence, Head, MalformedRequest, WitnessRefusal, WitnessState};

use super::fault_point::reach;
use super::lock::Lock;
use super::{ChainError, NoteKey, files};

const SCHEMA: &str = "tacitly-witness@v1";

/// The longest stored state.
const LIMIT: u64 = Note::MAX_BYTES as u64 + 4096;

/// The most files of one kind that are kept of one log, and of all logs together, so that nobody fills our disk. One fork
/// convicts a log.
const MAX_KEPT: usize = 8;
const MAX_KEPT_IN_ALL: usize = 256;

/// The name of a log among its witnesses. Whoever does not know the log's key cannot find out which log it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogName(pub [u8; 32]);

impl LogName {
    /// The name of the log that signs with `key`, whose name is the log's origin.
    #[must_use]
    pub fn of(key: &VerifierKey) -> Self {
        let text = [b"tacitly-log-name-1\n", key.name().as_bytes(), b"\n", key.public()].concat();
        Self(Hash::of(&text).0)
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogName({self})")
    }
}

/// A log that this witness has cosigned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnessed {
    /// Its key; the key's name is the log's origin.
    pub key: VerifierKey,
    /// The last checkpoint cosigned, and when.
    pub head: Head,
}

/// How a request to cosign ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Stored and signed.
    Cosigned(NoteSignature),
    /// The request cannot be read.
    Malformed(MalformedRequest),
    /// The rules forbid it.
    Refused(WitnessRefusal),
}

impl Verdict {
    /// Status and body as C2SP tlog-witness has them.
    #[must_use]
    pub fn http(&self) -> (u16, String) {
        match self {
            Self::Cosigned(line) => (200, format!("{line}\n")),
            Self::Malformed(error) => (400, format!("{error}\n")),
            Self::Refused(refusal) => {
                let body = match refusal {
                    WitnessRefusal::Conflict { known } => format!("{known}\n"),
                    WitnessRefusal::Fork(evidence) => format!("{}\n", evidence.size()),
                    other => format!("{other}\n"),
                };
                (refusal.http_status(), body)
            }
        }
    }
}

/// One witness: its key, its folder, and where it keeps evidence.
pub struct Witness {
    folder: PathBuf,
    evidence: PathBuf,
    key: NoteKey,
    /// One request at a time: reading, judging and storing are one step.
    step: Mutex<()>,
    /// One file of evidence at a time.
    keeping: Mutex<()>,
    _lock: Lock,
}

impl Witness {
    /// Opens the witness whose state is in `folder`, or begins it, with a key for cosignatures that nobody else uses.
    /// What it catches is kept in the folder `evidence`.
    ///
    /// # Errors
    /// [`ChainError::Locked`] if another process is this witness; [`ChainError::Io`].
    pub fn open(folder: &Path, evidence: &Path, key: NoteKey) -> Result<Self, ChainError> {
        files::make_folder(folder)?;
        let lock = Lock::take(folder)?;
        let (folder, evidence) = (folder.to_owned(), evidence.to_owned());
        Ok(Self { folder, evidence, key, step: Mutex::new(()), keeping: Mutex::new(()), _lock: lock })
    }

    /// What verifies its cosignatures.
    #[must_use]
    pub fn key(&self) -> &VerifierKey {
        self.key.public()
    }

    /// Judges a request of the log that signs with `log`, at `now` in seconds since 1970: stores the new head, then
    /// cosigns it. Blocks. A fork is kept as evidence.
    ///
    /// # Errors
    /// [`ChainError`] if the state cannot be read or stored; then nothing was cosigned.
    pub fn add_checkpoint(&self, log: &VerifierKey, request: &[u8], now: u64) -> Result<Verdict, ChainError> {
        let request = match AddCheckpoint::parse(request) {
            Ok(request) => request,
            Err(error) => return Ok(Verdict::Malformed(error)),
        };
        let _step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.path(LogName::of(log));
        let keys = KeyRing::from_iter([log.clone()]);
        let state = match read(&path)? {
            Some(known) => WitnessState::resume(known.head, keys),
            None => WitnessState::new(log.name(), keys),
        };
        let advance = match state.consider(&request, now) {
            Ok(advance) => advance,
            Err(refusal) => {
                // A log that was never cosigned convicts itself of nothing, and its name is its owner's choice.
                if path.exists() {
                    self.keep(&refusal, &request)?;
                }
                return Ok(Verdict::Refused(refusal));
            }
        };
        files::replace(&path, text(log, advance.after()).as_bytes())?;
        reach("witness: stored");
        let stored = advance.stored();
        let line = stored.cosign(self.key.public(), &self.key);
        line.map(Verdict::Cosigned).map_err(|error| ChainError::Signing(error.to_string()))
    }

    /// What was cosigned last of this log.
    ///
    /// # Errors
    /// [`ChainError`] if the state cannot be read.
    pub fn last(&self, log: LogName) -> Result<Option<Witnessed>, ChainError> {
        read(&self.path(log))
    }

    /// Every log that was ever cosigned.
    ///
    /// # Errors
    /// [`ChainError`] if a state cannot be read.
    pub fn all(&self) -> Result<Vec<Witnessed>, ChainError> {
        all(&self.folder)
    }

    /// Compares a checkpoint that somebody else shows with what was cosigned last of that log. Two of one size and
    /// different roots are kept as evidence, and returned.
    ///
    /// # Errors
    /// [`ChainError`] if the state cannot be read, or the evidence cannot be stored.
    pub fn compare(&self, log: LogName, shown: &SignedCheckpoint) -> Result<Option<ForkEvidence>, ChainError> {
        let Some(known) = self.last(log)? else { return Ok(None) };
        let evidence = ForkEvidence { known: known.head.checkpoint, offered: shown.clone(), proof: Vec::new() };
        if evidence.verify(&KeyRing::from_iter([known.key])).is_err() {
            return Ok(None);
        }
        self.keep_fork(&evidence)?;
        Ok(Some(evidence))
    }

    /// Keeps the proof that a log told two stories; returns the file.
    ///
    /// # Errors
    /// [`ChainError`] if it cannot be stored.
    pub fn keep_fork(&self, evidence: &ForkEvidence) -> Result<PathBuf, ChainError> {
        let origin = &evidence.known.checkpoint().origin;
        let (path, is_new) = self.keep_as("fork", origin, &evidence.encode())?;
        if is_new {
            let (size, file) = (evidence.size(), path.display());
            tracing::error!(log = origin, size, %file, "a log has told two histories");
        }
        Ok(path)
    }

    fn keep(&self, refusal: &WitnessRefusal, request: &AddCheckpoint) -> Result<(), ChainError> {
        match refusal {
            WitnessRefusal::Fork(evidence) => self.keep_fork(evidence).map(drop),
            WitnessRefusal::Inconsistent => {
                let origin = &request.checkpoint.checkpoint().origin;
                let (path, is_new) = self.keep_as("inconsistent", origin, &request.encode())?;
                if is_new {
                    tracing::error!(log = origin, file = %path.display(), "a log could not show that it only grew");
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Writes a file named by its log and its content, unless it is there already or there are enough of that log. Says
    /// whether it was written: what is not new is no news, and fills no log.
    fn keep_as(&self, kind: &str, origin: &str, content: &[u8]) -> Result<(PathBuf, bool), ChainError> {
        let _keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        let short = |bytes: &[u8]| HEXLOWER.encode(&Hash::of(bytes).0[..8]);
        let of_log = format!("{kind}-{}-", short(origin.as_bytes()));
        let path = self.evidence.join(format!("{of_log}{}.txt", short(content)));
        if path.exists() {
            return Ok((path, false));
        }
        files::make_folder(&self.evidence)?;
        let kept = std::fs::read_dir(&self.evidence).map_err(|error| ChainError::io(&self.evidence, error))?;
        let names: Vec<String> =
            kept.filter_map(Result::ok).map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        let of_log = names.iter().filter(|name| name.starts_with(&of_log)).count();
        // The first that convicts a log is kept however many there are of others.
        let has_room = (of_log < MAX_KEPT && names.len() < MAX_KEPT_IN_ALL) || (kind == "fork" && of_log == 0);
        if has_room {
            files::replace(&path, content)?;
        } else {
            tracing::debug!(folder = %self.evidence.display(), "there is evidence enough here; no more is kept");
        }
        Ok((path, has_room))
    }

    fn path(&self, log: LogName) -> PathBuf {
        self.folder.join(format!("{log}.txt"))
    }
}

/// Every log that the witness in `folder` has cosigned; it may run or not.
///
/// # Errors
/// [`ChainError`] if a state cannot be read.
pub fn all(folder: &Path) -> Result<Vec<Witnessed>, ChainError> {
    let io = |error| ChainError::io(folder, error);
    let mut found = Vec::new();
    let items = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        items => items.map_err(io)?,
    };
    for item in items {
        let path = item.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            found.extend(read(&path)?);
        }
    }
    found.sort_by(|a, b| a.key.name().cmp(b.key.name()));
    Ok(found)
}

fn text(log: &VerifierKey, head: &Head) -> String {
    format!("{SCHEMA}\nkey {log}\ntime {}\n\n{}", head.time, head.checkpoint)
}

fn read(path: &Path) -> Result<Option<Witnessed>, ChainError> {
    let Some(bytes) = files::read(path, LIMIT)? else { return Ok(None) };
    let witnessed = parse(&bytes).ok_or_else(|| ChainError::DamagedFile {
        path: path.to_owned(),
        what: "it does not hold a checkpoint that was cosigned".to_owned(),
        hint: "take it back from a copy that is not older, or let this witness begin anew with another key",
    })?;
    Ok(Some(witnessed))
}

fn parse(bytes: &[u8]) -> Option<Witnessed> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.strip_prefix(SCHEMA)?.strip_prefix("\nkey ")?;
    let (key, rest) = rest.split_once("\ntime ")?;
    let (time, checkpoint) = rest.split_once("\n\n")?;
    let key = VerifierKey::parse(key).ok()?;
    let checkpoint = SignedCheckpoint::parse(checkpoint.as_bytes()).ok()?;
    // What was signed by the log when it was stored still is, or the file was changed.
    let head = Head { checkpoint, time: time.parse().ok()? };
    head.checkpoint.is_of(&key).then_some(Witnessed { key, head })
}
