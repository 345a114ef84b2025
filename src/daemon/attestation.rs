//! A party's attestation log, in its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tacitly_attestation::note::KeyUse;

use super::config::Config;
use crate::attest::{CopySettings, mirror_name, witness_name};
use crate::chain::{ChainError, Log, NoteKey, Witness};
use crate::store::{FileSigner, NoteSigner, Signer, StoreError};

/// The folder of the log, in the party's folder.
pub const FOLDER: &str = "log";

/// The folder of what this party cosigned as a witness, in the party's folder.
pub const WITNESS: &str = "witness";

/// The folder of what convicts others, in the party's folder.
pub const EVIDENCE: &str = "evidence";

/// The folder of the copies of others' logs, in the party's folder.
pub const MIRROR: &str = "mirror";

/// The file with the key that this party signs with as a mirror, in the party's folder.
pub const MIRROR_KEY: &str = "mirror.key";

/// Where the attestation log of the party in `home` is.
#[must_use]
pub fn folder(home: &Path) -> PathBuf {
    home.join(FOLDER)
}

/// The key that signs the log's checkpoints: the party's, under the log's name.
///
/// # Errors
/// [`ChainError::Signing`] if the log's name cannot stand on a signature line.
pub fn log_key(config: &Config, signer: Arc<dyn Signer>) -> Result<NoteKey, ChainError> {
    let public = *signer.public_key().as_bytes();
    NoteKey::new(&config.origin(), KeyUse::Text, &public, NoteSigner(signer))
        .map_err(|error| ChainError::Signing(error.to_string()))
}

/// Opens the party's log, or begins it.
///
/// # Errors
/// [`ChainError`]
pub async fn open_log(home: &Path, config: &Config, signer: Arc<dyn Signer>) -> Result<Log, ChainError> {
    let (folder, key) = (folder(home), log_key(config, signer)?);
    let opened = tokio::task::spawn_blocking(move || Log::open(&folder, key)).await;
    opened.unwrap_or(Err(ChainError::Closed))
}

/// Opens the party as a witness of others' logs.
///
/// # Errors
/// [`ChainError`]
pub fn open_witness(home: &Path, config: &Config, signer: Arc<dyn Signer>) -> Result<Witness, ChainError> {
    let public = *signer.public_key().as_bytes();
    let key = NoteKey::new(&witness_name(config.party), KeyUse::Cosignature, &public, NoteSigner(signer));
    let key = key.map_err(|error| ChainError::Signing(error.to_string()))?;
    Witness::open(&home.join(WITNESS), &home.join(EVIDENCE), key)
}

/// What the party keeps of others' logs, if it is anybody's mirror. Its key as a mirror is made when it first is.
///
/// # Errors
/// [`StoreError`] if the key cannot be made or read.
pub fn copies(home: &Path, config: &Config) -> Result<Option<CopySettings>, StoreError> {
    let of = config.attestation.mirror_of.clone();
    if of.is_empty() {
        return Ok(None);
    }
    let path = home.join(MIRROR_KEY);
    if !path.exists() {
        FileSigner::create(&path)?;
    }
    let signer = FileSigner::load(&path).or_else(|error| match error {
        // It says what this copy holds today, and whoever is told takes a new one as well.
        StoreError::Key { .. } => {
            let aside = path.with_extension("damaged");
            tracing::warn!(file = %path.display(), "the key as a mirror is damaged: it was moved aside and made anew");
            std::fs::rename(&path, &aside).map_err(|error| StoreError::io(&aside, error))?;
            FileSigner::create(&path)
        }
        error => Err(error),
    })?;
    let signer: Arc<dyn Signer> = Arc::new(signer);
    let public = *signer.public_key().as_bytes();
    let key = NoteKey::new(&mirror_name(config.party), KeyUse::Cosignature, &public, NoteSigner(signer));
    let key = key.map_err(|error| StoreError::invalid("key as a mirror", error.to_string()))?;
    let limit = config.limits.mirror_mib.saturating_mul(1 << 20);
    Ok(Some(CopySettings { of, folder: home.join(MIRROR), key: Arc::new(key), limit }))
}
