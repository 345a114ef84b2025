//! The newest checkpoint as a file: what the log has signed, with the cosignatures of its witnesses under it.

use std::path::{Path, PathBuf};

use tacitly_attestation::checkpoint::{Checkpoint, SignedCheckpoint};
use tacitly_attestation::hash::Hash;
use tacitly_attestation::note::{KeyRing, Note};

use super::{ChainError, NoteKey, files};

/// Where the checkpoint of the log in `folder` is.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("checkpoint")
}

/// Reads the checkpoint; nothing is verified.
pub(super) fn read(folder: &Path) -> Result<Option<SignedCheckpoint>, ChainError> {
    let path = path(folder);
    let Some(bytes) = files::read(&path, Note::MAX_BYTES as u64)? else { return Ok(None) };
    SignedCheckpoint::parse(&bytes).map(Some).map_err(|error| damaged(path, error.to_string()))
}

/// That the checkpoint is of this log and signed by one of `keys`.
pub(super) fn check(folder: &Path, checkpoint: &SignedCheckpoint, keys: &KeyRing) -> Result<(), ChainError> {
    let signed = checkpoint.verify(keys).is_ok_and(|signed| !signed.is_empty());
    let origin = &checkpoint.checkpoint().origin;
    if signed && keys.iter().any(|key| key.name() == origin) {
        return Ok(());
    }
    Err(damaged(path(folder), "it is not signed by the key of this log".to_owned()))
}

pub(super) fn write(folder: &Path, checkpoint: &SignedCheckpoint) -> Result<(), ChainError> {
    files::replace(&path(folder), &checkpoint.encode())
}

/// Signs the tree of `size` entries.
pub(super) fn sign(key: &NoteKey, size: u64, root: Hash) -> Result<SignedCheckpoint, ChainError> {
    let origin = key.public().name().to_owned();
    let refused = |error: &dyn std::fmt::Display| ChainError::Signing(error.to_string());
    let checkpoint = Checkpoint { origin, size, root, extensions: Vec::new() };
    let mut signed = SignedCheckpoint::new(&checkpoint).map_err(|error| refused(&error))?;
    signed.sign(key.public(), key).map_err(|error| refused(&error))?;
    Ok(signed)
}

fn damaged(path: PathBuf, what: String) -> ChainError {
    let hint = "take it back from a copy, or from a witness, which holds the newest that it cosigned";
    ChainError::DamagedFile { path, what, hint }
}
