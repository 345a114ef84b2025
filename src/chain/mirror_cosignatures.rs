//! What the mirrors of our log say they hold: of each the newest checkpoint, with the log's line and its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, Note, NoteSignature, VerifierKey};

use super::{ChainError, Cosignature, files};

/// The folder, in the log's folder, with a file for each mirror.
const FOLDER: &str = "kept";

const SCHEMA: &str = "tacitly-kept@v1";

/// The longest file.
const LIMIT: u64 = Note::MAX_BYTES as u64 + 4096;

/// What every mirror holds, by the name of its key.
#[derive(Clone, Debug, Default)]
pub struct MirrorCosignatures(BTreeMap<String, Line>);

/// What one mirror holds.
#[derive(Clone, Debug)]
struct Line {
    key: VerifierKey,
    checkpoint: SignedCheckpoint,
    time: u64,
}

impl Line {
    /// `None` if the checkpoint bears no cosignature by the key.
    fn of(key: VerifierKey, checkpoint: SignedCheckpoint) -> Option<Self> {
        let keys = KeyRing::from_iter([key.clone()]);
        let time = checkpoint.verify(&keys).ok()?.first()?.time?;
        Some(Self { key, checkpoint, time })
    }
}

impl MirrorCosignatures {
    /// Reads what is kept in the log's folder.
    ///
    /// # Errors
    /// [`ChainError::DamagedFile`] or [`ChainError::Io`].
    pub(super) fn read(log: &Path) -> Result<Self, ChainError> {
        let mut kept = Self::default();
        for path in lines(log)? {
            let line = read_line(&path)?;
            kept.0.insert(line.key.name().to_owned(), line);
        }
        Ok(kept)
    }

    /// Reads what is kept of the log that signs with `own`, and removes what is damaged: mirrors say it again.
    ///
    /// # Errors
    /// [`ChainError::Io`].
    pub(super) fn mended(log: &Path, own: &VerifierKey) -> Result<Self, ChainError> {
        let mut kept = Self::default();
        for path in lines(log)? {
            match read_line(&path) {
                Ok(line) if line.checkpoint.is_of(own) => {
                    kept.0.insert(line.key.name().to_owned(), line);
                }
                Ok(_) | Err(ChainError::DamagedFile { .. }) => {
                    tracing::warn!(file = %path.display(), "it is damaged and was removed: the mirror says it again");
                    std::fs::remove_file(&path).map_err(|error| ChainError::io(&path, error))?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(kept)
    }

    /// Puts what a mirror says now in the place of what it said before.
    ///
    /// # Errors
    /// [`ChainError::BadCosignature`] if the line does not verify; [`ChainError::Io`], [`ChainError::DiskFull`].
    pub(super) fn add(
        &mut self,
        log: &Path,
        mut checkpoint: SignedCheckpoint,
        line: NoteSignature,
        key: &VerifierKey,
    ) -> Result<(), ChainError> {
        checkpoint.add(line);
        let bad = || ChainError::BadCosignature { witness: key.name().to_owned() };
        let line = Line::of(key.clone(), checkpoint).ok_or_else(bad)?;
        let folder = log.join(FOLDER);
        files::make_folder(&folder)?;
        let text = format!("{SCHEMA}\nkey {key}\n\n{}", line.checkpoint);
        files::replace(&folder.join(file(key.name())), text.as_bytes())?;
        self.0.insert(key.name().to_owned(), line);
        Ok(())
    }

    /// The file, in the log's folder, the key and the checkpoint of every mirror.
    pub(super) fn lines(&self) -> impl Iterator<Item = (PathBuf, &VerifierKey, &SignedCheckpoint)> {
        self.0.values().map(|line| (Path::new(FOLDER).join(file(line.key.name())), &line.key, &line.checkpoint))
    }

    /// How much every mirror holds, by the name of its key.
    #[must_use]
    pub fn newest(&self) -> Vec<Cosignature> {
        let of = |line: &Line| Cosignature {
            witness: line.key.name().to_owned(),
            size: line.checkpoint.checkpoint().size,
            time: line.time,
        };
        self.0.values().map(of).collect()
    }
}

/// The files in the log's folder.
fn lines(log: &Path) -> Result<Vec<PathBuf>, ChainError> {
    let folder = log.join(FOLDER);
    let io = |error| ChainError::io(&folder, error);
    let items = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        items => items.map_err(io)?,
    };
    let mut found = Vec::new();
    for item in items {
        let path = item.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    Ok(found)
}

fn read_line(path: &Path) -> Result<Line, ChainError> {
    let bytes = files::read(path, LIMIT)?.unwrap_or_default();
    parse(&bytes).ok_or_else(|| ChainError::DamagedFile {
        path: path.to_owned(),
        what: "it does not hold a checkpoint with a mirror's signature".to_owned(),
        hint: "the next start removes it, and the mirror says it again",
    })
}

/// A name has slashes; its digest has none.
fn file(name: &str) -> PathBuf {
    format!("{}.txt", HEXLOWER.encode(&Hash::of(name.as_bytes()).0[..8])).into()
}

fn parse(bytes: &[u8]) -> Option<Line> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (key, checkpoint) = text.strip_prefix(SCHEMA)?.strip_prefix("\nkey ")?.split_once("\n\n")?;
    Line::of(VerifierKey::parse(key).ok()?, SignedCheckpoint::parse(checkpoint.as_bytes()).ok()?)
}
