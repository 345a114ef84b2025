//! What others have cosigned of our log: the newest checkpoints with their witnesses' lines, and the witnesses' keys.

use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::SignedCheckpoint;
use tacitly_attestation::note::{KeyRing, Note, NoteSignature, VerifierKey};

use super::{ChainError, files};

/// The folder, in the log's folder.
const FOLDER: &str = "cosigned";

/// The file with the witnesses' keys, one on a line.
const KEYS: &str = "keys";

/// How many checkpoints are kept.
const KEPT: usize = 8;

/// The longest file of keys.
const MAX_KEYS_BYTES: u64 = 1 << 20;

/// Checkpoints that witnesses have cosigned.
#[derive(Clone, Debug, Default)]
pub struct Cosigned {
    /// By size, the smallest first.
    checkpoints: Vec<SignedCheckpoint>,
    keys: KeyRing,
}

/// A witness's newest cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// The witness's key name.
    pub witness: String,
    /// How many entries it cosigned.
    pub size: u64,
    /// When, in seconds since 1970, by its clock.
    pub time: u64,
}

impl Cosigned {
    /// Reads what is kept in the log's folder.
    ///
    /// # Errors
    /// [`ChainError::DamagedFile`] or [`ChainError::Io`].
    pub(super) fn read(log: &Path) -> Result<Self, ChainError> {
        let folder = log.join(FOLDER);
        let mut cosigned = Self::default();
        let items = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(cosigned),
            items => items.map_err(|error| ChainError::io(&folder, error))?,
        };
        for item in items {
            let path = item.map_err(|error| ChainError::io(&folder, error))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name == KEYS {
                let bytes = files::read(&path, MAX_KEYS_BYTES)?.unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let keys = text.lines().map(VerifierKey::parse).collect::<Result<Vec<_>, _>>();
                let keys = keys.map_err(|error| damaged(&path, &error.to_string()))?;
                keys.into_iter().for_each(|key| cosigned.keys.add(key));
            } else if let Ok(size) = name.parse::<u64>() {
                // One that another process has just removed is none.
                let Some(bytes) = files::read(&path, Note::MAX_BYTES as u64)? else { continue };
                let read = SignedCheckpoint::parse(&bytes).map_err(|error| damaged(&path, &error.to_string()))?;
                if read.checkpoint().size != size {
                    return Err(damaged(&path, "it is of another size than its name says"));
                }
                cosigned.checkpoints.push(read);
            }
        }
        cosigned.checkpoints.sort_by_key(|checkpoint| checkpoint.checkpoint().size);
        Ok(cosigned)
    }

    /// Adds a witness's line and stores it. The line has been verified.
    pub(super) fn add(
        &mut self,
        log: &Path,
        checkpoint: &SignedCheckpoint,
        line: NoteSignature,
        key: &VerifierKey,
    ) -> Result<(), ChainError> {
        let folder = log.join(FOLDER);
        files::make_folder(&folder)?;
        if self.keys.find(key.name(), key.id()).is_none() {
            let mut keys = self.keys.clone();
            keys.add(key.clone());
            let text: String = keys.iter().map(|key| format!("{key}\n")).collect();
            files::replace(&folder.join(KEYS), text.as_bytes())?;
            self.keys = keys;
        }
        let stated = checkpoint.checkpoint();
        let place = self.checkpoints.iter().position(|known| known.checkpoint() == stated);
        let mut whole = place.map_or_else(|| checkpoint.clone(), |place| self.checkpoints[place].clone());
        // One line of each witness, and no more lines than a note may have: what does not parse would not be read again.
        let known =
            whole.signatures().iter().any(|known| (known.name(), known.key_id()) == (line.name(), line.key_id()));
        if known || whole.signatures().len() >= Note::MAX_SIGNATURES {
            return Ok(());
        }
        whole.add(line);
        files::replace(&folder.join(stated.size.to_string()), &whole.encode())?;
        match place {
            Some(place) => self.checkpoints[place] = whole,
            None => self.checkpoints.push(whole),
        }
        self.checkpoints.sort_by_key(|checkpoint| checkpoint.checkpoint().size);
        while self.checkpoints.len() > KEPT {
            let gone = self.checkpoints.remove(0);
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(folder.join(gone.checkpoint().size.to_string()));
        }
        Ok(())
    }

    /// The checkpoint of at least `size` entries with the most cosignatures; of those with as many, the newest.
    #[must_use]
    pub fn best(&self, size: u64) -> Option<&SignedCheckpoint> {
        let enough = self.checkpoints.iter().filter(|checkpoint| checkpoint.checkpoint().size >= size);
        enough.max_by_key(|checkpoint| checkpoint.signatures().len())
    }

    /// The checkpoints, the smallest first.
    #[must_use]
    pub fn checkpoints(&self) -> &[SignedCheckpoint] {
        &self.checkpoints
    }

    /// The keys of the witnesses that have ever cosigned.
    #[must_use]
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Every witness's newest cosignature that verifies, by the witness's name.
    #[must_use]
    pub fn newest(&self) -> Vec<Cosignature> {
        let of = |key: &VerifierKey| {
            let ring = KeyRing::from_iter([key.clone()]);
            let mut newest = self.checkpoints.iter().rev().filter_map(|checkpoint| {
                let time = checkpoint.verify(&ring).ok()?.first()?.time?;
                Some(Cosignature { witness: key.name().to_owned(), size: checkpoint.checkpoint().size, time })
            });
            newest.next()
        };
        self.keys.iter().filter_map(of).collect()
    }
}

/// Where the cosigned checkpoint of this size is, in the log's folder.
pub(super) fn file(size: u64) -> PathBuf {
    Path::new(FOLDER).join(size.to_string())
}

fn damaged(path: &Path, what: &str) -> ChainError {
    let hint = "remove it: witnesses cosign again";
    ChainError::DamagedFile { path: path.to_owned(), what: what.to_owned(), hint }
}
