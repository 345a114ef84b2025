//! Signing, whoever holds the key.
//!
//! Notes of the attestation log (entries, checkpoints, cosignatures) are signed as their format has it, without a
//! context: [`NoteSigner`]. Their texts begin with a name of their own, and never as what is signed for a context.

use std::sync::Arc;

use super::public_key::{KeyId, PublicKey, Signature};

/// Whoever can sign in this party's name: a key file now, a hardware module or a key service later.
pub trait Signer: Send + Sync {
    /// The name of the key.
    fn key_id(&self) -> KeyId {
        self.public_key().key_id()
    }

    /// The key that others verify with.
    fn public_key(&self) -> PublicKey;

    /// Signs `message` for one `context`. May block.
    ///
    /// # Errors
    /// [`SigningFailed`] if the key cannot be reached. A key file, once read, always can.
    fn sign(&self, context: &str, message: &[u8]) -> Result<Signature, SigningFailed>;

    /// Signs the text of a note (C2SP signed-note). May block.
    ///
    /// # Errors
    /// [`SigningFailed`] as above, and for a text that would be a signature for some context.
    fn sign_note(&self, text: &[u8]) -> Result<Signature, SigningFailed>;
}

/// A party's key as it signs notes.
#[derive(Clone)]
pub struct NoteSigner(pub Arc<dyn Signer>);

impl tacitly_attestation::note::Signer for NoteSigner {
    type Error = SigningFailed;

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SigningFailed> {
        let Signature::Ed25519(signature) = self.0.sign_note(message)?;
        Ok(signature.to_bytes())
    }
}

/// The signing key cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SigningFailed(pub String);
