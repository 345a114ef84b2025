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
        let path = folder.join(KEYS);
        let bytes = files::read(&path, MAX_KEYS_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let keys = text.lines().map(VerifierKey::parse).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(|error| damaged(&path, &error.to_string()))?;
        keys.into_iter().for_each(|key| cosigned.keys.add(key));
        for (path, size) in checkpoints(&folder)? {
            // One that another process has just removed is none.
            let Some(bytes) = files::read(&path, Note::MAX_BYTES as u64)? else { continue };
            let read = SignedCheckpoint::parse(&bytes).map_err(|error| damaged(&path, &error.to_string()))?;
            if read.checkpoint().size != size {
                return Err(damaged(&path, "it is of another size than its name says"));
            }
            cosigned.checkpoints.push(read);
        }
        cosigned.checkpoints.sort_by_key(|checkpoint| checkpoint.checkpoint().size);
        Ok(cosigned)
    }

    /// Reads what is kept of the log that signs with `own`, and removes what is damaged: witnesses cosign again.
    ///
    /// # Errors
    /// [`ChainError::Io`], [`ChainError::DiskFull`].
    pub(super) fn mended(log: &Path, own: &VerifierKey) -> Result<Self, ChainError> {
        let folder = log.join(FOLDER);
        let mut cosigned = Self::default();
        let path = folder.join(KEYS);
        match files::read(&path, MAX_KEYS_BYTES) {
            Ok(bytes) => {
                let bytes = bytes.unwrap_or_default();
                let text = String::from_utf8_lossy(&bytes);
                let (mut lines, mut sound) = (0, 0);
                for key in text.lines().map(VerifierKey::parse) {
                    lines += 1;
                    key.into_iter().for_each(|key| {
                        sound += 1;
                        cosigned.keys.add(key);
                    });
                }
                if sound < lines {
                    removed(&path);
                    cosigned.write_keys(&folder)?;
                }
            }
            Err(ChainError::DamagedFile { .. }) => {
                removed(&path);
                cosigned.write_keys(&folder)?;
            }
            Err(error) => return Err(error),
        }
        for (path, size) in checkpoints(&folder)? {
            let read = match files::read(&path, Note::MAX_BYTES as u64) {
                Ok(Some(bytes)) => SignedCheckpoint::parse(&bytes).ok(),
                Ok(None) => continue,
                Err(ChainError::DamagedFile { .. }) => None,
                Err(error) => return Err(error),
            };
            let whole = read.as_ref().filter(|read| read.checkpoint().size == size).and_then(|read| {
                let sound = cosigned.sound(read, own)?;
                Some((sound.signatures().len() == read.signatures().len(), sound))
            });
            match whole {
                Some((true, sound)) => cosigned.checkpoints.push(sound),
                Some((false, sound)) => {
                    removed(&path);
                    files::replace(&path, &sound.encode())?;
                    cosigned.checkpoints.push(sound);
                }
                None => {
                    removed(&path);
                    std::fs::remove_file(&path).map_err(|error| ChainError::io(&path, error))?;
                }
            }
        }
        cosigned.checkpoints.sort_by_key(|checkpoint| checkpoint.checkpoint().size);
        Ok(cosigned)
    }

    /// A checkpoint with those of its lines that verify; `None` if ours does not, or no witness's.
    fn sound(&self, read: &SignedCheckpoint, own: &VerifierKey) -> Option<SignedCheckpoint> {
        let mut sound = SignedCheckpoint::new(read.checkpoint()).ok()?;
        for line in read.signatures() {
            let key = if (line.name(), line.key_id()) == (own.name(), own.id()) {
                Some(own)
            } else {
                self.keys.find(line.name(), line.key_id())
            };
            let mut alone = SignedCheckpoint::new(read.checkpoint()).ok()?;
            alone.add(line.clone());
            let ring = KeyRing::from_iter(key.cloned());
            if alone.verify(&ring).is_ok_and(|verified| !verified.is_empty()) {
                sound.add(line.clone());
            }
        }
        (sound.is_of(own) && sound.signatures().len() > 1).then_some(sound)
    }

    fn write_keys(&self, folder: &Path) -> Result<(), ChainError> {
        let text: String = self.keys.iter().map(|key| format!("{key}\n")).collect();
        files::replace(&folder.join(KEYS), text.as_bytes())
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
            let mut with = Self { keys: self.keys.clone(), ..Self::default() };
            with.keys.add(key.clone());
            with.write_keys(&folder)?;
            self.keys = with.keys;
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

/// The files of checkpoints, with their sizes.
fn checkpoints(folder: &Path) -> Result<Vec<(PathBuf, u64)>, ChainError> {
    let io = |error| ChainError::io(folder, error);
    let items = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        items => items.map_err(io)?,
    };
    let mut found = Vec::new();
    for item in items {
        let path = item.map_err(io)?.path();
        let size = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok());
        found.extend(size.map(|size| (path, size)));
    }
    Ok(found)
}

fn removed(path: &Path) {
    tracing::warn!(file = %path.display(), "damaged lines were removed from it: witnesses cosign again");
}

fn damaged(path: &Path, what: &str) -> ChainError {
    let hint = "the next start removes what is damaged, and witnesses cosign again";
    ChainError::DamagedFile { path: path.to_owned(), what: what.to_owned(), hint }
}
